"""What each gate is for: a network without it, and what its units and rows tell."""

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from datasets import Split
from models import run_with_activations
from models.cell import identity
from models.trace import directions
from training.evaluate import evaluate

_BATCH_SIZE = 500
_GATES = ("gate", "candidate")


def accuracy(model, split, intercept=identity):
    """Accuracy with intercepted gates; see `models.run_with_activations`."""
    return _share_right(_answers(model, intercept), split)


def _answers(model, intercept):
    @tf.function(input_signature=[tf.TensorSpec((None, 28, 28), tf.float32)])
    def answers(rows):
        return tf.argmax(run_with_activations(model, rows, intercept)["logits"], axis=-1)

    return answers


def _share_right(answers, split):
    found = [
        answers(tf.constant(split.images[start : start + _BATCH_SIZE], tf.float32))
        for start in range(0, len(split), _BATCH_SIZE)
    ]
    return float(np.mean(np.concatenate(found) == split.labels))


def knock_out(model, split, readings):
    """Take each gate away, and each peephole.

    Each is held at 0, at 1 and at its mean: that of each unit's gate, that of all units' peepholes.

    Args:
        model: A model made by `create_model`.
        split: The `Split` it is judged by.
        readings: What `explain.reading.read` returned, of which the means are taken.

    Yields:
        What was taken away and how, in words, and the accuracy that is left.
    """
    for name, values in readings.items():
        if not name.endswith(_GATES):
            continue
        means = values.mean(axis=(0, 1))
        for way, constant in (("0", 0.0), ("1", 1.0), ("its mean", means)):
            if name.endswith("candidate") and way == "1":
                continue  # No value a candidate stands for.

            def hold(gate, value, name=name, constant=constant):
                if gate != name:
                    return value
                return tf.zeros_like(value) + tf.cast(constant, value.dtype)

            yield f"{name.replace('_', ' ')} = {way}", accuracy(model, split, hold)
    peepholes = _peepholes(model)
    has_one_place = len({place for place, _ in peepholes}) == 1
    answers = _answers(model, identity)  # Traced once: a weight it reads anew each time.
    for place, weight in peepholes:
        what = f"{'' if has_one_place else place}{weight.name.replace('_', ' ')}"
        before = weight.numpy()
        for how, constant in (("0", 0), ("1", 1), ("its mean", before.mean())):
            weight.assign(np.full_like(before, constant))
            try:
                yield f"{what} = {how}", _share_right(answers, split)
            finally:
                weight.assign(before)


def _peepholes(model):
    """Each peephole of a model, behind the words for its layer and direction."""
    found = []
    for layer in model.layers:
        number = layer.name.rpartition("_")[2]
        for direction in directions(layer):
            way = "backward" if direction.go_backwards else "forward"
            found += [
                (f"{way} {number} ", weight)
                for weight in direction.trainable_weights
                if weight.name.startswith("peephole")
            ]
    return found


def draw_knock_outs(whole, left):
    """What is left of the accuracy.

    Args:
        whole: The accuracy of the whole network.
        left: By what was taken away the accuracy that is left.
    """
    figure = Figure(figsize=(7, 1.2 + 0.28 * len(left)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(list(left), [100 * share for share in left.values()], color="#0072B2")
    axes.axvline(100 * whole, color="black", linestyle="--", label=f"whole: {whole:.2%}")
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.bar_label(bars, fmt="%.1f", padding=4, bbox=box)
    axes.invert_yaxis()
    axes.set(xlim=(0, 112), xlabel="test accuracy (%)")
    figure.legend(loc="outside upper center")
    return figure


def row_saliency(model, split):
    """How much each row of the image matters.

    Returns:
        `float64 (28,)`: the accuracy lost if a row is blank, in the order of the rows.
    """
    left = []
    for row in range(28):
        blank = split.images.copy()
        blank[:, row] = 0
        left.append(evaluate(model, Split(blank, split.labels)).accuracy)
    return evaluate(model, split).accuracy - np.array(left)


def draw_row_saliency(lost, mean_image):
    """The accuracy lost by each row, beside the mean of all images."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    picture, axes = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.3])
    picture.imshow(mean_image, cmap="gray_r", aspect="auto")  # Each row beside its bar.
    picture.set(title="mean image", xlabel="column", ylabel="row")
    axes.barh(range(28), 100 * lost, color="#0072B2")
    axes.set(title="without the row", xlabel="accuracy lost (points)")
    return figure
