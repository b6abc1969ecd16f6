"""What happens during `fit` besides the fitting."""

import keras


class SaveModel(keras.callbacks.Callback):
    """Save the model into its run at the end of every epoch."""

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        self.run.save_model(self.model)


class CountSteps(keras.callbacks.Callback):
    """Count the training steps, and stop after `limit` of them."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == self.limit:
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
        self.steps = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.images = self.correct = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps % self.every == 0:
            # Keras logs the mean since the epoch began; the difference of two sums is the new part.
            images = min((batch + 1) * self.batch_size, self.epoch_size)
            correct = logs["accuracy"] * images
            accuracy = (correct - self.correct) / (images - self.images)
            print(f"step {self.steps:5d}  training accuracy {accuracy:7.2%}", flush=True)
            self.images, self.correct = images, correct
