"""Start-up time of the program: until its help, and until its first ten training steps.

    python -m benchmarks.start --dataset=mnist

Seconds from the start of `python main.py` in a new process, with a prepared dataset.
"""

import shlex
import subprocess
import sys
import tempfile
import time

from absl import flags

from benchmarks import MAIN, contest
from benchmarks.processes import ending
from configs import UserError, define_flags, given_flags, run_script

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(contest)
define_flags()


def main():
    """Measure, print the table, write the JSON."""
    given = [FLAGS[flag].serialize() for flag in given_flags()]
    seconds = {"help": [], "first training steps": []}
    for _ in range(FLAGS.turns):
        start = time.perf_counter()
        subprocess.run([sys.executable, str(MAIN), "--help"], stdout=subprocess.DEVNULL)
        seconds["help"].append(time.perf_counter() - start)
        seconds["first training steps"].append(_seconds_to_first_steps(given))
    contest.print_environment()
    print("| `python main.py` | seconds |")
    print("| --- | ---: |")
    for name, values in seconds.items():
        print(f"| {name} | {contest.Spread(values):.2f} |")
    contest.write_json("start", {"seconds": seconds})


def _seconds_to_first_steps(given):
    """Seconds until the program prints the accuracy of its first ten steps."""
    with tempfile.TemporaryDirectory() as folder:
        folders = [f"--runs_dir={folder}", f"--saved_models_dir={folder}/exported"]
        command = [sys.executable, str(MAIN), *given, *folders, "--steps=10", "--log_every=10"]
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            has_trained = any(line.startswith("step    10 ") for line in process.stdout)
            seconds = time.perf_counter() - start
            if not has_trained:
                raise UserError(
                    f"{shlex.join(command)} {ending(process.wait())}; expected a training step: "
                    "see its message above"
                )
            process.kill()
    return seconds


if __name__ == "__main__":
    run_script(main)
