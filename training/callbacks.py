"""Keras callbacks of a training. Each does one thing; `create_callbacks` has their order."""

import keras
import numpy as np

from configs import Interrupted
from models import reset_states, stateless
from training.averages import ValidateAverages, averaged
from training.divergence import Diverged, require_finite

PLATEAU_FACTOR = 0.25  # Of the learning rate, after an epoch that was not the best so far.


def create_callbacks(progress, stop_signal):
    """The callbacks of a training, in the order in which Keras calls them.

    Args:
        progress: The `Progress` of the training.
        stop_signal: A function that returns the number of the signal that asked to stop, or `None`.
    """
    session = progress.session
    callbacks = []
    if session.config.tensorboard and session.distribution.is_chief:
        callbacks.append(keras.callbacks.TensorBoard(session.run.tensorboard_path))
    if session.config.log_every and session.distribution.is_chief:
        callbacks.append(PrintScore(progress))
    if session.config.ema is not None:
        callbacks.append(ValidateAverages())
    return [
        *callbacks,
        RestoreMetrics(),
        ResetStates(progress),
        *([DecayOnPlateau(progress)] if session.config.schedule == "plateau" else []),
        CheckDivergence(progress),
        RecordEpochs(progress),
        # After all others: a checkpoint holds what they have done.
        WriteCheckpoints(progress),
        StopOnSignal(progress, stop_signal),
    ]


class RestoreMetrics(keras.callbacks.Callback):
    """Go on counting the metrics of an epoch that was interrupted.

    Keras sets the metrics to zero when `fit` begins an epoch, which may be the rest of one.
    """

    def on_train_begin(self, logs=None):
        self.values = [variable.numpy() for variable in self.model.metrics_variables]

    def on_epoch_begin(self, epoch, logs=None):
        for variable, value in zip(self.model.metrics_variables, self.values, strict=True):
            variable.assign(value)
        self.values = [np.zeros_like(value) for value in self.values]

    def on_epoch_end(self, epoch, logs=None):
        self.model.reset_metrics()  # No epoch has begun: the checkpoint must not hold one.


class ResetStates(keras.callbacks.Callback):
    """Begin every epoch and every validation of a text with states of 0.

    Args:
        progress: The `Progress` of the training.
    """

    def __init__(self, progress):
        super().__init__()
        self.progress = progress

    def on_epoch_begin(self, epoch, logs=None):
        if not self.progress.examples_of_epoch:  # Else it goes on with an interrupted epoch.
            reset_states(self.model)

    def on_test_begin(self, logs=None):
        reset_states(self.model)


class DecayOnPlateau(keras.callbacks.Callback):
    """Set the learning rate of each epoch: `--schedule=plateau`.

    Keras's `ReduceLROnPlateau` forgets its state when a run is resumed. The rate here is a function
    of the history.

    Args:
        progress: The `Progress` of the training.
    """

    def __init__(self, progress):
        super().__init__()
        self.progress = progress

    def on_epoch_begin(self, epoch, logs=None):
        losses = [logs["val_loss"] for logs in self.progress.history]
        stalls = sum(loss >= min(losses[:n]) for n, loss in enumerate(losses) if n)
        rate = self.progress.session.config.learning_rate * PLATEAU_FACTOR**stalls
        self.model.optimizer.learning_rate = rate


class CheckDivergence(keras.callbacks.Callback):
    """Raise `Diverged` if the loss, a metric or a weight is not finite, or the loss is too large.

    Args:
        progress: The `Progress` of the training.
    """

    def __init__(self, progress):
        super().__init__()
        self.progress = progress
        self.max_loss = progress.session.task.max_loss

    def on_epoch_begin(self, epoch, logs=None):
        self.examples = self.progress.examples_of_epoch
        self.sum = self.examples * float(self.model.get_metrics_result()["loss"])

    def on_train_batch_end(self, batch, logs=None):
        # Keras logs the mean since the epoch began; the difference of two sums is the latest part.
        examples = self.progress.examples_of_epoch
        total = examples * logs["loss"]
        latest = (total - self.sum) / (examples - self.examples)
        if not latest < self.max_loss:  # NaN is not less either.
            raise Diverged(f"the loss is {latest:.3g}")
        self.examples, self.sum = examples, total

    def on_epoch_end(self, epoch, logs=None):
        for name, value in logs.items():
            if not np.isfinite(value):
                raise Diverged(f"the {name} is {value}")
        require_finite(self.model)


class RecordEpochs(keras.callbacks.Callback):
    """Write `history.csv` after every epoch, and `model.keras` unless an earlier one was better.

    Args:
        progress: The `Progress` of the training.
    """

    def __init__(self, progress):
        super().__init__()
        self.progress = progress

    def on_epoch_end(self, epoch, logs=None):
        progress, session = self.progress, self.progress.session
        progress.history.append({name: float(value) for name, value in logs.items()})
        session.distribution.on_chief(lambda: session.run.save_history(progress.history))
        if not session.config.early_stopping_patience or progress.best_epoch == epoch:
            with averaged(self.model):
                session.distribution.on_chief(lambda: session.run.save_model(stateless(self.model)))
        if progress.has_stopped_early:
            self.model.stop_training = True


class WriteCheckpoints(keras.callbacks.Callback):
    """Write a checkpoint after every epoch and every `--checkpoint_every` steps.

    Args:
        progress: The `Progress` of the training.
    """

    def __init__(self, progress):
        super().__init__()
        self.progress = progress
        self.every = progress.session.config.checkpoint_every

    def on_train_batch_end(self, batch, logs=None):
        steps = self.progress.steps_taken
        if steps == self.progress.session.steps:
            self.model.stop_training = True
        # The end of the epoch has a checkpoint of its own.
        elif self.every and steps % self.every == 0 and batch + 1 < self.params["steps"]:
            require_finite(self.model)
            self.progress.save()

    def on_epoch_end(self, epoch, logs=None):
        self.progress.save()


class StopOnSignal(keras.callbacks.Callback):
    """Raise `Interrupted`, after a checkpoint, if a signal asked to stop.

    Args:
        progress: The `Progress` of the training.
        stop_signal: A function that returns the number of the signal that asked to stop, or `None`.
    """

    def __init__(self, progress, stop_signal):
        super().__init__()
        self.progress = progress
        self.stop_signal = stop_signal

    def on_train_batch_end(self, batch, logs=None):
        is_last = batch + 1 == self.params["steps"] or self.model.stop_training
        if not is_last and (signal := self.stop_signal()):
            require_finite(self.model)
            self.progress.save()
            raise Interrupted(signal, self.progress.interrupted)

    def on_epoch_end(self, epoch, logs=None):
        if not self.progress.is_finished:
            self.check()

    def check(self):
        """Raise `Interrupted` if a signal asked to stop since the last checkpoint."""
        if signal := self.stop_signal():
            raise Interrupted(signal, self.progress.interrupted)


class PrintScore(keras.callbacks.Callback):
    """Print the training score of the last `--log_every` steps, as the TensorFlow 1 tutorials did.

    Args:
        progress: The `Progress` of the training.
    """

    def __init__(self, progress):
        super().__init__()
        self.progress = progress
        self.every = progress.session.config.log_every

    def on_train_batch_end(self, batch, logs=None):
        progress, task = self.progress, self.progress.session.task
        if progress.steps_taken % self.every:
            return
        # Keras logs the mean since the epoch began; the difference of two sums is the latest part.
        size, examples = len(progress.session.data.train), progress.examples_of_epoch
        seen = len(progress.history) * size + examples
        right = size * sum(e[task.metric] for e in progress.history) + examples * logs[task.metric]
        seen_before, right_before = progress.printed
        progress.printed = [float(seen), float(right)]
        score = (right - right_before) / (seen - seen_before)
        print(
            f"step {progress.steps_taken:5d}  training {task.show_named(score)}",
            flush=True,
        )
