"""The input of a model as a sequence. No other file of `models/` asks for `Spec.reads`."""

import keras

from models.distort import Distort
from models.image_to_sequence import ImageToSequence

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
    """
    if spec.reads == "vectors":
        sequences = keras.Input(spec.shape, dtype="float32", name="sequences")
        return sequences, sequences
    rows = keras.Input(spec.shape, dtype="float32", name="rows")
    x = keras.layers.Rescaling(1 / 255, name="scale")(rows)
    x = _augment(x, config)
    return rows, ImageToSequence(config.scan, config.permute_seed, name="scan")(x)


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
