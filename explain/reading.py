"""How a network reads an example: its values and its answer after each step."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from explain.style import draw_by_class
from export.serving_function import input_spec
from models import trace
from models.trace import directions

# Maximal number of steps of a batch. A bidirectional network reads an example anew up to each
# step.
_STEPS_AT_ONCE = 2800
# Order of the panels: these first, these last, all others between.
_FIRST, _LAST = ("input_gate", "forget_gate"), ("cell", "hidden")
_MAX_TICKS = 10
_FRAME_MS, _LAST_FRAME_MS = 200, 1800  # How long the animation shows a frame.
_BOUNDS = {"hidden": (-1, 1), "candidate": (-1, 1), "cell": (-3, 3)}  # Others: 0 to 1.
_SIGNED = tuple(_BOUNDS)


class Answer(NamedTuple):
    """How the figures name the answer after each step.

    Attributes:
        title: One value of it.
        plural: Several values of it.
        axis: What the values are numbered by.
    """

    title: str
    plural: str
    axis: str


# By what a `Spec` answers.
ANSWERS = {
    "class": Answer("probability", "probabilities", "class"),
    "bits": Answer("probability", "probabilities", "bit"),
    "step_bits": Answer("probability", "probabilities", "bit"),
    "next_symbols": Answer("probability", "probabilities", "symbol"),
    "number": Answer("answer", "answers", "number"),
}


def sequence_shape(model, inputs):
    """The steps and the features of the sequences that the first recurrent layer reads.

    Args:
        model: A model made by `create_model`.
        inputs: Inputs of the model, `(N, ...)`; their steps are used if it reads any number.
    """
    first = next(layer for layer in model.layers if directions(layer))
    _, steps, features = first.input.shape
    return steps or inputs.shape[1], features


def read(task, model, inputs):
    """Compute the values of `models.trace` for many examples, in batches.

    Args:
        task: The `Task` of the data.
        model: A model made by `create_model`.
        inputs: Inputs of the model, `(N, ...)`, such as pixel values 0 to 255, `(N, 28, 28)`.

    Returns:
        Arrays `float32 (N, steps, ...)` by name. `task.output`, such as `probabilities`, holds the
        predictions that the task shows.
    """

    @tf.function(input_signature=[input_spec(model)])
    def traced(inputs):
        values = trace(model, inputs)
        predictions = task.predictions(values.pop("outputs"))
        values = {task.output: predictions[task.output], **values}
        return {name: tf.cast(value, tf.float32) for name, value in values.items()}

    size = max(1, _STEPS_AT_ONCE // sequence_shape(model, inputs)[0])
    batches = [
        traced(inputs[start : start + size].astype(model.input.dtype))
        for start in range(0, len(inputs), size)
    ]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def decided_at(probabilities):
    """Find the step from which on the answer is final.

    Args:
        probabilities: `(N, steps, classes)`.

    Returns:
        `int (N,)`: the first step, counted from 1, from which on the most probable class is that
        of the last step.
    """
    answers = probabilities.argmax(axis=-1)
    differs = answers != answers[:, -1:]
    steps = answers.shape[1]
    # The step after the last one with another answer.
    since = np.where(differs.any(axis=1), differs[:, ::-1].argmax(axis=1), steps)
    return steps - since + 1


def draw_reading(task, example, reading, title):
    """Draw an example and the network's values after each step, each row beside its step.

    Each layer and direction has its own line of panels.

    Args:
        task: The `Task` of the data.
        example: An image `(28, 28)`, or a sequence `(steps, features)`.
        reading: Arrays `(steps, width)` by name: the result of `read` for one example.
        title: Title of the figure.
    """
    return _Reading(task, example, reading, title).figure


def animate_reading(path, task, example, reading, title, is_of_rows):
    """Write `draw_reading` as a GIF, step by step; `is_of_rows` reveals an image by rows."""
    drawn = _Reading(task, example, reading, title, is_of_rows)
    steps = drawn.steps
    # Long sequences are shown in 28 frames, too.
    frames = np.unique(np.linspace(1, steps, min(steps, 28)).astype(int)).tolist()
    drawn.figure.set_dpi(70)
    canvas, pictures = FigureCanvasAgg(drawn.figure), []
    for step in frames:
        drawn.show_until(step)
        canvas.draw()
        drawn.figure.set_layout_engine("none")  # Keep the layout of the first frame.
        pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    times = [*[_FRAME_MS] * (len(frames) - 1), _LAST_FRAME_MS]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=times, loop=0)


class _Reading:
    """The figure of `draw_reading`, which can hide the steps after a given one."""

    def __init__(self, task, example, reading, title, is_of_rows=False):
        answers = reading[task.output]
        lines = _lines(name for name in reading if name != task.output)
        across = 1 + max(map(len, lines.values()))
        self.steps, size_of_answer = answers.shape
        size = (3 + 1.75 * across, 0.4 + 3.8 * len(lines))
        self.figure = Figure(figsize=size, layout="constrained")
        self.figure.suptitle(title)
        (picture, answer), *panels = _panels(
            self.figure, lines, 2, width_ratios=[1.6, *[1] * across]
        )
        self.shown = []
        draw = {"images": self._draw_image, "vectors": self._draw_sequence}
        draw[task.spec.reads](picture, example)
        low, high = 0, 1
        if task.output == "values":
            low, high = _range(answers)
        self._show(answer, answers, low, high)
        words = ANSWERS[task.spec.answers]
        answer.set(title=words.title, xlabel=words.axis, ylabel="step")
        if size_of_answer <= _MAX_TICKS:
            answer.set_xticks(range(size_of_answer))
        for line, (layer, names) in zip(panels, lines.items(), strict=True):
            for axes, (quantity, name) in zip(line, names.items(), strict=True):
                low, high = _BOUNDS.get(quantity, (0, 1))
                large = np.percentile(np.abs(reading[name]), 99)
                if low < 0 and large > high:
                    high = int(np.ceil(large))
                    low = -high
                self._show(axes, reading[name], low, high)
                axes.set(title=quantity.replace("_", " "), xlabel="unit")
                if layer and axes is line[0]:
                    axes.set_ylabel(f"{layer}\nstep")
                else:
                    axes.set_yticks([])
        # Hides the rows not yet read; with other scans the whole image is shown.
        self.cover = picture.axhspan(27.5, 27.5, color="white") if is_of_rows else None

    def _draw_image(self, axes, image):
        # Not square: align each row with its step.
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=255, aspect="auto")
        axes.set(title="image", xlabel="column", ylabel="row")
        ruler = self.figure.colorbar(axes.images[0], orientation="horizontal", ticks=[0, 255])
        ruler.ax.set(xlabel="ink")

    def _draw_sequence(self, axes, sequence):
        self._show(axes, sequence, *_range(sequence), cmap="gray_r")
        axes.set(title="sequence", xlabel="feature", ylabel="step")
        if sequence.shape[1] <= _MAX_TICKS:
            axes.set_xticks(range(sequence.shape[1]))

    def _show(self, axes, values, low, high, cmap="cividis"):
        """Draw values `(steps, width)` as a heat map."""
        heat = axes.imshow(
            values,
            cmap=cmap,
            vmin=low,
            vmax=high,
            aspect="auto",
            extent=(-0.5, values.shape[1] - 0.5, self.steps + 0.5, 0.5),  # Steps count from 1.
            interpolation="none",
        )
        # Values outside the range get the colour of its end, so that the others stay distinct.
        extend = {"extend": "both"} if np.abs(values).max() > high else {}
        self.figure.colorbar(heat, orientation="horizontal", ticks=[low, high], aspect=12, **extend)
        self.shown.append((heat, values))

    def show_until(self, step):
        """Hide the steps after `step`."""
        for heat, values in self.shown:
            heat.set_data(np.where(np.arange(self.steps)[:, None] < step, values, np.nan))
        if self.cover is not None:
            self.cover.set(y=step - 0.5, height=28 - step)


def _range(values):
    """The integers below and above all values, 0 and 1 among them."""
    return min(0, int(np.floor(values.min()))), max(1, int(np.ceil(values.max())))


def _lines(activations):
    """Group names of activations into lines of panels.

    Returns:
        `{layer: {quantity: name}}`, in the order of the panels.
    """
    order = {quantity: position for position, quantity in enumerate(_FIRST)}
    order |= {quantity: 100 + position for position, quantity in enumerate(_LAST)}
    lines = {}
    for name in activations:
        if name.startswith(("forward_", "backward_")):
            direction, layer, quantity = name.split("_", 2)
            lines.setdefault(f"layer {layer}, {direction}", {})[quantity] = name
        else:  # A single layer and direction.
            lines.setdefault("", {})[name] = name
    return {
        layer: {q: names[q] for q in sorted(names, key=lambda q: (order.get(q, 50), q))}
        for layer, names in lines.items()
    }


def _panels(figure, lines, before, **options):
    """Create axes: `before` of them at the start of the first line, then those of each line."""
    across = before + max(map(len, lines.values()))
    grid = figure.subplots(len(lines), across, squeeze=False, **options)
    for axes in grid[1:, :before].flat:
        axes.set_axis_off()
    return [grid[0, :before], *grid[:, before:]]


def draw_classes(readings, labels):
    """Draw averages for each class: the probability of the right class, and means over all units.

    Args:
        readings: The result of `read`.
        labels: The right classes, `(N,)`.
    """
    right = np.take_along_axis(readings["probabilities"], labels[:, None, None], axis=-1)
    others = {name: values for name, values in readings.items() if name != "probabilities"}
    # Signed values would cancel: average their sizes.
    means = {"probabilities": right[..., 0]} | {
        name: (np.abs(values) if name.endswith(_SIGNED) else values).mean(axis=-1)
        for name, values in others.items()
    }
    lines = _lines(others)
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
    for line, (layer, names) in zip(panels, lines.items(), strict=True):
        for axes, (quantity, name) in zip(line, names.items(), strict=True):
            size = "mean size of " if quantity in _SIGNED else ""
            draw(axes, name, size + quantity.replace("_", " "))
        if layer:
            line[0].set_ylabel(f"{layer}\nclass")
    return figure


def draw_decisions(steps, labels, length, examples="images"):
    """Draw the share of examples with a final answer, for each class and step.

    Args:
        steps: The result of `decided_at`.
        labels: The right classes, `(N,)`.
        length: Steps of a sequence.
        examples: What the examples are called.
    """
    classes = np.unique(labels)
    numbers = np.arange(1, length + 1)
    shares = [100 * (steps[labels == c][:, None] <= numbers).mean(axis=0) for c in classes]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    draw_by_class(axes, shares, classes, "final answers (%)", vmin=0, vmax=100)
    medians = [np.median(steps[labels == c]) for c in classes]
    axes.plot(medians, range(len(classes)), "o", mfc="white", mec="black", label="median")
    axes.set(title=f"{examples} whose answer is final", xlabel="step", ylabel="class")
    axes.legend(loc="lower left")
    return figure
