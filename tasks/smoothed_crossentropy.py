"""The loss of a classifier."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mnist_rows")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of class numbers and logits, with smoothed labels if asked for.

    Keras smooths labels given as probabilities, but not those given as numbers. Source: C. Szegedy
    and others, Rethinking the Inception Architecture for Computer Vision, 2016,
    https://arxiv.org/abs/1512.00567.

    Args:
        smoothing: Fraction of each label that is given to all classes alike.
    """

    def __init__(self, smoothing=0.0, name="crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.smoothing = smoothing

    def call(self, labels, logits):
        """Labels `int (batch,)` and logits `(batch, classes)` to nats `(batch,)`."""
        if not self.smoothing:
            return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        one_hot = ops.one_hot(labels, logits.shape[-1])
        return keras.losses.categorical_crossentropy(
            one_hot, logits, from_logits=True, label_smoothing=self.smoothing
        )

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}
