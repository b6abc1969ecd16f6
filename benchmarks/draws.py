"""Processor time of a search for each draw, without training, by the number of earlier draws.

    python -m benchmarks.draws

Runs a whole search in which training is replaced by an immediate random score: it draws values,
receives the score, logs it for TensorBoard and writes `trials.csv` twice, as a search does for each
trial. Only processor time is counted, without the time of the disk and of other processes. If
trials end faster than this time, their processors wait.
"""

import contextlib
import dataclasses
import io
import pathlib
import statistics
import tempfile
import time

import numpy as np
from absl import flags

from benchmarks import contest
from configs import Config, UserError, run_script
from tuning.search import TUNERS, Search
from tuning.space import parse_space

FLAGS = flags.FLAGS


def main():
    """Measure, print the table, write the JSON."""
    results = {}
    contest.print_environment()
    print(f"| tuner | draws | processor ms a draw | of it trials.csv | days for {FLAGS.total:,} |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for text in FLAGS.sizes:
        tuner, _, total = text.partition("=")
        if tuner not in TUNERS or not total.isdecimal() or int(total) < 10:
            raise UserError(
                f"--sizes: received {text}; expected TUNER=NUMBER, the number at least 10"
            )
        counts, seconds, writing = measure(tuner, int(total))
        results[tuner] = {"draws": counts, "seconds": seconds, "writing": writing}
        days = extrapolate(counts, seconds, FLAGS.total)
        for count, each, written in zip(counts, seconds, writing, strict=True):
            last = f"{days:,.1f}" if count == counts[-1] else ""
            print(f"| {tuner} | {count:,} | {1e3 * each:.2f} | {1e3 * written:.2f} | {last} |")
    contest.write_json("draws", results)


def measure(tuner, total):
    """Measure the time of a draw after 10, 100, ... and `total` draws.

    Returns:
        Three lists: the number of draws; the seconds of a draw, as the median of the last tenth of
        them; and the part of these seconds for writing `trials.csv` twice.
    """
    from datasets.dataset import images_spec
    from tasks import task_of
    from tuning.loop import Loop
    from tuning.results import Results
    from tuning.score import Score

    class Unwritten(Results):
        """Does not write `trials.csv`: writing slows with each draw and is measured separately."""

        def save(self, trials, trial):
            trials[trial.number :] = [trial, *trials[trial.number + 1 :]]

    search = Search(Config(epochs=27), parse_space(FLAGS.search), tuner, max_trials=total)
    spec = images_spec(10)
    score = Score(task_of(spec, search.config))
    trials, workers, counts, seconds, writing = [], _Instant(), [], [], []
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            results = Unwritten(pathlib.Path(folder), search.space, score)
            Loop(search, results, trials, spec, workers).run(stop=lambda: None)
        results, times = Results(results.folder, search.space, score), np.diff(workers.times)
        for count in sorted({10**power for power in range(1, len(str(total - 1)))} | {total}):
            some = trials[:count]
            results.save(some, some[-1])  # A search has already saved the others.
            written = 2 * statistics.median(
                _seconds(lambda some=some: results.save(some, some[-1])) for _ in range(FLAGS.turns)
            )
            latest = times[:count][-max(10, count // 10) :]
            counts.append(count)
            seconds.append(float(np.median(latest)) + written)
            writing.append(written)
    return counts, seconds, writing


class _Instant:
    """Replaces the training of trials (`tuning.execution.InProcess`) and records their starts."""

    max_running, threads = 1, {}

    def __init__(self):
        self.times, self._random, self._trial = [], np.random.default_rng(0), None

    @property
    def running(self):
        return int(self._trial is not None)

    def start(self, trial, config, folder):
        self.times.append(time.process_time())
        self._trial = trial

    def wait(self):
        trial, self._trial, score = self._trial, None, float(self._random.random())
        known = {"score": score, "scores": (score,), "parameters": 99_999, "seconds": 60.0}
        return [dataclasses.replace(trial, status="completed", **known)]


def _seconds(do):
    start = time.process_time()
    do()
    return time.process_time() - start


def extrapolate(counts, seconds, total):
    """The days for `total` draws, if a draw takes a + b n seconds after n draws."""
    from benchmarks.scale import cost, fit

    factors = fit([{"a": 1, "b": count} for count in counts], seconds)
    return cost(factors, {"a": total, "b": total**2 / 2}) / 86_400


if __name__ == "__main__":
    flags.adopt_module_key_flags(contest)
    flags.DEFINE_list(
        "sizes",
        ["random=10000", "hyperband=3000", "asha=3000", "bayesian=100"],
        "Number of draws of each tuner.",
    )
    flags.DEFINE_string(
        "search",
        "learning_rate:1e-4..1e-2:log,units:8..512,dropout:0.0..0.5,model:lstm|peephole_lstm|gru",
        "Values to search, as in tune.py.",
    )
    flags.DEFINE_integer("total", 1_000_000, "Number of draws to extrapolate to.", 1)
    run_script(main)
