"""Speed of a search when Ray trains its trials in parallel.

    python -m benchmarks.tune --trials=8 --epochs=3 --dataset=mnist

Seconds of `python tune.py` in a new process, from its start to its end, with imports and figures.
The flags describe the model; the search draws its learning rate.
"""

import os
import subprocess
import sys
import tempfile
import time

from absl import flags

from benchmarks import MAIN, contest
from benchmarks.processes import run
from configs import define_flags, given_flags, run_script

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(contest)
flags.DEFINE_integer("trials", 8, "Trials of each search.", 1)
define_flags()

_ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
# Flags and environment variables of each kind of search.
_WAYS = {
    "one trial after another, one thread": ([], _ONE_THREAD),
    "one trial after another, all threads": ([], {}),
    "side by side, one thread each": (["--ray=local", "--cpus_per_trial=1"], {}),
}


def main():
    """Measure, print the table, write the JSON."""
    seconds = {name: [] for name in _WAYS}
    for _ in range(FLAGS.turns):
        for name, way in _WAYS.items():
            seconds[name].append(_seconds(*way))
    contest.print_environment()
    print(f"| {FLAGS.trials} trials | seconds | times as fast |")
    print("| --- | ---: | ---: |")
    slow, *_ = seconds.values()
    for name, values in seconds.items():
        ratios = [one / other for one, other in zip(slow, values, strict=True)]
        print(f"| {name} | {contest.Spread(values):.1f} | {contest.Spread(ratios):.2f} |")
    contest.write_json("tune", {"seconds": seconds})


def _seconds(options, environment):
    """Seconds of a whole search."""
    given = [FLAGS[flag].serialize() for flag in given_flags()]
    search = ["--search=learning_rate:1e-4..1e-2:log", f"--max_trials={FLAGS.trials}"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(MAIN.with_name("tune.py")), *given, *search, *options]
        start = time.perf_counter()
        run(
            [*command, f"--runs_dir={folder}"],
            "a search",
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - start


if __name__ == "__main__":
    run_script(main)
