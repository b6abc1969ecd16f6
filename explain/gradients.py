"""How far the gradients of the loss reach back in time."""

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from explain.reading import sequence_shape
from explain.style import MARKS, STYLES
from models import run_with_activations
from models.trace import directions

# Examples of a batch, fewer if their inputs have more values.
_BATCH_SIZE, _MAX_VALUES = 100, 20_000_000


def norms(task, model, split):
    """Compute the norms of the gradients of the loss with respect to every step.

    Args:
        task: The `Task` of the data.
        model: A model made by `create_model`.
        split: An `ArraySplit`.

    Returns:
        `float64 (steps,)` by name: the Euclidean norm of the gradient of an example's loss,
        averaged over the examples. The gradient is taken with respect to `inputs`, the inputs of
        the first recurrent layer at each step, and to each hidden state, named as in
        `models.run_with_activations`.
    """

    @tf.function
    def gradients(inputs, targets):
        def zeros(width):
            return tf.zeros((tf.shape(inputs)[0], steps, width), model.compute_dtype)

        perturbations = {name: zeros(width) for name, width in hidden.items()} | {
            "inputs": zeros(features)
        }
        with tf.GradientTape() as tape:
            tape.watch(perturbations)
            activations = run_with_activations(model, inputs, perturbations=perturbations)
            loss = tf.reduce_sum(task.losses(targets, activations["outputs"]))
        return {
            name: tf.norm(tf.cast(gradient, tf.float64), axis=-1)
            for name, gradient in tape.gradient(loss, perturbations).items()
        }

    steps, features = sequence_shape(model, split.inputs)
    seen = run_with_activations(model, split.inputs[:1].astype(model.input.dtype))
    hidden = {name: v.shape[-1] for name, v in seen.items() if name.endswith("hidden")}
    size = max(1, min(_BATCH_SIZE, _MAX_VALUES // (steps * features)))
    batches = [
        gradients(
            tf.constant(split.inputs[start : start + size], model.input.dtype),
            tf.constant(split.targets[start : start + size]),
        )
        for start in range(0, len(split), size)
    ]
    return {
        name: np.concatenate([batch[name] for batch in batches]).mean(axis=0) for name in batches[0]
    }


def largest_singular_values(model):
    """Compute the spectral norm of each block of the recurrent matrices.

    Returns:
        Lists of floats by the path of the recurrent matrix: one float for each block, such as the
        gates of an LSTM, in the order in which the blocks are packed.
    """
    norms = {}
    for direction in (direction for layer in model.layers for direction in directions(layer)):
        gate_weights, _ = direction.equation_weights()
        norms[direction.cell.recurrent_kernel.path] = [
            float(np.linalg.norm(np.asarray(block, np.float64), 2))
            for (_, recurrent_kernel, _), sizes in zip(
                gate_weights, direction.equations.gate_sizes(), strict=True
            )
            for block in tf.split(recurrent_kernel, sizes, axis=-1)
            if np.any(block)  # All zeros: this gate does not read the hidden state.
        ]
    return norms


def draw_norms(curves, title, xlabel="step t", first=1):
    """Draw norms against the step, on a logarithmic axis.

    Args:
        curves: `(steps,)` by label.
        title: Title of the figure.
        xlabel: Label of the steps.
        first: The number of the first step.
    """
    are_many = len(curves) > len(STYLES)
    height = 4.2 + (0.1 * len(curves) if are_many else 0)  # Room for a legend below.
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.subplots()
    for number, (label, values) in enumerate(curves.items()):
        again, style = divmod(number, len(STYLES))  # Repeated styles get different markers.
        marks = {"marker": MARKS[again % len(MARKS)], "markevery": 0.08, "markersize": 4}
        colour, dashes = STYLES[style]
        shown = np.where(values > 0, values, np.nan)  # 0 has no logarithm.
        steps = range(first, first + len(values))
        axes.plot(steps, shown, color=colour, linestyle=dashes, label=label, **marks)
    axes.set(xlabel=xlabel, ylabel="mean norm of the gradient", yscale="log", title=title)
    axes.grid(alpha=0.3)
    if are_many:
        figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    else:
        axes.legend()
    return figure
