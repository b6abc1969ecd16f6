"""Test accuracy of flag files over several seeds, as a table.

    python -m benchmarks.accuracy --seeds=3 --jobs=2 configs/lstm.flags configs/basic_rnn.flags

Each run is the program itself, `python main.py --flagfile=... --seed=...`. Runs that are finished
already are not repeated. Flags for main.py itself come last, after `--`.
"""

import concurrent.futures
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("seeds", 3, "Runs of each flag file, with the seeds 0, 1, 2, ...", 1)
flags.DEFINE_integer("jobs", 1, "Runs side by side, each with its share of the processors.", 1)
flags.DEFINE_string("results_dir", "runs/accuracy", "Where the runs are kept.")

_PROJECT = pathlib.Path(__file__).parent.parent


def main(argv):
    """Run what is missing, then print the table."""
    flag_files = [argument for argument in argv[1:] if argument.endswith(".flags")]
    more_flags = [argument for argument in argv[1:] if not argument.endswith(".flags")]
    if not flag_files:
        sys.exit("error: no flag file given; expected some, such as configs/lstm.flags")
    runs = [(flag_file, seed) for seed in range(FLAGS.seeds) for flag_file in flag_files]
    with concurrent.futures.ThreadPoolExecutor(FLAGS.jobs) as pool:
        done = dict(zip(runs, pool.map(lambda run: _metrics(*run, more_flags), runs), strict=True))

    print(f"{os.cpu_count()} x {_processor()}, {FLAGS.jobs} runs side by side\n")
    print(
        "| flag file | parameters | test images | test accuracy, mean ± sd | each seed | minutes |"
    )
    print("| --- | ---: | ---: | ---: | --- | ---: |")
    for flag_file in flag_files:
        metrics = [done[flag_file, seed] for seed in range(FLAGS.seeds)]
        accuracies = [100 * m["test"]["accuracy"] for m in metrics]
        sd = f"{statistics.stdev(accuracies):.2f}" if FLAGS.seeds > 1 else "–"
        print(
            f"| {flag_file} | {metrics[0]['parameters']:,} | {metrics[0]['test']['images']:,} "
            f"| {statistics.mean(accuracies):.2f} ± {sd} % "
            f"| {', '.join(f'{accuracy:.2f}' for accuracy in accuracies)} "
            f"| {statistics.mean(m['wall_seconds'] for m in metrics) / 60:.1f} |"
        )


def _metrics(flag_file, seed, more_flags):
    """The metrics of one run, which is made unless it is there."""
    results = pathlib.Path(FLAGS.results_dir).absolute()
    name = f"{pathlib.Path(flag_file).with_suffix('').as_posix().replace('/', '-')}-seed{seed}"
    path = results / name / "metrics.json"
    if not path.is_file():
        threads = str(max(1, os.cpu_count() // FLAGS.jobs))
        subprocess.run(
            [
                *(sys.executable, "main.py", f"--flagfile={flag_file}", f"--seed={seed}"),
                *(f"--name={name}", f"--runs_dir={results}"),
                *(f"--saved_models_dir={results / 'saved_models'}", *more_flags),
            ],
            cwd=_PROJECT,
            env=os.environ | {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads},
            stdout=sys.stderr,
            check=True,
        )
    return json.loads(path.read_text())


def _processor():
    """The processor's name, where the system tells it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    app.run(main)
