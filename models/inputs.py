"""The input of a model as a sequence. No other file of `models/` asks for `Spec.reads`."""

import keras

from models.distort import Distort
from models.image_to_sequence import ImageToSequence
from models.one_hot import OneHot

_DISTORTIONS = ("rotation", "shift", "zoom", "shear", "elastic")


def create_inputs(config, spec):
    """The input of a model, and the sequence that its first recurrent layer reads.

    Args:
        config: A `Config`; its scan and distortion fields are used if images are read.
        spec: The `Spec` of the dataset.

    Returns:
        A `keras.Input`, and a tensor `(batch, steps, features)`. By what the spec reads:

        - `"images"`: `rows (batch, 28, 28)`, pixel values 0 to 255 of any integer or float dtype,
          are scaled to 0..1 and scanned. In training, and only then, they are distorted and parts
          of them left out before.
        - `"vectors"`: `sequences (batch, steps, features)`, of any number of steps, as they are.
        - `"tokens"`: `ids int32 (batch, steps)`, the numbers of symbols, become one-hot vectors, or
          vectors of `--embedding_size` that are learned. Learned vectors have dropout, too (W.
          Zaremba, I. Sutskever and O. Vinyals, Recurrent Neural Network Regularization, 2014,
          https://arxiv.org/abs/1409.2329).
    """
    if spec.reads == "tokens":
        ids = keras.Input(spec.shape, dtype="int32", name="ids")
        return ids, _embed(ids, config, spec)
    if spec.reads == "vectors":
        sequences = keras.Input(spec.shape, dtype="float32", name="sequences")
        return sequences, sequences
    rows = keras.Input(spec.shape, dtype="float32", name="rows")
    x = keras.layers.Rescaling(1 / 255, name="scale")(rows)
    x = _augment(x, config)
    return rows, ImageToSequence(config.scan, config.permute_seed, name="scan")(x)


def _embed(ids, config, spec):
    """From ids `(batch, steps)` to vectors `(batch, steps, features)`."""
    if not config.embedding_size:
        return OneHot(spec.size, name="one_hot")(ids)
    x = keras.layers.Embedding(spec.size, config.embedding_size, name="embedding")(ids)
    return keras.layers.Dropout(config.dropout, name="dropout_0")(x) if config.dropout else x


def _augment(images, config):
    """Images `(batch, 28, 28)` as the recurrent layers see them in training."""
    distortions = {name: getattr(config, name) for name in _DISTORTIONS}
    if any(distortions.values()):
        images = Distort(**distortions, name="distort")(images)
    if config.pixel_dropout:
        images = keras.layers.Dropout(config.pixel_dropout, name="pixel_dropout")(images)
    if config.row_dropout:
        whole_rows = (None, 28, 1)
        images = keras.layers.Dropout(config.row_dropout, whole_rows, name="row_dropout")(images)
    return images
