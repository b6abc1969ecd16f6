"""Numbers of symbols as one-hot vectors."""

import keras


@keras.saving.register_keras_serializable(package="mnist_rows")
class OneHot(keras.layers.Layer):
    """From ids `int (batch, steps)` to vectors `(batch, steps, size)` of one 1 and zeros.

    `keras.layers.CategoryEncoding` does the same, but not in a graph.

    Args:
        size: The number of symbols.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, ids):
        return keras.ops.one_hot(ids, self.size, dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "size": self.size}
