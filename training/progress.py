"""How far a training has come, and the checkpoints that hold it."""

import time

from configs import UserError
from training import checkpoint


class Progress:
    """How far a training has come: the state of it that is not a variable of the model.

    Args:
        session: The `Session`.
        model: The model, compiled.

    Attributes:
        requested: The `--dataset` that the run began with.
        history: A list with a dict of each finished epoch's metrics by name.
        printed: How many examples had been seen, and how many answers were right, when
            `PrintScore` last printed.
        seconds: How long the run has trained, interruptions left out.
    """

    def __init__(self, session, model):
        self.session = session
        self.model = model
        self._checksum = session.data.checksum()
        self.requested = session.requested
        self.history = []
        self.printed = [0.0, 0.0]
        self.seconds = 0.0

    def restore(self):
        """Return to the newest checkpoint of the run, or write its first.

        Raises:
            UserError: If no checkpoint is good, or the data are not those it was trained on.
        """
        self._clock = time.perf_counter()
        on_chief = self.session.distribution.on_chief
        saved = checkpoint.restore(self.session.run, self.model, on_chief)
        if saved is None:
            self.save()
            saved = on_chief(self._values)
        if saved["data"] != self._checksum:
            raise UserError(
                f"{self.session.run.folder}: these data have the SHA-256 {self._checksum}; "
                f"expected those that the run began with, {saved['data']}: name these with "
                "--data_dir, --mnist_dir or --text_file, or train a new run under another --name"
            )
        self.requested = saved["requested"]
        self.history, self.printed = saved["history"], saved["printed"]
        self.seconds = saved["seconds"]

    def save(self):
        """Write a checkpoint."""
        now = time.perf_counter()
        self.seconds, self._clock = self.seconds + now - self._clock, now
        run = self.session.run
        self.session.distribution.on_chief(lambda: checkpoint.save(run, self.model, self._values()))

    def _values(self):
        return {
            "data": self._checksum,
            "requested": self.requested,
            "history": self.history,
            "printed": self.printed,
            "seconds": self.seconds,
        }

    @property
    def steps_taken(self):
        return int(self.model.optimizer.iterations.numpy())

    @property
    def examples_of_epoch(self):
        """How many examples the current epoch has seen."""
        before = len(self.history) * self.session.steps_per_epoch
        seen = (self.steps_taken - before) * self.session.config.batch_size
        return min(seen, len(self.session.data.train))

    @property
    def best_epoch(self):
        """The epoch, counted from 0, with the lowest validation loss."""
        losses = [logs["val_loss"] for logs in self.history]
        return losses.index(min(losses))

    @property
    def has_stopped_early(self):
        """Whether the validation loss has not improved for `--early_stopping_patience` epochs."""
        patience = self.session.config.early_stopping_patience
        return bool(patience and self.history and len(self.history) > self.best_epoch + patience)

    @property
    def is_finished(self):
        """Whether all steps are taken, or early stopping has stopped."""
        return self.steps_taken >= self.session.steps or self.has_stopped_early

    @property
    def interrupted(self):
        """The last line of a run that a signal ends."""
        return (
            f"interrupted after {self.steps_taken:,} of {self.session.steps:,} steps; to go on: "
            f"{self.session.run.command('--resume')}"
        )
