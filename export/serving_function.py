"""The function that is served: the same for every exported format and for the tuner's latency."""

import contextlib

import tensorflow as tf


def input_spec(model):
    """The `tf.TensorSpec` of a model's input, such as `rows float32 (None, 28, 28)`."""
    return tf.TensorSpec(model.input_shape, model.input.dtype, name=model.input.name)


def serving_function(model, task):
    """The function that answers requests.

    Args:
        model: A model made by `create_model`.
        task: Its `Task`.

    Returns:
        A `tf.function` of `input_spec(model)` that returns the task's predictions by name.
    """
    spec = input_spec(model)

    @tf.function(input_signature=[spec], autograph=False)
    def predict(inputs):
        # A loaded signature does not enforce its own shape.
        inputs = tf.ensure_shape(inputs, spec.shape)
        return task.predictions(model(inputs, training=False))

    return predict


@contextlib.contextmanager
def override_attributes(model, **attributes):
    """Set attributes of all layers within a model that have them, and restore them in the end.

    `use_cudnn` is always set to `False`: a CPU cannot run NVIDIA's kernels.
    """
    changes = [
        (layer, name, value)
        for layer in model._flatten_layers()
        for name, value in {"use_cudnn": False, **attributes}.items()
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
