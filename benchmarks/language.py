"""Perplexities of language models of flag files over several seeds, beside an n-gram model.

    python -m benchmarks.language --flag_files=configs/language/time_machine.flags --jobs=2

Each run is the program itself, `python main.py --flagfile=... --seed=...`. Flags of `main.py` given
here are passed on to every run. Finished runs are not repeated.

The test perplexities are those of the program: the test part of the text is read once, in order,
and the states are carried from its beginning to its end. With windows, the states are 0 at the
beginning of each window, and its first symbols are predicted from few others.
"""

import math
import statistics

import numpy as np
from absl import flags

import datasets
from benchmarks import machine
from benchmarks.ngram import cross_entropy
from benchmarks.runs import finished_runs, metrics_of
from configs import define_flags, run_script
from training.run import Run

FLAGS = flags.FLAGS
flags.DEFINE_list("flag_files", None, "The flag files, separated by commas.", required=True)
flags.DEFINE_integer("ngram", 5, "Order of the n-gram model that is printed beside.", 1)
flags.DEFINE_integer("window", 256, "Symbols of a window.", 1)
define_flags()


def main():
    """Make the missing runs, then print the table."""
    runs = finished_runs(FLAGS.flag_files, FLAGS.seeds)
    print(f"{machine()}, {FLAGS.jobs} runs in parallel\n")
    print(
        f"| flag file | parameters | training perplexity | test perplexity: {FLAGS.ngram}-gram "
        f"| median | each seed | nats | nats, windows of {FLAGS.window} | symbols/s | minutes |"
    )
    print("| --- |" + " ---: |" * 9)
    for flag_file, folders in runs.items():
        print(_line(flag_file, [Run(folder) for folder in folders]), flush=True)


def _line(flag_file, runs):
    """The line of a flag file in the table."""
    metrics = metrics_of([run.folder for run in runs])
    config = runs[0].config()
    data = datasets.load(config)
    baseline = cross_entropy(data.train.symbols, data.test.symbols, FLAGS.ngram, data.spec.size)
    perplexities = [m["test"]["perplexity"] for m in metrics]
    windows = [_loss_of_windows(run, data.test.symbols) for run in runs]
    speeds = [m["training"]["sequences_per_second"] * config.steps_per_batch for m in metrics]
    return (
        f"| {flag_file} | {metrics[0]['parameters']:,} "
        f"| {math.exp(statistics.median(run.history()[-1]['loss'] for run in runs)):.3f} "
        f"| {math.exp(baseline):.2f} | {statistics.median(perplexities):.3f} "
        f"| {', '.join(f'{perplexity:.3f}' for perplexity in perplexities)} "
        f"| {math.log(statistics.median(perplexities)):.4f} | {statistics.median(windows):.4f} "
        f"| {statistics.median(speeds):,.0f} "
        f"| {statistics.median(m['wall_seconds'] for m in metrics) / 60:.1f} |"
    )


def _loss_of_windows(run, symbols, batch_size=16):
    """The mean cross-entropy in nats, with the states set to 0 before each window."""
    from tasks import task_of

    model = run.load_model()
    task = task_of(run.spec(model), run.config())
    windows = np.lib.stride_tricks.sliding_window_view(symbols, FLAGS.window + 1)[:: FLAGS.window]
    parts = [windows[n : n + batch_size] for n in range(0, len(windows), batch_size)]
    nats = [task.judge(model.predict_on_batch(part[:, :-1]), part[:, 1:]).nats for part in parts]
    return float(np.mean(np.concatenate(nats)))


if __name__ == "__main__":
    run_script(main)
