"""The layer that turns an image into a sequence."""

import keras
import numpy as np
from keras import ops


# Saved models refer to this layer by its former name, `Scan`.
@keras.saving.register_keras_serializable(package="mnist_rows", name="Scan")
class ImageToSequence(keras.layers.Layer):
    """Turn images `(batch, 28, 28)` into sequences `(batch, steps, features)`.

    The layer is part of the model: a served model takes plain images for every order.

    Args:
        order: `"rows"`: from top to bottom, `(batch, 28, 28)`. `"columns"`: from left to right,
            `(batch, 28, 28)`. `"rows_and_columns"`: row t and column t concatenated at step t,
            `(batch, 28, 56)`. `"pixels"`: one pixel at each step, row by row, `(batch, 784, 1)`.
        permute_seed: Seed of a fixed permutation of the 784 pixels, applied first ("permuted
            MNIST": Q. Le, N. Jaitly and G. Hinton 2015, https://arxiv.org/abs/1504.00941), or
            `None`.

    Raises:
        ValueError: If `order` is not one of the four.
    """

    orders = ("rows", "columns", "rows_and_columns", "pixels")

    def __init__(self, order="rows", permute_seed=None, **kwargs):
        if order not in self.orders:
            expected = ", ".join(self.orders)
            raise ValueError(
                f"ImageToSequence: received order={order!r}; expected one of {expected}."
            )
        super().__init__(**kwargs)
        self.order = order
        self.permute_seed = permute_seed

    def call(self, images):
        if self.permute_seed is not None:
            # NumPy guarantees that RandomState draws the same numbers in every release. A saved
            # model needs the same permutation when it is loaded.
            permutation = np.random.RandomState(self.permute_seed).permutation(28 * 28)
            pixels = ops.take(ops.reshape(images, (-1, 28 * 28)), permutation, axis=1)
            images = ops.reshape(pixels, (-1, 28, 28))
        if self.order == "columns":
            return ops.transpose(images, (0, 2, 1))
        if self.order == "rows_and_columns":
            return ops.concatenate([images, ops.transpose(images, (0, 2, 1))], axis=-1)
        if self.order == "pixels":
            return ops.reshape(images, (-1, 28 * 28, 1))
        return images

    def get_config(self):
        return {**super().get_config(), "order": self.order, "permute_seed": self.permute_seed}
