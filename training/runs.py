"""Many runs at a glance: a table of them, and their curves in one picture."""

import os
import pathlib
import time

from configs import UserError
from configs.scopes import kind_of
from tasks import TASKS
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
            f"--runs_dir={folder}: it does not contain a run; expected a folder of runs: choose "
            "another, or "
            "train a run first with python main.py"
        )
    runs.sort(key=lambda run: run.flags_path.stat().st_mtime)
    rows = [("run", "model", "data", "score", "time", "status"), *map(_row, runs)]
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
    """Labels of runs: the names of their folders, or whole paths if two names are equal."""
    short = [pathlib.Path(folder).name for folder in folders]
    return short if len(set(short)) == len(short) else [str(folder) for folder in folders]


def _row(run):
    """Name, model, data, score, time and status of one run."""
    try:
        config, metrics = run.config(), run.metrics()
    except UserError as error:
        return (run.folder.name, "", "", "", "", str(error))
    model = f"{config.model}-{config.units}" + (f"x{config.layers}" if config.layers > 1 else "")
    about = (run.folder.name, model, config.dataset)
    if metrics:
        # A run of an earlier version has no "score".
        score = metrics.get("score") or f"{metrics['test']['accuracy']:.2%}"
        status = "finished"
        if run.unexported_path.is_file() and not run.is_running():
            flags = os.fsdecode(run.unexported_path.read_bytes())
            status += f", not exported: {run.command('--mode=export')}{flags}"
        return (*about, score, _duration(metrics["wall_seconds"]), status)
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
        folders: The folders of the runs, or their names in `runs_dir`.
        runs_dir: The folder of all runs. The picture is written there.

    Returns:
        The picture's path, `compare.png`.

    Raises:
        UserError: If one of them is not a run, is given twice, has not finished an epoch, or has
            another score than the others.
    """
    from training.figures import draw_comparison

    opened = open_runs(folders, runs_dir)
    answers = {kind_of(run.config().dataset).answers: run for run in opened}
    if len(answers) > 1:
        one, other = list(answers.values())[:2]
        raise UserError(
            f"--runs: {one.folder} and {other.folder} have different scores, of --dataset="
            f"{one.config().dataset} and --dataset={other.config().dataset}; expected runs whose "
            "datasets ask for the same"
        )
    histories = {str(run.folder): run.history() for run in opened}
    path = pathlib.Path(runs_dir) / "compare.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(path, draw_comparison(histories, TASKS[next(iter(answers))](None, None)))
    return path
