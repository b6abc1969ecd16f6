"""Many runs at a glance: a table of them, and their curves in one picture."""

import os
import pathlib
import time

from configs import UserError
from training.run import Run, save_figure


def table(folder):
    """The runs in a folder as a table in words, the newest last.

    Args:
        folder: Where the run folders are.

    Raises:
        UserError: If there are none.
    """
    runs = [Run(path.parent) for path in pathlib.Path(folder).glob("[!.]*/flags.txt")]
    if not runs:
        raise UserError(
            f"--runs_dir={folder}: there is no run in it; expected a folder of runs: choose "
            "another, or "
            "train a run first with python main.py"
        )
    runs.sort(key=lambda run: run.flags_path.stat().st_mtime)
    rows = [("run", "model", "data", "accuracy", "time", "status"), *map(_row, runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def open_runs(folders, runs_dir="runs", flag="--runs"):
    """Open several runs as `Run.open`; a `UserError` also if there is one twice."""
    runs = [Run.open(folder, runs_dir, flag) for folder in folders]
    if len({run.folder.resolve() for run in runs}) < len(runs):
        raise UserError(f"{flag}: received a run twice; expected each once: remove one of them")
    return runs


def names(folders):
    """What to call some runs: by their folders' names, or whole paths if two have the same."""
    short = [pathlib.Path(folder).name for folder in folders]
    return short if len(set(short)) == len(short) else [str(folder) for folder in folders]


def _row(run):
    """Name, model, data, accuracy, time and status of one run."""
    try:
        config, metrics = run.config(), run.metrics()
    except UserError as error:
        return (run.folder.name, "", "", "", "", str(error))
    model = f"{config.model}-{config.units}" + (f"x{config.layers}" if config.layers > 1 else "")
    about = (run.folder.name, model, config.dataset)
    if metrics:
        accuracy = f"{metrics['test']['accuracy']:.2%}"
        status = "finished"
        if run.unexported_path.is_file() and not run.is_running():
            flags = os.fsdecode(run.unexported_path.read_bytes())
            status += f", not exported: {run.command('--mode=export')}{flags}"
        return (*about, accuracy, _duration(metrics["wall_seconds"]), status)
    if run.is_running():
        since = time.time() - run.flags_path.stat().st_mtime
        return (*about, "", _duration(since), "running")
    if run.diverged_path.is_file():
        return (*about, "", "", os.fsdecode(run.diverged_path.read_bytes()).partition(":")[0])
    return (*about, "", "", f"interrupted: {run.command('--resume')}")


def _duration(seconds):
    """Seconds in words: `0:48`, `1:02:03`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def compare(folders, runs_dir):
    """Draw the curves of several runs together.

    Args:
        folders: Their run folders, or the names of those in `runs_dir`.
        runs_dir: Where run folders are made, and the picture is written.

    Returns:
        The picture's path, `compare.png`.

    Raises:
        UserError: If one of them is no run, is there twice, or has not finished an epoch.
    """
    from training.figures import draw_comparison

    histories = {str(run.folder): run.history() for run in open_runs(folders, runs_dir)}
    path = pathlib.Path(runs_dir) / "compare.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(path, draw_comparison(histories))
    return path
