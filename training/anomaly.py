"""Why a loss was lost: the steps since the last checkpoint once more, one by one."""

import math

import keras
import numpy as np
import tensorflow as tf

from configs import UserError

# A mean cross-entropy, in nats. Blind guessing among ten classes has 2.3.
EXPLODED = 1000.0


class Anomaly(Exception):
    """The loss, or a weight, has become infinite, not a number, or absurdly large."""


def explain(anomaly, model, config, batches, run):
    """Repeat training until the loss is lost, and say where.

    Args:
        anomaly: The `Anomaly`.
        model: The model as of the last good checkpoint.
        config: The run's `Config`.
        batches: The training batches from there on, up to where the loss was lost.
        run: The `Run`, which can go on in search of the layer.

    Returns:
        A `UserError` that begins with the step and a colon, and names its loss, its gradient norm
        and that of the step before; with `--detect_anomaly` the layer as well.
    """
    variables = model.trainable_variables
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    outputs = keras.Model(model.input, [layer.output for layer in layers])

    @tf.function(reduce_retracing=True)
    def take_step(images, labels):
        with tf.GradientTape() as tape:
            activations = outputs(images, training=True)
            loss = model.compute_loss(y=labels, y_pred=activations[-1])
        gradients = tape.gradient(loss, variables)
        model.optimizer.apply(gradients, variables)
        largest = [tf.reduce_max(tf.abs(tf.cast(output, tf.float32))) for output in activations]
        return loss, tf.linalg.global_norm(gradients), largest, [tf.norm(g) for g in gradients]

    first = int(model.optimizer.iterations)
    norms = []
    for images, labels in batches:
        loss, norm, largest, gradient_norms = take_step(images, labels)
        norms.append(float(norm))
        if not (loss < EXPLODED and math.isfinite(norm)):
            break
    where = f"the loss of this step is {float(loss):.3g}, the gradient's norm "
    where += f"{norms[-1]:.3g}" + (f" after {norms[-2]:.3g}" if len(norms) > 1 else "")
    if config.detect_anomaly:
        where += f"; {_culprit(layers, largest, variables, gradient_norms)}"
    else:
        where += f" ({run.command('--resume --detect_anomaly')} names the layer)"
    clip = config.clip_norm / 10 if config.clip_norm else 1
    return UserError(
        f"diverged at step {first + len(norms)}: {anomaly}; {where}; the checkpoint of step "
        f"{first} is kept; expected a finite loss: train again under another --name with "
        f"--clip_norm={clip:g} or a --learning_rate below {config.learning_rate:g}"
    )


def _culprit(layers, largest, variables, gradient_norms):
    """The first layer whose output, or else the weight whose gradient, is not finite or largest."""
    for layer, value in zip(layers, largest, strict=True):
        if not math.isfinite(value):
            return f"the first layer whose output is not finite is {layer.name}"
    # Back from the loss: the last variable is the first to get a gradient.
    norms = np.array([float(norm) for norm in gradient_norms])[::-1]
    worst = len(norms) - 1 - int(np.argmax(np.where(np.isfinite(norms), norms, np.inf)))
    layer = next(n for n in layers if any(variables[worst] is v for v in n.trainable_variables))
    return f"the gradient of {layer.name}'s {variables[worst].name} is largest, of norm " + (
        f"{float(gradient_norms[worst]):.3g}"
    )
