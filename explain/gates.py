"""Accuracy of a network without each gate, each peephole and each row of the image."""

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from datasets import ArraySplit
from models import run_with_activations
from models.cell import identity
from models.trace import directions

_BATCH_SIZE = 500
_GATES = ("gate", "candidate")


def accuracy(model, split, intercept=identity):
    """The accuracy with the gates replaced by `intercept`; see `models.run_with_activations`."""
    return _accuracy_of(_answers(model, intercept), split)


def _answers(model, intercept):
    @tf.function(input_signature=[tf.TensorSpec((None, 28, 28), tf.float32)])
    def answers(rows):
        return tf.argmax(run_with_activations(model, rows, intercept)["outputs"], axis=-1)

    return answers


def _accuracy_of(answers, split):
    predictions = [
        answers(tf.constant(split.inputs[start : start + _BATCH_SIZE], tf.float32))
        for start in range(0, len(split), _BATCH_SIZE)
    ]
    return float(np.mean(np.concatenate(predictions) == split.targets))


def knock_out(model, split, readings):
    """Hold each gate and each peephole at 0, at 1 and at its mean.

    A gate is held at a mean of its own for each unit, a peephole at the mean over all units.

    Args:
        model: A model made by `create_model`.
        split: The `Split` on which the accuracy is computed.
        readings: The result of `explain.reading.read`, for the means.

    Yields:
        A label such as `forget gate = 0`, and the accuracy.
    """
    for name, values in readings.items():
        if not name.endswith(_GATES):
            continue
        means = values.mean(axis=(0, 1))
        for way, constant in (("0", 0.0), ("1", 1.0), ("its mean", means)):
            if name.endswith("candidate") and way == "1":
                continue  # 1 has no special meaning for a candidate.

            def hold(gate, value, name=name, constant=constant):
                if gate != name:
                    return value
                return tf.zeros_like(value) + tf.cast(constant, value.dtype)

            yield f"{name.replace('_', ' ')} = {way}", accuracy(model, split, hold)
    peepholes = _peepholes(model)
    has_one_layer = len({layer for layer, _ in peepholes}) == 1
    answers = _answers(model, identity)  # Traced once; it reads the weights at each call.
    for layer, weight in peepholes:
        label = f"{'' if has_one_layer else layer}{weight.name.replace('_', ' ')}"
        before = weight.numpy()
        for way, constant in (("0", 0), ("1", 1), ("its mean", before.mean())):
            weight.assign(np.full_like(before, constant))
            try:
                yield f"{label} = {way}", _accuracy_of(answers, split)
            finally:
                weight.assign(before)


def _peepholes(model):
    """Pairs of a prefix that names layer and direction, and a peephole weight."""
    peepholes = []
    for layer in model.layers:
        number = layer.name.rpartition("_")[2]
        for direction in directions(layer):
            way = "backward" if direction.go_backwards else "forward"
            peepholes += [
                (f"{way} {number} ", weight)
                for weight in direction.trainable_weights
                if weight.name.startswith("peephole")
            ]
    return peepholes


def draw_knock_outs(whole, accuracies):
    """Draw the accuracies of `knock_out` as bars.

    Args:
        whole: The accuracy of the unchanged network.
        accuracies: Accuracies by the labels of `knock_out`.
    """
    figure = Figure(figsize=(7, 1.2 + 0.28 * len(accuracies)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(list(accuracies), [100 * a for a in accuracies.values()], color="#0072B2")
    axes.axvline(100 * whole, color="black", linestyle="--", label=f"unchanged: {whole:.2%}")
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.bar_label(bars, fmt="%.1f", padding=4, bbox=box)
    axes.invert_yaxis()
    axes.set(xlim=(0, 112), xlabel="test accuracy (%)")
    figure.legend(loc="outside upper center")
    return figure


def row_saliency(task, model, split):
    """Measure how much each row of the image matters.

    Returns:
        `float64 (28,)`: the accuracy lost when a row is blank, in the order of the rows.
    """
    accuracies = []
    for row in range(28):
        blank = split.inputs.copy()
        blank[:, row] = 0
        accuracies.append(task.evaluate(model, ArraySplit(blank, split.targets)).score)
    return task.evaluate(model, split).score - np.array(accuracies)


def draw_row_saliency(lost, mean_image):
    """Draw the accuracy lost by each row beside the mean image."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    picture, axes = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.3])
    picture.imshow(mean_image, cmap="gray_r", aspect="auto")  # Align rows and bars.
    picture.set(title="mean image", xlabel="column", ylabel="row")
    axes.barh(range(28), 100 * lost, color="#0072B2")
    axes.set(title="without the row", xlabel="accuracy lost (points)")
    return figure
