"""Why a loss diverged: repeat the steps since the last checkpoint one by one."""

import math

import keras
import numpy as np
import tensorflow as tf

from configs import UserError
from training import checkpoint


class Diverged(Exception):
    """The loss, or a weight, is not finite, or the loss is much too large."""


def require_finite(model):
    """Raise `Diverged` if a variable of a model or of its optimizer is not finite."""
    for variable in checkpoint.variables(model).values():
        if not np.isfinite(variable.numpy()).all():
            raise Diverged(f"{variable.path} is not finite")


def explain(diverged, model, session, batches):
    """Repeat training up to the step in which the loss diverged, and describe that step.

    Args:
        diverged: The `Diverged`.
        model: The model as of the last good checkpoint, compiled.
        session: The `Session`.
        batches: The training batches since that checkpoint, the one that diverged included.

    Returns:
        A `UserError` that begins with the step and a colon, and names its loss, its gradient norm
        and that of the step before; with `--detect_anomaly` the layer as well.
    """
    config = session.config
    variables = model.trainable_variables
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    outputs = keras.Model(model.input, [layer.output for layer in layers])

    @tf.function(reduce_retracing=True)
    def take_step(inputs, targets):
        with tf.GradientTape() as tape:
            activations = outputs(inputs, training=True)
            loss = model.compute_loss(y=targets, y_pred=activations[-1])
        gradients = tape.gradient(loss, variables)
        model.optimizer.apply(gradients, variables)
        largest = [tf.reduce_max(tf.abs(tf.cast(output, tf.float32))) for output in activations]
        return loss, tf.linalg.global_norm(gradients), largest, [tf.norm(g) for g in gradients]

    first = int(model.optimizer.iterations)
    norms = []
    for inputs, targets in batches:
        loss, norm, largest, gradient_norms = take_step(inputs, targets)
        norms.append(float(norm))
        if not (loss < session.task.max_loss and math.isfinite(norm)):
            break
    where = f"the loss of this step is {float(loss):.3g}, the gradient's norm "
    where += f"{norms[-1]:.3g}" + (f" after {norms[-2]:.3g}" if len(norms) > 1 else "")
    if config.detect_anomaly:
        where += f"; {_culprit(layers, largest, variables, gradient_norms)}"
    else:
        where += f" ({session.run.command('--resume --detect_anomaly')} names the layer)"
    clip = config.clip_norm / 10 if config.clip_norm else 1
    return UserError(
        f"diverged at step {first + len(norms)}: {diverged}; {where}; the checkpoint of step "
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
