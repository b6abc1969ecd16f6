"""Trials: from a `Config` to its score, by the `train` of `main.py`."""

import contextlib
import dataclasses
import os
import pathlib
import statistics

import keras
import tensorflow as tf

from configs import Interrupted, UserError
from training.train import train
from tuning.trial import THREADS

# What a draw can be to blame for: it makes no network, the loss explodes, or memory is too small.
FAILURES = (UserError, ValueError, MemoryError, tf.errors.OpError)


def run_trial(trial, config, folder, data, executions=1):
    """Train what was drawn, with one seed or several, and judge it on the validation images.

    The test images are out of its reach: what `train` is given as such are the validation images.
    Called again after it was interrupted or killed, it goes on, to the same bits.

    Args:
        trial: The `Trial`.
        config: Its `Config`.
        folder: The folder for a run of each seed and what they print.
        data: A `Dataset`.
        executions: How often to train: with the config's seed and those that follow it.

    Returns:
        The `Trial`, completed or failed.

    Raises:
        Interrupted: At SIGINT (Ctrl-C) and SIGTERM, after a checkpoint was written.
        OSError: If the disk refuses.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = dataclasses.replace(
        data, test=data.validation, source=f"{data.source}, its validation images in place of test"
    )
    metrics = []
    try:
        for seed in range(config.seed, config.seed + executions):
            keras.utils.clear_session()  # Else the memory of all trials would add up.
            with _open_log(folder / "output.txt") as log, contextlib.redirect_stdout(log):
                of_seed = dataclasses.replace(config, seed=seed)
                run = train(of_seed, folder / f"seed-{seed}", data, resume=True)
            metrics.append(run.metrics())
    except FAILURES as error:
        return trial.failed(error)
    scores = tuple(each["test"]["score"] for each in metrics)
    return dataclasses.replace(
        trial,
        status="completed",
        score=statistics.fmean(scores),
        scores=scores,
        parameters=metrics[0]["parameters"],
        seconds=round(sum(each["training"]["seconds"] for each in metrics), 1),
    )


def _open_log(path):
    # Whatever the trial prints, and whatever the encoding of the terminal.
    return open(path, "a", encoding="utf-8", errors="backslashreplace")


class InProcess:
    """Trains one trial after another, in this process.

    Attributes:
        at_once: How many trials it trains at the same time.
        flags: The flags by which `tune.py` trains so.
        threads: The environment variables, by name, that give a trial its number of threads.
    """

    at_once = 1
    flags = ""

    def __init__(self):
        self.threads = {name: os.environ[name] for name in THREADS if name in os.environ}
        self._task = None

    @property
    def under_way(self):
        """How many trials are being trained."""
        return int(self._task is not None)

    @contextlib.contextmanager
    def ready(self, data, executions):
        """Be ready to train, until the block ends, on a `Dataset` with so many seeds."""
        self._data, self._executions = data, executions
        yield

    def start(self, trial, config, folder):
        """Have a `Trial` with its `Config` trained, in its folder."""
        self._task = trial, config, folder

    def wait(self):
        """The `Trial`s, maybe none, that have ended after a while.

        One that is still running is not being trained any more, and has to be started again; its
        reason says why.
        """
        task, self._task = self._task, None
        try:
            return [run_trial(*task, self._data, self._executions)]
        except Interrupted as interrupt:
            after = f"{interrupt}".partition(";")[0]
            raise Interrupted(interrupt.signal, f"{after} of trial {task[0].number}") from None

    def stop(self):
        """Stop what is under way, in good order; the `Trial`s that ended just then."""
        return []
