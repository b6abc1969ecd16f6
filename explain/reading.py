"""How a network reads: what it holds, and would answer, after each step."""

import numpy as np
import tensorflow as tf
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.figure import Figure

from explain.style import draw_by_class
from models import trace

# Steps of all images together that are followed at once. Of a bidirectional network each image
# is read anew up to each of them.
_STEPS_AT_ONCE = 2800
# From what begins a step to what ends it; whatever else a cell has comes between.
_FIRST, _LAST = ("input_gate", "forget_gate"), ("cell", "hidden")
_BOUNDS = {"hidden": (-1, 1), "candidate": (-1, 1), "cell": (-3, 3)}  # All else is 0 to 1.
_OF_EITHER_SIGN = tuple(_BOUNDS)


def read(model, images):
    """Follow a network through images, as `models.trace` does.

    Args:
        model: A model made by `create_model`.
        images: Pixel values 0 to 255, `(N, 28, 28)`.

    Returns:
        By name `float32 (N, steps, ...)`, `probabilities` among them.
    """

    @tf.function(input_signature=[tf.TensorSpec((None, 28, 28), tf.float32)])
    def traced(rows):
        return {name: tf.cast(values, tf.float32) for name, values in trace(model, rows).items()}

    size = max(1, _STEPS_AT_ONCE // model.get_layer("scan").output.shape[1])
    batches = [
        traced(images[start : start + size].astype(np.float32))
        for start in range(0, len(images), size)
    ]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def decided_at(probabilities):
    """The step at which an answer is there to stay.

    Args:
        probabilities: `(N, steps, classes)`.

    Returns:
        `int (N,)`: the number of the first step, from 1, from which on the most probable class is
        the one at the end.
    """
    answers = probabilities.argmax(axis=-1)
    differs = answers != answers[:, -1:]
    steps = answers.shape[1]
    # Counted from the end, the first that differs is the last before the decision.
    since = np.where(differs.any(axis=1), differs[:, ::-1].argmax(axis=1), steps)
    return steps - since + 1


def draw_reading(image, reading, title):
    """An image, and what a network held after each of its steps, row beside row.

    Each layer and direction has a line of its own.

    Args:
        image: `(28, 28)`.
        reading: By name `(steps, width)`: one image's part of what `read` returns.
        title: What is drawn.
    """
    return _Reading(image, reading, title).figure


def animate_reading(path, image, reading, title, is_of_rows):
    """Write a GIF of the same, step by step; the image too, if the steps are its rows."""
    drawn = _Reading(image, reading, title, is_of_rows)
    steps = len(reading["probabilities"])
    # Longer sequences than an image has rows are shown in as many frames.
    frames = np.unique(np.linspace(1, steps, min(steps, 28)).astype(int)).tolist()
    drawn.figure.draw_without_rendering()
    drawn.figure.set_layout_engine("none")  # Else each frame would be laid out anew.
    # What was decided is to be seen a while.
    animation = FuncAnimation(drawn.figure, drawn.show_until, frames=[*frames, *[steps] * 8])
    animation.save(path, PillowWriter(fps=5), dpi=70)


class _Reading:
    """The figure of `draw_reading`, which can be shown up to a step."""

    def __init__(self, image, reading, title, is_of_rows=False):
        lines = _lines(reading)
        across = 1 + max(map(len, lines.values()))
        self.steps = len(reading["probabilities"])
        size = (3 + 1.75 * across, 0.4 + 3.8 * len(lines))
        self.figure = Figure(figsize=size, layout="constrained")
        self.figure.suptitle(title)
        (picture, probability), *panels = _panels(
            self.figure, lines, 2, width_ratios=[1.6, *[1] * across]
        )
        # Not square, so that each row stands beside its step.
        picture.imshow(image, cmap="gray_r", vmin=0, vmax=255, aspect="auto")
        picture.set(title="image", xlabel="column", ylabel="row")
        ruler = self.figure.colorbar(picture.images[0], orientation="horizontal", ticks=[0, 255])
        ruler.ax.set(xlabel="ink")
        self.shown = []
        self._show(probability, reading["probabilities"], 0, 1)
        classes = range(reading["probabilities"].shape[1])
        probability.set(title="probability", xlabel="class", xticks=classes, ylabel="step")
        for line, (place, names) in zip(panels, lines.items(), strict=True):
            for axes, (quantity, name) in zip(line, names.items(), strict=True):
                low, high = _BOUNDS.get(quantity, (0, 1))
                most = np.percentile(np.abs(reading[name]), 99)
                if low < 0 and most > high:
                    high = int(np.ceil(most))
                    low = -high
                self._show(axes, reading[name], low, high)
                axes.set(title=quantity.replace("_", " "), xlabel="unit")
                if place and axes is line[0]:
                    axes.set_ylabel(f"{place}\nstep")
                else:
                    axes.set_yticks([])
        # Only rows are entered one after the other; other scans are shown beside the whole image.
        self.cover = picture.axhspan(27.5, 27.5, color="white") if is_of_rows else None

    def _show(self, axes, values, low, high):
        """Values `(steps, width)` as colours."""
        heat = axes.imshow(
            values,
            cmap="cividis",
            vmin=low,
            vmax=high,
            aspect="auto",
            extent=(-0.5, values.shape[1] - 0.5, self.steps + 0.5, 0.5),  # The first is 1.
            interpolation="none",
        )
        # Some unit may be beyond; let it not take the others' colours away.
        beyond = {"extend": "both"} if np.abs(values).max() > high else {}
        self.figure.colorbar(heat, orientation="horizontal", ticks=[low, high], aspect=12, **beyond)
        self.shown.append((heat, values))

    def show_until(self, step):
        """Hide what comes after a step."""
        for heat, values in self.shown:
            heat.set_data(np.where(np.arange(self.steps)[:, None] < step, values, np.nan))
        if self.cover is not None:
            self.cover.set(y=step - 0.5, height=28 - step)


def _lines(readings):
    """What is drawn in a line each: by place, in words, the names by quantity, in order of time."""
    order = {known: place for place, known in enumerate(_FIRST)}
    order |= {known: 100 + place for place, known in enumerate(_LAST)}
    lines = {}
    for name in readings:
        if name.startswith(("forward_", "backward_")):
            direction, layer, quantity = name.split("_", 2)
            lines.setdefault(f"layer {layer}, {direction}", {})[quantity] = name
        elif name != "probabilities":  # Of a single layer and direction.
            lines.setdefault("", {})[name] = name
    return {
        place: {q: names[q] for q in sorted(names, key=lambda q: (order.get(q, 50), q))}
        for place, names in lines.items()
    }


def _panels(figure, lines, before, **options):
    """Axes for some things before the first of `lines`, and in turn for each of these."""
    across = before + max(map(len, lines.values()))
    grid = figure.subplots(len(lines), across, squeeze=False, **options)
    for axes in grid[1:, :before].flat:
        axes.set_axis_off()
    return [grid[0, :before], *grid[:, before:]]


def draw_classes(readings, labels):
    """The average reading of each class: the share of the right class, and the mean of all else.

    Args:
        readings: What `read` returns.
        labels: The right classes, `(N,)`.
    """
    right = np.take_along_axis(readings["probabilities"], labels[:, None, None], axis=-1)
    others = {name: values for name, values in readings.items() if name != "probabilities"}
    # What is of either sign would cancel.
    means = {"probabilities": right[..., 0]} | {
        name: (np.abs(values) if name.endswith(_OF_EITHER_SIGN) else values).mean(axis=-1)
        for name, values in others.items()
    }
    lines = _lines(means)
    across = 1 + max(map(len, lines.values()))
    figure = Figure(figsize=(2 + 2.1 * across, 3.6 * len(lines)), layout="constrained")
    (probability,), *panels = _panels(figure, lines, 1)
    classes = np.unique(labels)

    def draw(axes, name, title):
        values = [means[name][labels == c].mean(axis=0) for c in classes]
        draw_by_class(axes, values, classes, None, vmin=0, orientation="horizontal")
        axes.set(title=title, xlabel="step")

    draw(probability, "probabilities", "probability of the class")
    probability.set_ylabel("class")
    for line, (place, names) in zip(panels, lines.items(), strict=True):
        for axes, (quantity, name) in zip(line, names.items(), strict=True):
            size = "mean size of " if quantity in _OF_EITHER_SIGN else ""
            draw(axes, name, size + quantity.replace("_", " "))
        if place:
            line[0].set_ylabel(f"{place}\nclass")
    return figure


def draw_decisions(steps, labels, length):
    """When the answer was there to stay: of each class the share of images, by step.

    Args:
        steps: What `decided_at` returns.
        labels: The right classes, `(N,)`.
        length: Steps of a sequence.
    """
    classes = np.unique(labels)
    numbers = np.arange(1, length + 1)
    shares = [100 * (steps[labels == c][:, None] <= numbers).mean(axis=0) for c in classes]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    draw_by_class(axes, shares, classes, "images decided (%)", vmin=0, vmax=100)
    medians = [np.median(steps[labels == c]) for c in classes]
    axes.plot(medians, range(len(classes)), "o", mfc="white", mec="black", label="half of them")
    axes.set(title="when the answer was there to stay", xlabel="step", ylabel="class")
    axes.legend(loc="lower left")
    return figure
