"""Figures of the predictions of a classifier."""

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

_MISTAKES_ACROSS, _MISTAKES_DOWN = 8, 4


def draw_confusion(evaluation):
    """The confusion matrix: counts, shaded by the share of the true class."""
    counts = evaluation.confusion()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    classes = len(counts)
    side = max(5.0, 0.52 * classes)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    # A power of the share, so that one mistake in a hundred is seen as well.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.3, vmin=0, vmax=1))
    figure.colorbar(
        image, label="share of the true class", fraction=0.046, ticks=[0, 0.01, 0.1, 0.5, 1]
    )
    for true, predicted in np.argwhere(counts):
        colour = "white" if shares[true, predicted] > 0.1 else "black"
        text = counts[true, predicted]
        axes.text(predicted, true, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set(
        xticks=range(classes),
        yticks=range(classes),
        xlabel="predicted class",
        ylabel="true class",
        title=evaluation.summary(),
    )
    return figure


def draw_mistakes(evaluation, images):
    """The wrong predictions with the highest probability, the highest first."""
    confidence = evaluation.probabilities.max(axis=-1)
    wrong = np.flatnonzero(evaluation.predictions != evaluation.labels)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")]
    figure = Figure(figsize=(1.25 * _MISTAKES_ACROSS, 1.6 * _MISTAKES_DOWN), layout="constrained")
    figure.suptitle(
        f"The most confident of {len(wrong):,} mistakes (true → predicted, probability)"
    )
    grid = figure.subplots(_MISTAKES_DOWN, _MISTAKES_ACROSS).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, index in zip(grid, surest, strict=False):
        axes.imshow(images[index], cmap="gray_r", vmin=0, vmax=255)
        true, predicted = evaluation.labels[index], evaluation.predictions[index]
        axes.set_title(f"{true} → {predicted}  {confidence[index]:.1%}", fontsize=9)
    return figure
