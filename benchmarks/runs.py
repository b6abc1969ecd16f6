"""Runs of flag files with several seeds, which are stored and reused."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import statistics
import sys

from absl import flags

from benchmarks import MAIN
from benchmarks.processes import run
from benchmarks.trainings import require_same
from configs import UserError, given_flags, read_flags
from training.run import Run

FLAGS = flags.FLAGS
flags.DEFINE_integer("seeds", 3, "Runs of each flag file, with the seeds 0, 1, ...", 1)
flags.DEFINE_integer("jobs", 1, "Runs in parallel, each with its share of the processors.", 1)
flags.DEFINE_string("results_dir", "runs/accuracy", "Folder of the runs.")


def finished_runs(flag_files, seeds):
    """Make the missing runs in parallel: `python main.py --flagfile=... --seed=...`.

    Flags of `Config` given to this process are passed on to every run.

    Args:
        flag_files: Paths of flag files.
        seeds: Number of runs of each flag file, with the seeds 0, 1, 2, ...

    Returns:
        A list with the folder of each seed's run, by flag file.

    Raises:
        UserError: If a run fails, or if an existing run was made with other flags.
    """
    if "seed" in given_flags():
        raise UserError(f"--seed={FLAGS.seed}: the seeds are 0, 1, 2, ...; expected --seeds=NUMBER")
    runs = [(flag_file, seed) for seed in range(seeds) for flag_file in flag_files]
    with concurrent.futures.ThreadPoolExecutor(FLAGS.jobs) as pool:
        folders = dict(zip(runs, pool.map(lambda run: _folder(*run), runs), strict=True))
    return {f: [folders[f, seed] for seed in range(seeds)] for f in flag_files}


def metrics_of(folders):
    """Read the metrics of finished runs."""
    return [json.loads((folder / "metrics.json").read_text()) for folder in folders]


def accuracy_of(metrics):
    """Format the test accuracy of several seeds: mean ± standard deviation, and each value."""
    spread, each = spread_of([100 * m["test"]["accuracy"] for m in metrics])
    return f"{spread} %", each


def spread_of(values):
    """Format the values of several seeds: mean ± standard deviation, and each value."""
    sd = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{sd}", ", ".join(f"{value:.2f}" for value in values)


def _folder(flag_file, seed):
    """Return the folder of one run; makes the run unless it is finished."""
    results = pathlib.Path(FLAGS.results_dir).absolute()
    name = f"{pathlib.Path(flag_file).with_suffix('').as_posix().replace('/', '-')}-seed{seed}"
    folder = results / name
    config = dataclasses.replace(read_flags(flag_file), **given_flags() | {"seed": seed})
    if (folder / "metrics.json").is_file():
        require_same(Run(folder), config)
        return folder
    command = [
        *(sys.executable, str(MAIN), f"--flagfile={flag_file}", f"--seed={seed}"),
        *(FLAGS[flag].serialize() for flag in given_flags()),
        *(f"--name={name}", f"--runs_dir={results}", f"--saved_models_dir={results}/exported"),
        "--resume",  # Continue a killed run.
    ]
    threads = str(max(1, os.cpu_count() // FLAGS.jobs))
    limits = {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}
    run(command, "a run", env=os.environ | limits, stdout=sys.stderr)
    return folder
