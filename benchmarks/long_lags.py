"""How often networks learn the long lags of the LSTM paper, and what makes it possible.

    python -m benchmarks.long_lags --jobs=2 --picture=docs/memory/long-lags.png

Each run is the program itself, `python main.py --flagfile=configs/lags/... --seed=...`. Finished
runs are not repeated. Beside it, a network is trained that starts with its cell's default biases
and weights and does not truncate its gradient; the other settings are the same. For `reber`, it is
a basic RNN.

A test sequence is wrong by the criterion of S. Hochreiter and J. Schmidhuber, Long Short-Term
Memory, 1997, https://doi.org/10.1162/neco.1997.9.8.1735. A run has succeeded if at most one of
2,560 sequences is wrong: in the paper's runs with 1,000 steps, zero or one is.
"""

import collections
import dataclasses
import pathlib
import statistics

import numpy as np
from absl import flags
from matplotlib.figure import Figure

import datasets
from benchmarks import machine
from benchmarks.runs import finished_runs, metrics_of
from configs import (
    UserError,
    define_flags,
    define_path,
    format_flags,
    given_flags,
    read_flags,
    run_script,
)
from datasets.lags import TEST_SIZE
from explain.style import STYLES
from tasks import task_of
from training.run import Run

FLAGS = flags.FLAGS
FLAG_FILES = [
    f"configs/lags/{name}.flags"
    for name in ("noisy_recall_lstm", "noisy_recall_lstm_1997", "reber_lstm")
]
# The error from which on an output is wrong. The score of `reber` is the share of right sequences.
TOLERANCE = 0.2
# The defaults of what the flag files change in a cell.
DEFAULTS = {"forget_bias": None, "input_gate_bias": None}
DEFAULTS |= {"truncated_gradient": False, "weights_init": "keras"}
MAX_WRONG = 1


def main():
    """Make the missing runs, print the table, draw the figure."""
    if "length" in given_flags():
        raise UserError(
            f"--length={FLAGS.length}: the flag files have the lengths; expected --lengths for the "
            "shorter ones"
        )
    folder = pathlib.Path(FLAGS.results_dir)
    folder.mkdir(parents=True, exist_ok=True)
    runs, others, curves = {}, {}, {}
    for path in FLAGS.flag_files:
        other = _beside(path, folder)
        runs[path] = finished_runs([path], FLAGS.seeds)[path]
        others[path] = finished_runs([other], FLAGS.other_seeds)[other]
        config = read_flags(path)
        for length in (each for each in FLAGS.lengths if each < config.length):
            for own, file in ((True, path), (False, other)):
                short = _of_length(file, length, folder)
                (run,) = finished_runs([short], 1)[short]
                curves[config.dataset, config.model, own, length] = wrong(Run(run))
    print(f"{machine()}, {FLAGS.jobs} runs in parallel\n")
    print(
        "| flag file | succeeded | wrong test sequences, each run | training sequences | minutes "
        "| beside it: succeeded | wrong |"
    )
    print("| --- |" + " ---: |" * 6)
    for path in FLAGS.flag_files:
        config = read_flags(path)
        counts = [wrong(Run(run)) for run in runs[path]]
        other_counts = [wrong(Run(run)) for run in others[path]]
        metrics = metrics_of(runs[path])
        minutes = statistics.median(m["wall_seconds"] for m in metrics) / 60
        sequences = metrics[0]["training"]["steps"] * config.batch_size
        print(
            f"| {path} | {_counts(counts)} | {sequences:,} | {minutes:.1f} "
            f"| {_counts(other_counts)} |",
            flush=True,
        )
        for own, values in ((True, counts), (False, other_counts)):
            key = (config.dataset, config.model, own, config.length)
            curves[key] = statistics.median(values)
    if any(len(lags) > 1 for lags in _lags_by_task(curves).values()):
        draw(curves).savefig(FLAGS.picture, dpi=150)
        print(f"done: {FLAGS.picture}")


def _beside(path, folder):
    """Write the flag file of the network beside it; return its path."""
    config = read_flags(path)
    other = {"model": "basic_rnn"} if config.dataset == "reber" else DEFAULTS
    config = dataclasses.replace(config, **other)
    return _write(config, folder / f"{pathlib.Path(path).stem}-defaults.flags")


def _of_length(path, length, folder):
    """Write a flag file with another length; return its path."""
    config = dataclasses.replace(read_flags(path), length=length)
    return _write(config, folder / f"{pathlib.Path(path).stem}-{length}.flags")


def _write(config, path):
    path.write_text(format_flags(config))
    return str(path)


def _counts(wrong):
    """The columns of the successes and of the wrong sequences of each run."""
    succeeded = sum(count <= MAX_WRONG for count in wrong)
    return f"{succeeded} of {len(wrong)} | {', '.join(f'{count:,}' for count in wrong)}"


def wrong(run):
    """The number of wrong test sequences of a finished run."""
    config = run.config()
    model, test = run.load_model(), datasets.load(config).test
    evaluation = task_of(run.spec(model), config).evaluate(model, test)
    if config.dataset == "reber":
        return round((1 - evaluation.score) * len(test))
    targets = np.eye(evaluation.probabilities.shape[-1])[evaluation.labels]
    errors = np.abs(evaluation.probabilities - targets).max(axis=-1)
    return int((errors >= TOLERANCE).sum())


def _lags_by_task(curves):
    """The lags of each task, sorted."""
    lags = collections.defaultdict(set)
    for task, _, _, lag in curves:
        lags[task].add(lag)
    return {task: sorted(of_task) for task, of_task in lags.items()}


def draw(curves):
    """Draw the share of wrong test sequences against the lag: a panel for each task.

    Tasks with only one lag are left out. The points of a lag are drawn side by side, so that equal
    shares do not hide each other.

    Args:
        curves: The number of wrong sequences of 2,560, by task, model, whether the settings are
            those of the flag files, and lag.
    """
    lags_of = _lags_by_task(curves)
    tasks = [task for task, lags in lags_of.items() if len(lags) > 1]
    cells = sorted({cell for task, cell, _, _ in curves if task in tasks})
    figure = Figure(figsize=(max(5.5, 1 + 3.4 * len(tasks)), 4.2), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(tasks), sharey=True))
    for axes, task in zip(panels, tasks, strict=True):
        lags = lags_of[task]
        for number, cell in enumerate(cells):
            for own, dashes, words in ((True, "-", "flag file"), (False, ":", "defaults")):
                values = [curves.get((task, cell, own, lag), np.nan) / TEST_SIZE for lag in lags]
                style = {"color": STYLES[number][0], "linestyle": dashes, "marker": "os"[number]}
                x = np.array(lags) * 1.05 ** (number + (0 if own else 2) - 1.5)
                axes.plot(x, values, label=f"{cell}, {words}", markersize=5, **style)
        axes.set(title=task.replace("_", " "), xlabel="lag (steps)", xscale="log")
        axes.set(ylim=(-0.02, 1.02), xticks=lags, xticklabels=[f"{lag:,}" for lag in lags])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share of wrong test sequences")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2)
    return figure


if __name__ == "__main__":
    FLAGS.set_default("seeds", 5)
    FLAGS.set_default("results_dir", "runs/long_lags")
    flags.DEFINE_list("flag_files", FLAG_FILES, "The flag files, separated by commas.")
    flags.DEFINE_integer("other_seeds", 2, "Runs of the network beside it.", 1)
    flags.DEFINE_multi_integer("lengths", [100, 300], "Shorter lags, one run each.", 10)
    define_path("picture", "long-lags.png", "File of the figure: .png, .svg or .pdf.")
    define_flags()
    run_script(main)
