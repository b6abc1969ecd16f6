"""What a model costs, measured before it is trained."""

import statistics
import time

import keras
import tensorflow as tf

from export.serving_function import override_attributes, serving_function
from models import create_model
from tasks import task_of
from training.memory import require_memory, timesteps

_WARM_UP, _TIMES = 10, 101


def measure(config, spec, max_parameters=None, max_latency_ms=None):
    """Build the model a `Config` describes, with the weights it starts from, and measure it.

    The latency is the median of 101 calls of the function that is exported as `serving_default`,
    each with one image, after ten more; on this machine as it is now. It is measured if there is a
    limit to it.

    Args:
        config: A `Config`.
        spec: The `Spec` of the dataset.
        max_parameters: How many numbers the model may consist of.
        max_latency_ms: The milliseconds it may take for an image.

    Returns:
        The numbers the model consists of; its latency in milliseconds, or `None`; and by how much
        it is over a limit in words, or `None`.
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
    predict = serving_function(model, task)
    with override_attributes(model, for_serving=True):
        predict.get_concrete_function()
    example = tf.zeros([1, *(size or timesteps(task.config) for size in model.input_shape[1:])])
    times = []
    for _ in range(_WARM_UP + _TIMES):
        start = time.perf_counter()
        predict(example)[task.output].numpy()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[_WARM_UP:])
