"""Random distortions of the training images."""

import functools

import keras
import numpy as np
from keras import ops

SIDE = 28
# Distance between two control points of the elastic field, in pixels.
_SPACING = 4


@keras.saving.register_keras_serializable(package="mnist_rows")
class Distort(keras.layers.Layer):
    """Distort each image in its own random way in training; otherwise return images unchanged.

    The output pixel at p, relative to the image's middle, is the input at

        q(p) = S Z R p + t + e(p)

    by bilinear interpolation, and 0 outside of the input. R rotates, Z zooms each axis by itself, S
    shears, and t shifts. The elastic field e is Gaussian noise on a coarse grid of control points,
    smoothed by a Gaussian of 4 pixels. The image is resampled once: Keras's RandomRotation,
    RandomZoom, RandomShear, RandomTranslation and RandomElasticTransform together would blur it
    five times.

    Source: P. Simard, D. Steinkraus and J. Platt, Best Practices for Convolutional Neural Networks
    Applied to Visual Document Analysis, 2003, https://doi.org/10.1109/ICDAR.2003.1227801.

    Args:
        rotation: Largest angle, in degrees.
        shift: Largest shift along each axis, in pixels.
        zoom: Largest change of either side, as a fraction of it.
        shear: Largest sideways shift from one row to the next, in pixels.
        elastic: Standard deviation of the elastic field along each axis, in pixels.
        seed: Seed of all random numbers.
    """

    def __init__(self, rotation=0, shift=0, zoom=0, shear=0, elastic=0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rotation = rotation
        self.shift = shift
        self.zoom = zoom
        self.shear = shear
        self.elastic = elastic
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, images, training=False):
        """Images `(batch, 28, 28)` of any float dtype, distorted if `training`."""
        return _resample(images, self.draw_sources(ops.shape(images)[0])) if training else images

    def draw_sources(self, count):
        """The row and column that each pixel of `count` images comes from: `(count, 2, 28, 28)`."""

        def uniform(largest, *shape):
            return keras.random.uniform(
                (count, *shape), -largest, largest, seed=self.seed_generator
            )

        angle = uniform(np.pi / 180 * self.rotation)
        cos, sin = ops.cos(angle), ops.sin(angle)
        height, width = 1 + uniform(self.zoom), 1 + uniform(self.zoom)
        shear = uniform(self.shear)
        # The matrix S Z R. Points are (row, column), and the shear adds rows to columns.
        top = ops.stack([height * cos, -height * sin], axis=-1)
        bottom = ops.stack([width * sin, width * cos], axis=-1) + shear[:, None] * top
        matrix = ops.stack([top, bottom], axis=1)  # (count, 2, 2)

        middle = (SIDE - 1) / 2
        points = np.indices((SIDE, SIDE)).reshape(2, SIDE * SIDE).astype("float32") - middle
        sources = ops.reshape(ops.matmul(matrix, points), (-1, 2, SIDE, SIDE))
        sources = sources + uniform(self.shift, 2, 1, 1) + middle
        if self.elastic:
            smooth = _smoothing()
            knots = (count, 2, smooth.shape[1], smooth.shape[1])
            noise = keras.random.normal(knots, stddev=self.elastic, seed=self.seed_generator)
            sources = sources + ops.matmul(ops.matmul(smooth, noise), smooth.T)
        return sources

    def get_config(self):
        return {
            **super().get_config(),
            "rotation": self.rotation,
            "shift": self.shift,
            "zoom": self.zoom,
            "shear": self.shear,
            "elastic": self.elastic,
            "seed": self.seed,
        }


def _smoothing():
    """A matrix `(28, points)` from control points to pixels along one axis; keeps the variance."""
    knots = np.arange(-_SPACING, SIDE + 2 * _SPACING, _SPACING)
    weights = np.exp(-0.5 * ((np.arange(SIDE)[:, None] - knots) / _SPACING) ** 2)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype("float32")


def _resample(images, sources):
    """Images `(batch, 28, 28)` at `sources (batch, 2, 28, 28)`, bilinearly; 0 outside."""
    if keras.backend.backend() == "tensorflow":
        return _compiled()(images, sources)
    return _bilinear(images, sources)


@functools.cache
def _compiled():
    """`_bilinear` compiled by XLA, which makes it several times as fast."""
    import tensorflow as tf

    return tf.function(_bilinear, jit_compile=True, autograph=False)


def _bilinear(images, sources):
    padded = ops.pad(images, ((0, 0), (1, 2), (1, 2)))  # One empty row before, two after.
    width = SIDE + 3
    flat = ops.reshape(padded, (-1, width * width))
    sources = ops.clip(sources, -1, SIDE) + 1
    corner = ops.floor(sources)
    row, column = ops.split(ops.reshape(sources - corner, (-1, 2, SIDE * SIDE)), 2, axis=1)
    row, column = row[:, 0], column[:, 0]  # Distance from the corner, (batch, 784).
    index = ops.cast(corner[:, 0] * width + corner[:, 1], "int32")
    index = ops.reshape(index, (-1, SIDE * SIDE))

    def pixel(down, right):
        return ops.take_along_axis(flat, index + (down * width + right), axis=1)

    above = pixel(0, 0) * (1 - column) + pixel(0, 1) * column
    below = pixel(1, 0) * (1 - column) + pixel(1, 1) * column
    return ops.reshape(above * (1 - row) + below * row, (-1, SIDE, SIDE))
