"""What happens during `fit` besides the fitting."""

import keras
import numpy as np


class SaveModel(keras.callbacks.Callback):
    """Save the model into its run at the end of every epoch."""

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        self.run.save_model(self.model)


class StopAfter(keras.callbacks.Callback):
    """Stop after so many training steps, be it in the middle of an epoch."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_epoch_begin(self, epoch, logs=None):
        self.steps_before = epoch * self.params["steps"]

    def on_train_batch_end(self, batch, logs=None):
        if self.steps_before + batch + 1 == self.steps:
            self.model.stop_training = True


class PrintAccuracy(keras.callbacks.Callback):
    """Print the training accuracy of the last `every` steps, as the TensorFlow 1 tutorials did.

    Args:
        every: Steps from one line to the next.
        batch_size: Images per step.
        epoch_size: Images per epoch; its last step has what is left of them.
    """

    def __init__(self, every, batch_size, epoch_size):
        super().__init__()
        self.every = every
        self.batch_size = batch_size
        self.epoch_size = epoch_size
        self.now = self.printed = np.zeros(2)  # images seen, images right

    def on_epoch_begin(self, epoch, logs=None):
        self.before = self.now
        self.steps_before = epoch * self.params["steps"]

    def on_train_batch_end(self, batch, logs=None):
        steps = self.steps_before + batch + 1
        # Keras logs the mean since the epoch began; the difference of two sums is the new part.
        images = min((batch + 1) * self.batch_size, self.epoch_size)
        self.now = self.before + np.array([images, images * logs["accuracy"]])
        if steps % self.every == 0:
            images, right = self.now - self.printed
            self.printed = self.now
            print(f"step {steps:5d}  training accuracy {right / images:7.2%}", flush=True)
