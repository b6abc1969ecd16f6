"""What happens during `fit` besides the fitting."""

import math
import time

import keras
import numpy as np

from configs import Interrupted, UserError
from training import checkpoint
from training.anomaly import EXPLODED, Anomaly
from training.averages import averaged


class Keep(keras.callbacks.Callback):
    """Keep in the run what training has come to, so that it can go on from there.

    A checkpoint is written after every epoch, after every `--checkpoint_every` steps, and when a
    signal asks to stop; `history.csv` and `model.keras` after every epoch.

    Args:
        run: The `Run`.
        config: Its `Config`.
        data: Its `Dataset`.
        requested: The `--dataset` asked for, of which `data` is what was found.
        steps: Training steps of the whole run.
        stop_signal: A function that gives the number of the signal that asked to stop, or `None`.
        distribution: The `Distribution` of the training; its chief is who reads and writes.

    Attributes:
        history: A list with a dict of each epoch's metrics by name.
        printed: Images seen and images right when `PrintAccuracy` last had its say.
        seconds: How long the run has trained, interruptions left out.
    """

    def __init__(self, run, config, data, requested, steps, stop_signal, distribution):
        super().__init__()
        self.run = run
        self.config = config
        self.checksum = data.checksum()
        self.epoch_size = len(data.train)
        self.requested = requested
        self.steps = steps
        self.stop_signal = distribution.agreed(stop_signal)
        self.on_chief = distribution.on_chief
        self.history = []
        self.printed = [0.0, 0.0]
        self.seconds = 0.0

    def restore(self):
        """Go back to the newest checkpoint of the run, or write its first.

        Raises:
            UserError: If no checkpoint is good, or the images are not those it was trained on.
        """
        self.clock = time.perf_counter()
        progress = checkpoint.restore(self.run, self.model, self.on_chief)
        if progress is None:
            self.save()
            progress = self.on_chief(self._progress)
        if progress["data"] != self.checksum:
            raise UserError(
                f"{self.run.folder}: these images have the SHA-256 {self.checksum}; expected those "
                f"that the run began with, {progress['data']}: name their folder with --data_dir "
                "or --mnist_dir, or train a new run under another --name"
            )
        self.requested = progress["requested"]
        self.history, self.printed = progress["history"], progress["printed"]
        self.seconds = progress["seconds"]

    def save(self):
        """Write a checkpoint."""
        now = time.perf_counter()
        self.seconds, self.clock = self.seconds + now - self.clock, now
        self.on_chief(lambda: checkpoint.save(self.run, self.model, self._progress()))

    def _progress(self):
        return {
            "data": self.checksum,
            "requested": self.requested,
            "history": self.history,
            "printed": self.printed,
            "seconds": self.seconds,
        }

    def _check_state(self):
        """`Anomaly` if a weight, or what the optimizer knows of it, is lost."""
        for variable in checkpoint.variables(self.model).values():
            if not np.isfinite(variable.numpy()).all():
                raise Anomaly(f"{variable.path} is not finite")

    @property
    def steps_taken(self):
        return int(self.model.optimizer.iterations.numpy())

    @property
    def finished(self):
        """Whether all steps are taken, or early stopping has stopped."""
        return self.steps_taken >= self.steps or self._stopped_early()

    def on_train_begin(self, logs=None):
        # Which Keras sets back when the epoch, maybe the rest of an interrupted one, begins.
        self.metrics = [variable.numpy() for variable in self.model.metrics_variables]

    def on_epoch_begin(self, epoch, logs=None):
        for variable, value in zip(self.model.metrics_variables, self.metrics, strict=True):
            variable.assign(value)
        self.metrics = [np.zeros_like(value) for value in self.metrics]
        self.images = self.images_of_epoch
        self.loss = self.images * float(self.model.get_metrics_result()["loss"])

    @property
    def images_of_epoch(self):
        """How many images the epoch under way has seen."""
        before = len(self.history) * math.ceil(self.epoch_size / self.config.batch_size)
        return min((self.steps_taken - before) * self.config.batch_size, self.epoch_size)

    def on_train_batch_end(self, batch, logs=None):
        self._check_loss(logs["loss"])
        steps = self.steps_taken
        if steps == self.steps:
            self.model.stop_training = True
        elif batch + 1 < self.params["steps"]:  # Else the epoch's own checkpoint comes.
            every = self.config.checkpoint_every
            signal = self.stop_signal()
            if signal or (every and steps % every == 0):
                self._check_state()
                self.save()
            if signal:
                raise Interrupted(signal, self.interrupted)

    def _check_loss(self, mean):
        """`Anomaly` if the loss of the last steps, by the mean since the epoch began, is lost."""
        images, loss = self.images_of_epoch, self.images_of_epoch * mean
        latest = (loss - self.loss) / (images - self.images)
        if not latest < EXPLODED:  # NaN is not less either.
            raise Anomaly(f"the loss is {latest:.3g}")
        self.images, self.loss = images, loss

    def on_epoch_end(self, epoch, logs=None):
        for name, value in logs.items():
            if not np.isfinite(value):
                raise Anomaly(f"the {name} is {value}")
        self._check_state()  # Before anything is written.
        self.history.append({name: float(value) for name, value in logs.items()})
        self.on_chief(lambda: self.run.save_history(self.history))
        if not self.config.early_stopping_patience or self._best_epoch() == epoch:
            with averaged(self.model):
                self.on_chief(lambda: self.run.save_model(self.model))
        self.model.reset_metrics()  # No epoch is under way.
        self.save()
        if self._stopped_early():
            self.model.stop_training = True
        elif not self.finished:
            self.check_signal()

    def check_signal(self):
        """`Interrupted` if a signal asked to stop, after the last checkpoint."""
        if signal := self.stop_signal():
            raise Interrupted(signal, self.interrupted)

    def _best_epoch(self):
        losses = [logs["val_loss"] for logs in self.history]
        return losses.index(min(losses))

    def _stopped_early(self):
        patience = self.config.early_stopping_patience
        return bool(patience and self.history and len(self.history) > self._best_epoch() + patience)

    @property
    def interrupted(self):
        """What a signal that ends the run says last."""
        return (
            f"interrupted after {self.steps_taken:,} of {self.steps:,} steps; to go on: "
            f"{self.run.command('--resume')}"
        )


class PrintAccuracy(keras.callbacks.Callback):
    """Print the training accuracy of the last `every` steps, as the TensorFlow 1 tutorials did.

    Args:
        every: Steps from one line to the next.
        keep: The run's `Keep`, which comes after this among the callbacks.
    """

    def __init__(self, every, keep):
        super().__init__()
        self.every = every
        self.keep = keep

    def on_train_batch_end(self, batch, logs=None):
        steps, history, size = self.keep.steps_taken, self.keep.history, self.keep.epoch_size
        if steps % self.every:
            return
        # Keras logs the mean since the epoch began; the difference of two sums is the new part.
        images = self.keep.images_of_epoch
        seen = len(history) * size + images
        right = size * sum(e["accuracy"] for e in history) + images * logs["accuracy"]
        seen_before, right_before = self.keep.printed
        self.keep.printed = [float(seen), float(right)]
        accuracy = (right - right_before) / (seen - seen_before)
        print(f"step {steps:5d}  training accuracy {accuracy:7.2%}", flush=True)
