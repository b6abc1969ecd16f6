"""Pictures of a finished run."""

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_MISTAKES_ACROSS, _MISTAKES_DOWN = 8, 4


def draw_curves(history):
    """Loss and accuracy against the epoch, from a run's history."""
    figure, panels = _curve_panels()
    for axes, metric, scale in panels:
        epochs = range(1, len(history) + 1)
        for name, label, style in [
            (metric, "training", "o-"),
            (f"val_{metric}", "validation", "s--"),
        ]:
            if name in history[0]:
                axes.plot(epochs, [scale * logs[name] for logs in history], style, label=label)
        axes.legend()
    return figure


def draw_comparison(histories):
    """Loss and accuracy of several runs against the epoch, from their histories by name.

    Drawn is what they reached on the validation images; without any, on the training images.
    """
    figure, panels = _curve_panels()
    markers = "osv^D*PX"
    validated = all("val_loss" in history[0] for history in histories.values())
    for axes, metric, scale in panels:
        name = f"val_{metric}" if validated else metric
        for number, (run, history) in enumerate(histories.items()):
            values = [scale * logs[name] for logs in history]
            marker = markers[number % len(markers)]
            axes.plot(range(1, len(values) + 1), values, marker=marker, markersize=4, label=run)
        axes.set_title(f"{'validation' if validated else 'training'} {metric}")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _curve_panels():
    """A figure, and for loss and accuracy its axes, the metric's name and the scale to draw it."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = []
    for axes, metric, unit, scale in zip(
        figure.subplots(1, 2),
        *(("loss", "accuracy"), ("cross-entropy (nats)", "%"), (1, 100)),
        strict=True,
    ):
        axes.set(xlabel="epoch", ylabel=unit, title=metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        panels.append((axes, metric, scale))
    return figure, panels


def draw_confusion(evaluation):
    """Which class was taken for which: counts, shaded by the share of the true class."""
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
    """The wrong answers the model was surest of, the surest first."""
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
