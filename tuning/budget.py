"""Parameters and latency of a model, measured before it is trained."""

import statistics
import time

import keras
import tensorflow as tf

from export.serving_function import override_attributes, serving_function
from models import create_model
from tasks import task_of
from training.memory import require_memory

_WARM_UP_CALLS, _CALLS = 10, 101


def measure(config, spec, max_parameters=None, max_latency_ms=None):
    """Build a model with its initial weights, and measure it.

    The latency is the median of 101 calls, after 10 more, of the function that is exported as
    `serving_default`. Each call has one example, or `--steps_per_batch` symbols of a text. The
    latency is measured only if it has a limit.

    Args:
        config: A `Config`.
        spec: The `Spec` of the dataset.
        max_parameters: Maximum number of parameters.
        max_latency_ms: Maximum milliseconds for one call.

    Returns:
        The number of parameters; the latency in milliseconds, or `None`; and a text that says which
        limit was exceeded, or `None`.
    """
    require_memory(config)
    keras.utils.clear_session()
    model = create_model(config, spec)
    parameters, latency = model.count_params(), None
    if max_parameters is not None and parameters > max_parameters:
        excess = f"{parameters:,} parameters are more than --max_parameters={max_parameters}"
        return parameters, latency, excess
    if max_latency_ms is not None:
        latency = _latency_ms(model, task_of(spec, config))
        if latency > max_latency_ms:
            excess = f"{latency:.3g} ms are more than --max_latency_ms={max_latency_ms:g}"
            return parameters, latency, excess
    return parameters, latency, None


def _latency_ms(model, task):
    """The median milliseconds of a call, until its predictions are NumPy arrays."""
    predict = serving_function(model, task)
    with override_attributes(model, for_serving=True):
        predict.get_concrete_function()
    sizes = [size or task.config.timesteps for size in model.input_shape[1:]]
    example = tf.zeros([1, *sizes], model.input.dtype)
    times = []
    for _ in range(_WARM_UP_CALLS + _CALLS):
        start = time.perf_counter()
        for values in predict(example).values():
            values.numpy()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[_WARM_UP_CALLS:])
