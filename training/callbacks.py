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
        steps: Training steps of the whole run.
        stop_signal: A function that gives the number of the signal that asked to stop, or `None`.

    Attributes:
        history: A dict of each epoch's metrics by name.
        printed: Images seen and images right when `PrintAccuracy` last had its say.
        seconds: How long the run has trained, interruptions left out.
    """

    def __init__(self, run, config, data, steps, stop_signal):
        super().__init__()
        self.run = run
        self.config = config
        self.checksum = data.checksum()
        self.steps = steps
        self.stop_signal = stop_signal
        self.history = []
        self.printed = [0.0, 0.0]
        self.seconds = 0.0

    def restore(self):
        """Go back to the newest checkpoint of the run, or write its first.

        Raises:
            UserError: If no checkpoint is good, or the images are not those it was trained on.
        """
        self.clock = time.perf_counter()
        progress = checkpoint.restore(self.run, self.model)
        if progress is None:
            self.save()
            return
        if progress["data"] != self.checksum:
            raise UserError(
                f"{self.run.folder}: these images have the SHA-256 {self.checksum}; expected those "
                f"the run began with, {progress['data']}"
            )
        self.history, self.printed = progress["history"], progress["printed"]
        self.seconds = progress["seconds"]

    def save(self):
        """Write a checkpoint; `Anomaly` if the weights are lost."""
        if not all(np.isfinite(variable.numpy()).all() for variable in self.model.weights):
            raise Anomaly("the weights are not finite")
        now = time.perf_counter()
        self.seconds, self.clock = self.seconds + now - self.clock, now
        progress = {
            "data": self.checksum,
            "history": self.history,
            "printed": self.printed,
            "seconds": self.seconds,
        }
        checkpoint.save(self.run, self.model, progress)

    @property
    def steps_taken(self):
        return int(self.model.optimizer.iterations)

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

    def on_train_batch_end(self, batch, logs=None):
        if not logs["loss"] < EXPLODED:  # NaN is not less either.
            raise Anomaly(f"the loss is {logs['loss']:.3g}")
        steps = self.steps_taken
        if steps == self.steps:
            self.model.stop_training = True
        elif batch + 1 < self.params["steps"]:  # Else the epoch's own checkpoint comes.
            every = self.config.checkpoint_every
            signal = self.stop_signal()
            if signal or (every and steps % every == 0):
                self.save()
            if signal:
                self._interrupt(signal)

    def on_epoch_end(self, epoch, logs=None):
        self.history.append({name: float(value) for name, value in logs.items()})
        self.run.save_history(self.history)
        if not self.config.early_stopping_patience or self._best_epoch() == epoch:
            with averaged(self.model):
                self.run.save_model(self.model)
        self.model.reset_metrics()  # No epoch is under way.
        self.save()
        if self._stopped_early():
            self.model.stop_training = True
        elif self.stop_signal() and not self.finished:
            self._interrupt(self.stop_signal())

    def _best_epoch(self):
        losses = [logs["val_loss"] for logs in self.history]
        return losses.index(min(losses))

    def _stopped_early(self):
        patience = self.config.early_stopping_patience
        return bool(patience and self.history and len(self.history) > self._best_epoch() + patience)

    def _interrupt(self, signal):
        raise Interrupted(
            signal,
            f"interrupted after {self.steps_taken:,} of {self.steps:,} steps; to go on: "
            f"python main.py --resume --run={self.run.folder}",
        )


class PrintAccuracy(keras.callbacks.Callback):
    """Print the training accuracy of the last `every` steps, as the TensorFlow 1 tutorials did.

    Args:
        every: Steps from one line to the next.
        batch_size: Images per step.
        epoch_size: Images per epoch; its last step has what is left of them.
        keep: The run's `Keep`, which comes after this among the callbacks.
    """

    def __init__(self, every, batch_size, epoch_size, keep):
        super().__init__()
        self.every = every
        self.batch_size = batch_size
        self.epoch_size = epoch_size
        self.keep = keep

    def on_train_batch_end(self, batch, logs=None):
        steps, history = self.keep.steps_taken, self.keep.history
        if steps % self.every:
            return
        steps_before = len(history) * math.ceil(self.epoch_size / self.batch_size)
        images = min((steps - steps_before) * self.batch_size, self.epoch_size)
        # Keras logs the mean since the epoch began; the difference of two sums is the new part.
        seen = len(history) * self.epoch_size + images
        right = self.epoch_size * sum(e["accuracy"] for e in history) + images * logs["accuracy"]
        seen_before, right_before = self.keep.printed
        self.keep.printed = [float(seen), float(right)]
        accuracy = (right - right_before) / (seen - seen_before)
        print(f"step {steps:5d}  training accuracy {accuracy:7.2%}", flush=True)
