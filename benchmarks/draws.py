"""What the driver of a search spends on a draw, beside its training, the more there were before.

    python -m benchmarks.draws

To draw, to be told the score, and to write `trials.csv` twice, as a search does for each trial.
Where trials end faster than that, their processors wait.
"""

import pathlib
import statistics
import tempfile
import time

import numpy as np
from absl import flags

from benchmarks import contest
from configs import UserError, run_script
from tuning.search import TUNERS

FLAGS = flags.FLAGS


def main():
    """Measure, print the table, write the JSON."""
    results = {}
    contest.print_circumstances()
    print(f"| tuner | draws | ms a draw | of it trials.csv | days for {FLAGS.total:,} |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for text in FLAGS.sizes:
        tuner, _, most = text.partition("=")
        if tuner not in TUNERS or not most.isdecimal() or int(most) < 10:
            raise UserError(f"--sizes: received {text}; expected TUNER=NUMBER, of 10 at least")
        counts, seconds, writing = measure(tuner, int(most))
        results[tuner] = {"draws": counts, "seconds": seconds, "writing": writing}
        days = extrapolate(counts, seconds, FLAGS.total)
        for count, each, written in zip(counts, seconds, writing, strict=True):
            last = f"{days:,.1f}" if count == counts[-1] else ""
            print(f"| {tuner} | {count:,} | {1e3 * each:.2f} | {1e3 * written:.2f} | {last} |")
    contest.write_json("draws", results)


def measure(tuner, most):
    """What a draw costs after 10, 100, ... and `most` draws.

    Returns:
        Three lists: how many draws there were; the seconds of one, the median of those since; and
        what of it goes to `trials.csv`, one time.
    """
    from tuning.asha import Asha
    from tuning.oracle import Oracle
    from tuning.results import Results
    from tuning.space import parse_space
    from tuning.trial import Trial

    space = parse_space(FLAGS.search)
    oracle = Asha(space, 0, 27) if tuner == "asha" else Oracle(tuner, space, 0, 27, endless=True)
    random, trials, times = np.random.default_rng(0), [], []
    counts, seconds, writing = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        results = Results(pathlib.Path(folder), space)
        while len(trials) < most:
            number, score = len(trials), float(random.random())
            start = time.perf_counter()
            draw = oracle.ask()
            oracle.tell(number, score)
            times.append(time.perf_counter() - start)
            rest = {"parameters": 99_999, "seconds": 60.0, "epochs": 27, "known_at": number + 1}
            trials.append(Trial(number, "completed", draw.values, score, (score,), **rest))
            count = len(trials)
            if count == most or (str(count).strip("0") == "1" and count >= 10):
                results.save(trials, trials[-1])  # A search has saved all others before.
                written = 2 * statistics.median(
                    _seconds(lambda: results.save(trials, trials[-1])) for _ in range(FLAGS.turns)
                )
                counts.append(count)
                seconds.append(statistics.median(times) + written)
                writing.append(written)
                times = []
    return counts, seconds, writing


def _seconds(do):
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def extrapolate(counts, seconds, total):
    """The days that a driver spends on so many draws, if each costs a + b n seconds after n."""
    from benchmarks.scale import cost, fit

    factors = fit([{"a": 1, "b": count} for count in counts], seconds)
    return cost(factors, {"a": total, "b": total**2 / 2}) / 86_400


if __name__ == "__main__":
    flags.adopt_module_key_flags(contest)
    flags.DEFINE_list(
        "sizes",
        ["random=10000", "hyperband=3000", "asha=3000", "bayesian=100"],
        "How many draws of each tuner.",
    )
    flags.DEFINE_string(
        "search",
        "learning_rate:1e-4..1e-2:log,units:8..512,dropout:0.0..0.5,model:lstm|peephole_lstm|gru",
        "What is searched, as in tune.py.",
    )
    flags.DEFINE_integer("total", 1_000_000, "How many draws to extrapolate to.", 1)
    run_script(main)
