"""Score of a network without each gate, each peephole and each row of the image."""

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from datasets import ArraySplit
from export.serving_function import input_spec
from models import run_with_activations
from models.cell import identity
from models.trace import directions

_BATCH_SIZE = 500
_GATES = ("gate", "candidate")


def score(task, model, split, intercept=identity):
    """The score with the gates replaced by `intercept`; see `models.run_with_activations`."""
    return _score_of(task, _create_function(model, intercept), split)


def _create_function(model, intercept):
    @tf.function(input_signature=[input_spec(model)])
    def outputs(inputs):
        return run_with_activations(model, inputs, intercept)["outputs"]

    return outputs


def _score_of(task, function, split):
    outputs = [
        function(tf.constant(split.inputs[start : start + _BATCH_SIZE], tf.float32))
        for start in range(0, len(split), _BATCH_SIZE)
    ]
    return task.judge(np.concatenate(outputs), split.targets).score


def gate_names(readings):
    """The names of the gates and candidates in a result of `explain.reading.read`."""
    return [name for name in readings if name.endswith(_GATES)]


def knock_out(task, model, split, readings):
    """Hold each gate and each peephole at 0, at 1 and at its mean.

    A gate is held at a mean of its own for each unit, a peephole at the mean over all units.

    Args:
        task: The `Task` of the data.
        model: A model made by `create_model`.
        split: The `ArraySplit` on which the score is computed.
        readings: The result of `explain.reading.read`, for the means.

    Yields:
        A label such as `forget gate = 0`, and the score.
    """
    for name in gate_names(readings):
        means = readings[name].mean(axis=(0, 1))
        for way, constant in (("0", 0.0), ("1", 1.0), ("its mean", means)):
            if name.endswith("candidate") and way == "1":
                continue  # 1 has no special meaning for a candidate.

            def hold(gate, value, name=name, constant=constant):
                if gate != name:
                    return value
                return tf.zeros_like(value) + tf.cast(constant, value.dtype)

            yield f"{name.replace('_', ' ')} = {way}", score(task, model, split, hold)
    peepholes = _peepholes(model)
    has_one_layer = len({layer for layer, _ in peepholes}) == 1
    outputs = _create_function(model, identity)  # Traced once; it reads the weights at each call.
    for layer, weight in peepholes:
        label = f"{'' if has_one_layer else layer}{weight.name.replace('_', ' ')}"
        before = weight.numpy()
        for way, constant in (("0", 0), ("1", 1), ("its mean", before.mean())):
            weight.assign(np.full_like(before, constant))
            try:
                yield f"{label} = {way}", _score_of(task, outputs, split)
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


def draw_knock_outs(task, whole, scores):
    """Draw the scores of `knock_out` as bars.

    Args:
        task: The `Task`, whose scores are shares.
        whole: The score of the unchanged network.
        scores: Scores by the labels of `knock_out`.
    """
    figure = Figure(figsize=(7, 1.2 + 0.28 * len(scores)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(list(scores), [100 * score for score in scores.values()], color="#0072B2")
    label = f"unchanged: {task.show(whole)}"
    axes.axvline(100 * whole, color="black", linestyle="--", label=label)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.bar_label(bars, fmt="%.1f", padding=4, bbox=box)
    axes.invert_yaxis()
    axes.set(xlim=(0, 112), xlabel=f"test {task.score_name} (%)")
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
