"""Train one trial: from its `Config` to its score, with the `train` that `main.py` calls."""

import contextlib
import dataclasses
import os
import pathlib
import statistics

import keras
import tensorflow as tf

from configs import Interrupted, UserError
from training.train import train
from tuning.score import score_of
from tuning.trial import THREADS

# Errors that drawn values can cause: an invalid model, a diverged loss, too little memory.
FAILURES = (UserError, ValueError, MemoryError, tf.errors.OpError)


def run_trial(trial, config, folder, data, executions=1):
    """Train a trial with one seed or several, and score it on the validation examples.

    `train` receives the validation examples as its test examples too, so a search never sees the
    real test examples. After an interruption or a kill, the same call continues to the same bits.

    Args:
        trial: The `Trial`.
        config: Its `Config`.
        folder: The folder for a run of each seed and for their printed output.
        data: A `Dataset`.
        executions: Number of seeds to train with: the seed of `config` and those that follow.

    Returns:
        The `Trial`, completed or failed.

    Raises:
        Interrupted: At SIGINT (Ctrl-C) and SIGTERM, after a checkpoint was written.
        OSError: If the disk is full or cannot be written to.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    source = f"{data.source}, its validation {data.spec.examples} in place of test"
    data = dataclasses.replace(data, test=data.validation, source=source)
    metrics = []
    try:
        for seed in range(config.seed, config.seed + executions):
            keras.utils.clear_session()  # Frees the memory of earlier trials.
            with _open_log(folder / "output.txt") as log, contextlib.redirect_stdout(log):
                seed_config = dataclasses.replace(config, seed=seed)
                run = train(seed_config, folder / f"seed-{seed}", data, resume=True)
            metrics.append(run.metrics())
    except FAILURES as error:
        return trial.failed(error)
    scores = tuple(map(score_of, metrics))
    return dataclasses.replace(
        trial,
        status="completed",
        score=statistics.fmean(scores),
        scores=scores,
        parameters=metrics[0]["parameters"],
        seconds=round(sum(each["training"]["seconds"] for each in metrics), 1),
    )


def _open_log(path):
    # UTF-8, since the encoding of the terminal may not have all characters.
    return open(path, "a", encoding="utf-8", errors="backslashreplace")


class InProcess:
    """Trains one trial after another, in this process.

    Attributes:
        max_running: How many trials it trains at the same time.
        flags: The flags of `tune.py` that select these workers.
        threads: The environment variables that set the number of threads of a trial, by name.
    """

    max_running = 1
    flags = ""

    def __init__(self):
        self.threads = {name: os.environ[name] for name in THREADS if name in os.environ}
        self._task = None

    @property
    def running(self):
        """The number of running trials."""
        return int(self._task is not None)

    @contextlib.contextmanager
    def ready(self, data, executions):
        """Make the workers ready for a `Dataset` and a number of seeds, until the block ends."""
        self._data, self._executions = data, executions
        yield

    def start(self, trial, config, folder):
        """Start the training of a `Trial` with its `Config`, in its folder."""
        self._task = trial, config, folder

    def wait(self):
        """Wait a while; return the `Trial`s that ended, which may be none.

        A returned trial whose status is still `running` has lost its worker. Its `reason` says why,
        and it must be started again.
        """
        task, self._task = self._task, None
        try:
            return [run_trial(*task, self._data, self._executions)]
        except Interrupted as interrupt:
            after = f"{interrupt}".partition(";")[0]
            raise Interrupted(interrupt.signal, f"{after} of trial {task[0].number}") from None

    def stop(self):
        """Stop the running trials after a checkpoint; return the `Trial`s that ended meanwhile."""
        return []
