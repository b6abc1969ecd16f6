"""A trained model as every exported format shows it."""

import contextlib

import keras
import tensorflow as tf


def answers(logits):
    """What an exported model answers, of `logits float32 (batch, classes)`.

    Returns:
        `probabilities float32 (batch, classes)` and `classes int64 (batch,)`, by these names.
    """
    probabilities = keras.ops.softmax(logits)
    # Not `keras.ops.argmax`, which tells -0.0 from 0.0 by operations ONNX has not.
    return {"probabilities": probabilities, "classes": tf.argmax(probabilities, axis=-1)}


@contextlib.contextmanager
def layers_set(model, **settings):
    """Give all layers within a model that have an attribute another value for it, for a while.

    Never NVIDIA's kernels, which no CPU can run.
    """
    changes = [
        (layer, name, value)
        for layer in model._flatten_layers()
        for name, value in {"use_cudnn": False, **settings}.items()
        if hasattr(layer, name)
    ]
    before = [getattr(layer, name) for layer, name, _ in changes]
    try:
        for layer, name, value in changes:
            setattr(layer, name, value)
        yield
    finally:
        for (layer, name, _), value in zip(changes, before, strict=True):
            setattr(layer, name, value)
