"""Test accuracy of flag files over several seeds, as a table.

    python -m benchmarks.accuracy --flag_files=configs/lstm.flags,configs/basic_rnn.flags --jobs=2

Each run is the program itself, `python main.py --flagfile=... --seed=...`; any of its flags given
here is passed on to every run. Runs that are finished already are not repeated.
"""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys

from absl import flags

from configs import UserError, define_flags, given_flags, read_flags, run_script

FLAGS = flags.FLAGS
flags.DEFINE_list("flag_files", None, "The flag files, separated by commas.", required=True)
flags.DEFINE_integer("seeds", 3, "Runs of each flag file, with the seeds 0, 1, 2, ...", 1)
flags.DEFINE_integer("jobs", 1, "Runs side by side, each with its share of the processors.", 1)
flags.DEFINE_string("results_dir", "runs/accuracy", "Where the runs are kept.")
define_flags()

_MAIN = pathlib.Path(__file__).parent.parent / "main.py"


def main():
    """Run what is missing, then print the table."""
    if "seed" in given_flags():
        raise UserError(f"--seed={FLAGS.seed}: the seeds are 0, 1, 2, ...; expected --seeds=NUMBER")
    runs = [(flag_file, seed) for seed in range(FLAGS.seeds) for flag_file in FLAGS.flag_files]
    with concurrent.futures.ThreadPoolExecutor(FLAGS.jobs) as pool:
        done = dict(zip(runs, pool.map(lambda run: _metrics(*run), runs), strict=True))

    print(f"{os.cpu_count()} x {_processor()}, {FLAGS.jobs} runs side by side\n")
    print("| flag file | parameters | test images | accuracy, mean ± sd | each seed | minutes |")
    print("| --- | ---: | ---: | ---: | --- | ---: |")
    for flag_file in FLAGS.flag_files:
        metrics = [done[flag_file, seed] for seed in range(FLAGS.seeds)]
        accuracies = [100 * m["test"]["accuracy"] for m in metrics]
        sd = f" ± {statistics.stdev(accuracies):.2f}" if FLAGS.seeds > 1 else ""
        print(
            f"| {flag_file} | {metrics[0]['parameters']:,} | {metrics[0]['test']['images']:,} "
            f"| {statistics.mean(accuracies):.2f}{sd} % "
            f"| {', '.join(f'{accuracy:.2f}' for accuracy in accuracies)} "
            f"| {statistics.mean(m['wall_seconds'] for m in metrics) / 60:.1f} |"
        )


def _metrics(flag_file, seed):
    """The metrics of one run, which is made unless it is finished."""
    results = pathlib.Path(FLAGS.results_dir).absolute()
    name = f"{pathlib.Path(flag_file).with_suffix('').as_posix().replace('/', '-')}-seed{seed}"
    path = results / name / "metrics.json"
    config = dataclasses.replace(read_flags(flag_file), **given_flags() | {"seed": seed})
    if path.is_file():
        done = read_flags(path.with_name("flags.txt"))
        # Where the data lay is no part of the experiment, and a run records what auto stood for.
        places = {"data_dir": done.data_dir, "mnist_dir": done.mnist_dir}
        if config.dataset == "auto":
            places["dataset"] = done.dataset
        if done != dataclasses.replace(config, **places):
            raise UserError(f"{path.parent} had other flags; expected a new --results_dir")
    else:
        shutil.rmtree(path.parent, ignore_errors=True)  # What a killed run has left.
        command = [
            *(sys.executable, str(_MAIN), f"--flagfile={flag_file}", f"--seed={seed}"),
            *(FLAGS[flag].serialize() for flag in given_flags()),
            *(f"--name={name}", f"--runs_dir={results}", f"--saved_models_dir={results}/exported"),
        ]
        threads = str(max(1, os.cpu_count() // FLAGS.jobs))
        limits = {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}
        done = subprocess.run(command, env=os.environ | limits, stdout=sys.stderr)
        if done.returncode:
            raise UserError(f"{' '.join(command)} failed; expected a run: see its message above")
    return json.loads(path.read_text())


def _processor():
    """The processor's name, where the system tells it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    run_script(main)
