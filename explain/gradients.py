"""How far the gradients of the loss reach back in time."""

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from explain.style import STYLES
from models import follow

_BATCH_SIZE = 100


def norms(model, split):
    """The size of the gradients of the loss, back to the first step.

    Args:
        model: A model made by `create_model`.
        split: A `Split` with images `(N, 28, 28)`.

    Returns:
        By name `float64 (steps,)`: the mean over the images of the Euclidean norm of the gradient
        of an image's cross-entropy with respect to `inputs`, what the first recurrent layer reads,
        at each step, and to each hidden state, named as in `models.follow`.
    """

    @tf.function
    def gradients(rows, labels):
        def zeros(width):
            return tf.zeros((tf.shape(rows)[0], steps, width), model.compute_dtype)

        steps, features = model.get_layer("scan").output.shape[1:]
        nudges = {name: zeros(width) for name, width in hidden.items()} | {
            "inputs": zeros(features)
        }
        with tf.GradientTape() as tape:
            tape.watch(nudges)
            logits = follow(model, rows, nudges=nudges)["logits"]
            loss = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            loss = tf.reduce_sum(loss)
        return {
            name: tf.norm(tf.cast(gradient, tf.float64), axis=-1)
            for name, gradient in tape.gradient(loss, nudges).items()
        }

    seen = follow(model, split.images[:1].astype(np.float32))
    hidden = {name: v.shape[-1] for name, v in seen.items() if name.endswith("hidden")}
    batches = [
        gradients(
            tf.constant(split.images[start : start + _BATCH_SIZE], tf.float32),
            tf.constant(split.labels[start : start + _BATCH_SIZE]),
        )
        for start in range(0, len(split), _BATCH_SIZE)
    ]
    return {
        name: np.concatenate([batch[name] for batch in batches]).mean(axis=0) for name in batches[0]
    }


def largest_singular_values(model):
    """The most by which each square block of the recurrent matrices can lengthen a vector.

    Returns:
        By the path of the weight a list of floats, one for each block, in the order of packing.
    """
    found = {}
    for weight in model.trainable_weights:
        if weight.name == "recurrent_kernel":
            matrix = np.asarray(weight, np.float64)
            blocks = np.split(matrix, max(1, matrix.shape[1] // len(matrix)), axis=1)
            found[weight.path] = [float(np.linalg.norm(block, 2)) for block in blocks]
    return found


def draw_norms(curves, title):
    """Norms against the step, on a logarithmic axis.

    Args:
        curves: By label `(steps,)`.
        title: Of what they are norms.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, (label, values) in enumerate(curves.items()):
        colour, dashes = STYLES[number % len(STYLES)]
        shown = np.where(values > 0, values, np.nan)  # What has vanished has no logarithm.
        axes.plot(range(1, len(values) + 1), shown, color=colour, linestyle=dashes, label=label)
    axes.set(xlabel="step t", ylabel="mean norm of the gradient", yscale="log", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
