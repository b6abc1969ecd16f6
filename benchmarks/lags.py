"""The error of each cell on tasks with long time lags, against the lag.

    python -m benchmarks.lags --tasks=adding,temporal_order --lags=10,30,100

Each number is the test error of one run of the training program, in a folder of its own. Finished
runs are not repeated. Flags of `main.py` given here are passed on to every run.
"""

import math
import pathlib

import numpy as np
from absl import flags
from matplotlib.figure import Figure

from benchmarks.trainings import finished_training
from configs import Config, UserError, define_flags, define_path, given_flags, run_script
from explain.style import STYLES

FLAGS = flags.FLAGS

RECIPE = {
    "units": 64,
    "batch_size": 50,
    "learning_rate": 0.01,
    "schedule": "constant",
    "clip_norm": 1.0,
    "steps": 1000,
    "train_size": 50_000,  # The 1,000 steps are one epoch.
}
# The error of each task: its name, and its value from the metrics of a run's test sequences.
ERRORS = {
    "adding": ("mean squared error", lambda metrics: metrics["loss"]),
    "temporal_order": ("1 - accuracy", lambda metrics: 1 - metrics["score"]),
    "first_row": ("1 - mean IoU", lambda metrics: 1 - metrics["score"]),
}
_MARKERS = "osv^DP*"


def main():
    """Make the missing runs, then print the tables and draw the figure."""
    configs = _configs()
    folder = pathlib.Path(FLAGS.results_dir)
    errors = {}
    for (task, cell, lag), config in configs.items():
        run, diverged = finished_training(config, folder / f"{task}-{cell}-{lag}")
        error = math.nan if diverged else ERRORS[task][1](run.metrics()["test"])
        errors[task, cell, lag] = error
        print(f"{task}, {cell}, lag {lag}: {ERRORS[task][0]} {error:.4f}", flush=True)
    print_tables(errors)
    for suffix in ("png", "svg"):
        draw(errors).savefig(folder / f"lags.{suffix}", dpi=150)
    print(f"done: see {folder}")


def _configs():
    """The `Config` of each run, by task, cell and lag; the runs of short sequences come first."""
    given = given_flags()
    for name, instead in {"dataset": "tasks", "model": "cells", "length": "lags"}.items():
        if name in given:
            raise UserError(
                f"--{name}={given[name]}: this program compares several; expected --{instead}"
            )
    for flag in ("tasks", "cells", "lags"):
        if not FLAGS[flag].value:
            raise UserError(f"--{flag}: the list is empty; expected values separated by commas")
    for task in FLAGS.tasks:
        if task not in ERRORS:
            raise UserError(f"--tasks: received {task}; expected names among {', '.join(ERRORS)}")
    for lag in FLAGS.lags:
        if not lag.isdecimal():
            raise UserError(f"--lags: received {lag}; expected integers")
    return {
        (task, cell, lag): Config(dataset=task, model=cell, length=lag, **RECIPE | given)
        for lag in sorted(map(int, FLAGS.lags))
        for task in FLAGS.tasks
        for cell in FLAGS.cells
    }


def print_tables(errors):
    """Print the error of each cell at each lag, a table for each task.

    Args:
        errors: The error by task, cell and lag; NaN if the run diverged.
    """
    tasks, cells, lags = (list(dict.fromkeys(names)) for names in zip(*errors, strict=True))
    for task in tasks:
        print(f"\n| {task}: {ERRORS[task][0]} | {' | '.join(map(str, lags))} |")
        print(f"| --- |{' ---: |' * len(lags)}")
        for cell in cells:
            print(f"| {cell} | {' | '.join(f'{errors[task, cell, lag]:.4f}' for lag in lags)} |")


def draw(errors):
    """Draw the error against the lag, with a line for each cell and a panel for each task.

    The points of a lag are drawn side by side, so that equal errors do not hide each other. A run
    that diverged is a cross at the top.

    Args:
        errors: The error by task, cell and lag; NaN if the run diverged.
    """
    tasks, cells, lags = (list(dict.fromkeys(names)) for names in zip(*errors, strict=True))
    figure = Figure(figsize=(1 + 3.6 * len(tasks), 4.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(tasks)))
    for axes, task in zip(panels, tasks, strict=True):
        for number, cell in enumerate(cells):
            colour, dashes = STYLES[number % len(STYLES)]
            values = np.array([errors[task, cell, lag] for lag in lags])
            x = np.array(lags) * 1.06 ** (number - (len(cells) - 1) / 2)
            marker = {"marker": _MARKERS[number % len(_MARKERS)], "markersize": 5}
            axes.plot(x, values, color=colour, linestyle=dashes, label=cell, **marker)
            diverged = x[np.isnan(values)]
            if len(diverged):  # An empty line would break the layout.
                top = {"transform": axes.get_xaxis_transform(), "clip_on": False}
                axes.plot(diverged, np.ones(len(diverged)), "x", color=colour, mew=2, **top)
        axes.set(title=task.replace("_", " "), xlabel="lag (steps)", ylabel=ERRORS[task][0])
        axes.set(xscale="log")
        axes.set_ylim(bottom=-0.02 * axes.get_ylim()[1])  # Errors of 0 stay visible.
        axes.grid(alpha=0.3)
    if np.isnan(list(errors.values())).any():
        panels[0].plot([], [], "x", color="grey", mew=2, label="diverged")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(handles[0]))
    return figure


if __name__ == "__main__":
    flags.DEFINE_list("tasks", ["adding", "temporal_order", "first_row"], "Datasets to learn.")
    flags.DEFINE_list(
        "cells",
        ["basic_rnn", "irnn", "lstm_1997", "custom_lstm", "peephole_lstm", "cifg_lstm", "gru"],
        "Models to compare.",
    )
    flags.DEFINE_list("lags", ["10", "30", "100", "300", "1000"], "Values of --length, in steps.")
    define_path("results_dir", "runs/lags", "Folder of the runs and of lags.png and lags.svg.")
    define_flags()
    run_script(main)
