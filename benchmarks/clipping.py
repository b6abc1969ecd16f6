"""What clipping gradients by their global norm is for: a training that explodes, and one that not.

    python -m explain.clipping --picture=docs/memory/clipping.png

A plain recurrent network learns the adding problem by gradient descent. Its gradients are products
of many matrices: small for long, until a step meets a place where they are not.

Source: R. Pascanu, T. Mikolov and Y. Bengio, On the Difficulty of Training Recurrent Neural
Networks, 2013, https://arxiv.org/abs/1211.5063.
"""

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from matplotlib.figure import Figure

from configs import UserError, define_path, run_script
from configs.option import did_you_mean
from datasets.lags import TASKS
from explain.style import STYLES, expect_picture
from models import CELLS, FastRNN

FLAGS = flags.FLAGS
_WINDOW = 50  # Updates of which the median is drawn, of a training that is longer.
_MAX = 1e4  # What is beyond has exploded.


def train(cell, units, lag, updates, learning_rate, clip_norm, seed):
    """Have a cell learn the adding problem by plain gradient descent, in batches of 50.

    Args:
        cell: A name in `models.CELLS`.
        units: Size of the hidden state.
        lag: Of the problem, in steps.
        updates: How many batches are learnt from.
        learning_rate: Of gradient descent.
        clip_norm: The global norm that gradients are clipped to, or `None`.
        seed: Of the first weights and of the sequences.

    Returns:
        `losses` and `norms`, `float64 (updates,)`: of each batch, before its update, the mean
        squared error, and the global norm of its gradient before it is clipped.
    """
    keras.utils.set_random_seed(seed)
    sequences = keras.Input((lag, 2))
    model = keras.Model(sequences, keras.layers.Dense(1)(FastRNN(CELLS[cell](units))(sequences)))
    optimizer = keras.optimizers.SGD(learning_rate, global_clipnorm=clip_norm)
    optimizer.build(model.trainable_variables)

    @tf.function
    def update(inputs, targets):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(inputs, training=True) - targets) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss, tf.linalg.global_norm(gradients)

    random = np.random.default_rng(seed)
    batches = (TASKS["adding"].generate(lag, 50, random, None) for _ in range(updates))
    found = [update(*map(tf.constant, map(np.float32, batch))) for batch in batches]
    return np.array(found, np.float64).T


def draw(trainings, clip_norm):
    """Losses and gradient norms against the update, on logarithmic axes.

    What is not a number any more is a cross at the top, or where it last was one.

    Args:
        trainings: By a name what `train` returns.
        clip_norm: What was clipped to.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for (name, found), (colour, dashes) in zip(trainings.items(), STYLES, strict=False):
        for axes, values in zip(panels, found, strict=True):
            numbers = np.isfinite(values)
            last = len(values) if numbers.all() else int(np.argmin(numbers))
            updates = np.arange(1, last + 1)
            middles = values[:last]
            if last > _WINDOW:  # Of all these spikes the eye cannot tell the course.
                fine = {"color": colour, "linewidth": 0.5, "alpha": 0.3, "rasterized": True}
                axes.plot(updates, values[:last], **fine)
                middles = [np.median(values[max(0, i - _WINDOW + 1) : i + 1]) for i in range(last)]
            axes.plot(updates, middles, color=colour, linestyle=dashes, label=name)
            if last < len(values):
                height = min(values[last - 1], _MAX)
                cross = {"color": colour, "markersize": 10, "markeredgewidth": 2, "clip_on": False}
                label = f"{name}: no number any more"
                axes.plot([last], [height], "x", linestyle="", label=label, **cross)
    panels[1].axhline(clip_norm, color="black", linewidth=0.8, label="clipped to")
    for row, what in enumerate(("mean squared error", "norm of the gradient")):
        axes = panels[row]
        axes.set(xlabel="update", ylabel=what, xscale="log", yscale="log")
        low = min(values[row][np.isfinite(values[row])].min() for values in trainings.values())
        axes.set_ylim(low / 2, min(axes.get_ylim()[1], _MAX))
        axes.grid(alpha=0.3)
        axes.legend()
    if max(len(losses) for losses, _ in trainings.values()) > _WINDOW:
        text = f"thin: each batch; thick: the median of the last {_WINDOW}, or each of fewer"
        figure.suptitle(text, fontsize=10)
    return figure


def main():
    """Train both, say what became of them and draw the picture."""
    expect_picture(FLAGS.picture)
    if FLAGS.cell not in CELLS:
        hint = did_you_mean(FLAGS.cell, CELLS)
        raise UserError(f"--cell={FLAGS.cell}: expected one of {', '.join(CELLS)}{hint}")
    settings = FLAGS.cell, FLAGS.units, FLAGS.lag, FLAGS.updates, FLAGS.learning_rate
    trainings = {}
    for name, clip_norm in [("not clipped", None), ("clipped", FLAGS.clip_norm)]:
        losses, norms = trainings[name] = train(*settings, clip_norm, FLAGS.seed)
        print(
            f"{name}: mean squared error {losses[0]:.3g} at first, {losses[-1]:.3g} in the end; "
            f"largest norm {np.nanmax(norms):.3g}",
            flush=True,
        )
    draw(trainings, FLAGS.clip_norm).savefig(FLAGS.picture, dpi=150)
    print(f"done: see {FLAGS.picture}")


if __name__ == "__main__":
    define_path("picture", "clipping.png", "Where the picture is written; .svg for vectors.")
    flags.DEFINE_string("cell", "basic_rnn", "A name in models.CELLS.")
    flags.DEFINE_integer("lag", 50, "Length of the adding problem, in steps.", 2)
    flags.DEFINE_integer("units", 64, "Size of the hidden state.", 1)
    flags.DEFINE_integer("updates", 4000, "Number of training batches.", 1)
    flags.DEFINE_float("learning_rate", 0.06, "Learning rate of gradient descent.")
    flags.DEFINE_float("clip_norm", 1.0, "The global norm to clip to.", 0)
    flags.DEFINE_integer("seed", 0, "Seed of the first weights and of the sequences.", 0)
    run_script(main)
