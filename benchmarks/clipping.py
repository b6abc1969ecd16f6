"""The same training with clipped gradients, which learns, and without, which diverges.

    python -m benchmarks.clipping --picture=docs/memory/clipping.png

A basic RNN learns the adding problem by plain gradient descent. Both runs are made by the training
program and see the same sequences. Flags of `main.py` given here are passed on to both.

Source: R. Pascanu, T. Mikolov and Y. Bengio, On the Difficulty of Training Recurrent Neural
Networks, 2013, https://arxiv.org/abs/1211.5063.
"""

import dataclasses
import pathlib
import re

import numpy as np
from absl import flags
from matplotlib.figure import Figure

from benchmarks.trainings import finished_training
from configs import Config, define_flags, define_path, given_flags, run_script
from explain.style import STYLES, expect_picture

FLAGS = flags.FLAGS

RECIPE = {
    "model": "basic_rnn",
    "units": 64,
    "dataset": "adding",
    "length": 50,
    "batch_size": 50,
    "optimizer": "sgd",
    "learning_rate": 0.06,
    "schedule": "constant",
    "clip_norm": 1.0,
    "steps": 4000,
    "train_size": 250,  # `history.csv` then has the mean loss of every five steps.
}


def main():
    """Make both runs, print how they ended and draw the figure."""
    expect_picture(FLAGS.picture)
    clipped = Config(**RECIPE | given_flags())
    configs = {
        f"clip_norm={clipped.clip_norm:g}": clipped,
        "no clipping": dataclasses.replace(clipped, clip_norm=None),
    }
    curves, diverged = {}, []
    for name, config in configs.items():
        folder = pathlib.Path(FLAGS.results_dir) / name.replace(" ", "_")
        run, message = finished_training(config, folder)
        curves[name] = curve(run, message)
        diverged += [name] if message else []
        print(f"{name}: {message or run.metrics()['summary']}", flush=True)
    draw(curves, diverged).savefig(FLAGS.picture, dpi=150)
    print(f"done: see {FLAGS.picture}")


def curve(run, message):
    """Read the training loss of a run.

    Args:
        run: The `Run`.
        message: The message of a run that diverged, or `None`.

    Returns:
        The steps at which the epochs ended, `int64 (epochs,)`, and the mean training loss of each
        epoch, `float64 (epochs,)`. For a run that diverged, the last value is that of the step in
        which it diverged, and may be NaN or infinite.
    """
    config = run.config()
    losses = [epoch["loss"] for epoch in run.history()] if run.history_path.is_file() else []
    steps_per_epoch = -(-config.train_size // config.batch_size)
    steps = [min(steps_per_epoch * n, config.steps) for n in range(1, len(losses) + 1)]
    if message:
        found = re.match(r"diverged at step (\d+):.*; the loss of this step is ([^,]+),", message)
        steps.append(int(found[1]))
        losses.append(float(found[2]))
    return np.array(steps), np.array(losses)


def draw(curves, diverged):
    """Draw training losses against the step, on logarithmic axes.

    Args:
        curves: The result of `curve`, by the name of the run.
        diverged: The names of the runs that diverged.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for (name, (steps, losses)), (colour, dashes) in zip(curves.items(), STYLES, strict=False):
        axes.plot(steps, losses, color=colour, linestyle=dashes, label=name)
        if name in diverged:
            label = f"{name}: diverged at step {steps[-1]}"
            axes.axvline(steps[-1], color=colour, linewidth=0.8, label=label)
            axes.plot(steps[-1:], losses[-1:], "x", color=colour, markersize=10, mew=2)
    axes.set(xlabel="step", ylabel="mean squared error of an epoch", xscale="log", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


if __name__ == "__main__":
    define_path("picture", "clipping.png", "File of the figure: .png, .svg or .pdf.")
    define_path("results_dir", "runs/clipping", "Folder of the two runs.")
    define_flags()
    run_script(main)
