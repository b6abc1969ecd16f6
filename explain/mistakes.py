"""Calibration, robustness and misclassified images."""

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from datasets import ArraySplit
from explain.style import STYLES

_BINS = 15


def hardest(evaluation, count):
    """Find the examples whose class gets the lowest probability, the hardest first.

    Args:
        evaluation: The `ClassEvaluation` of a network.
        count: Number of examples.

    Returns:
        Indices of the examples, `int (count,)`.
    """
    right = np.take_along_axis(evaluation.probabilities, evaluation.labels[:, None], axis=1)
    return np.argsort(right[:, 0], kind="stable")[:count]


def calibration(probabilities, labels):
    """Compare the confidence of answers with their accuracy.

    Source: C. Guo et al., On Calibration of Modern Neural Networks, 2017,
    https://arxiv.org/abs/1706.04599.

    Args:
        probabilities: `(N, classes)`.
        labels: The right classes, `(N,)`.

    Returns:
        Three arrays with a value for each non-empty bin of confidence, out of 15 equally wide ones:
        the mean confidence, the accuracy, and the number of examples. And the expected calibration
        error: the distance of confidence and accuracy, averaged over all examples.
    """
    confidence = probabilities.max(axis=-1)
    is_right = probabilities.argmax(axis=-1) == labels
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    filled = counts > 0
    sure = np.bincount(bins, confidence, _BINS)[filled] / counts[filled]
    right = np.bincount(bins, is_right, _BINS)[filled] / counts[filled]
    error = float(np.abs(sure - right) @ counts[filled] / len(labels))
    return sure, right, counts[filled], error


def draw_calibration(calibrations, examples="images"):
    """Draw reliability diagrams.

    Args:
        calibrations: Results of `calibration` by label.
        examples: What the examples are called.
    """
    figure = Figure(figsize=(5.2, 5.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], color="grey", linewidth=1, label="perfect calibration")
    for number, ((label, (sure, right, counts, error)), (colour, dashes)) in enumerate(
        zip(calibrations.items(), STYLES, strict=False)
    ):
        axes.plot(
            100 * sure,
            100 * right,
            color=colour,
            linestyle=dashes,
            marker="o",
            markersize=4,
            label=f"{label}: expected calibration error (ECE) {100 * error:.2f} points",
        )
        # The counts of each network have an offset of their own, so that they do not overlap.
        again, is_above = divmod(number, 2)
        offset = (-4, 4 + 8 * again) if is_above else (4, -9 - 8 * again)
        style = {"fontsize": 7, "color": colour, "ha": "right" if is_above else "left"}
        for x, y, count in zip(100 * sure, 100 * right, counts, strict=True):
            axes.annotate(f"{count}", (x, y), offset, textcoords="offset points", **style)
    axes.set(
        xlabel="confidence (%)",
        ylabel="accuracy (%)",
        title=f"calibration (numbers: {examples} in a bin)",
        xlim=(0, 103),
        ylim=(0, 103),
    )
    figure.legend(loc="outside lower center", fontsize=8)
    return figure


def _rotate(images, degrees):
    return _each(images, lambda image: image.rotate(degrees, Image.Resampling.BILINEAR))


def _shift(images, pixels):
    return _each(images, lambda image: image.rotate(0, translate=(pixels, 0)))


def _each(images, change):
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


def _add_noise(images, deviation):
    noise = np.random.default_rng(0).normal(scale=deviation, size=images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def _blank_rows(images, count):
    blank, random = images.copy(), np.random.default_rng(0)
    for image in blank:
        image[random.permutation(28)[:count]] = 0
    return blank


# Changes of images: function, amounts, unit of the amount.
CHANGES = {
    "rotated": (_rotate, (0, 15, 30, 45, 60, 90, 120, 150, 180), "degrees; 180: upside down"),
    "shifted to the right": (_shift, (0, 1, 2, 3, 4, 6, 8), "pixels"),
    "with noise": (_add_noise, (0, 20, 40, 60, 80, 120, 160), "standard deviation, of 255"),
    "with blank rows": (_blank_rows, (0, 2, 4, 8, 12, 16, 20, 24), "rows of 28"),
}


def robustness(accuracy, split):
    """Compute the accuracy on increasingly changed images.

    Args:
        accuracy: A function that returns the accuracy on a `Split`.
        split: A `Split` of `uint8 (N, 28, 28)`.

    Returns:
        Lists of accuracies, one for each amount in `CHANGES`, by the name of the change.
    """
    return {
        name: [
            accuracy(ArraySplit(change(split.inputs, amount), split.targets)) for amount in amounts
        ]
        for name, (change, amounts, _) in CHANGES.items()
    }


def draw_robustness(results):
    """Draw accuracy against the amount of change.

    Args:
        results: Results of `robustness` by label.
    """
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = figure.subplots(1, len(CHANGES), sharey=True)
    for axes, (name, (_, amounts, unit)) in zip(panels, CHANGES.items(), strict=True):
        for (label, accuracies), (colour, dashes) in zip(results.items(), STYLES, strict=False):
            shares = [100 * share for share in accuracies[name]]
            axes.plot(
                amounts, shares, color=colour, linestyle=dashes, marker="o", ms=3, label=label
            )
        axes.set(title=name, xlabel=unit, ylim=(0, 103))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy (%)")
    panels[0].legend(fontsize=8)
    return figure


def draw_missed(split, answers):
    """Draw up to 16 images that all networks misclassify.

    Args:
        split: The `Split`.
        answers: Predicted classes `(N,)` by the name of the network.

    Returns:
        The figure and its caption.
    """
    predictions = np.stack(list(answers.values()))
    missed = np.flatnonzero((predictions != split.targets).all(axis=0))
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    figure.suptitle(f"class → answers of {', '.join(answers)}", fontsize=10)
    grid = figure.subplots(2, 8).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, index in zip(grid, missed, strict=False):
        axes.imshow(split.inputs[index], cmap="gray_r", vmin=0, vmax=255)
        predicted = ", ".join(map(str, predictions[:, index]))
        axes.set_title(f"{split.targets[index]} → {predicted}\nimage {index}", fontsize=8)
    shown = f"the first {len(grid)} of the" if len(missed) > len(grid) else "the"
    networks = " and ".join(answers)
    return (
        figure,
        f"Mistakes of {networks}: {shown} {len(missed):,} images that all of them misclassify.",
    )
