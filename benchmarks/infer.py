"""Latency of an exported model, compared with common alternatives.

    python -m benchmarks.infer --dataset=mnist

The contenders run in separate processes, with random weights: the SavedModel that this project
exports; a SavedModel of Keras's own layer, written by `model.export`; `model.predict` of that Keras
model; and PyTorch's layer. They take turns; ratios are those of neighbouring turns.
"""

import dataclasses
import functools
import os
import tempfile

from absl import flags

from benchmarks import contest
from benchmarks.peers import of_keras, torch_has, torch_network
from configs import Config, config_from_flags, define_flags, run_script
from datasets.dataset import images_spec

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(contest)
flags.DEFINE_list("models", ["lstm"], "Models to measure.")
flags.DEFINE_multi_integer("images", [1, 64, 1000], "Images per request.", 1)
flags.DEFINE_float("turn_seconds", 0.5, "Minimal seconds of a turn.", 0)
define_flags()


def main():
    """Measure, print the table, write the JSON."""
    torch = contest.installed("torch")
    # Servers have TensorFlow's usual allocator.
    os.environ.pop("TF_CPU_ALLOCATOR_USE_BFC")
    contest.print_environment()
    print("| model | images | ms per request | / predict | / Keras's SavedModel | / PyTorch |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    results = {}
    for name in FLAGS.models:
        config = dataclasses.replace(config_from_flags(), model=name)
        for batch in FLAGS.images:
            result = _measure(config, batch, torch)
            results[f"{name}, {batch}"] = result
            latency = contest.Spread([1e3 / rate for rate in result["ours"]["rates"]])
            cells = [
                f"{contest.ratios(result, 'ours', peer):.2f}" if peer in result else "–"
                for peer in ("predict", "Keras", "PyTorch")
            ]
            print(f"| {name} | {batch:,} | {latency:.2f} | {' | '.join(cells)} |", flush=True)
    contest.write_json("infer", {"requests/s": results})


def _measure(config, batch, torch):
    contenders = {"ours": prepare_ours, "Keras": prepare_keras, "predict": prepare_predict}
    if torch and torch_has(config):
        contenders["PyTorch"] = prepare_torch
    return contest.contest(
        {
            name: functools.partial(prepare, config, batch, FLAGS.turn_seconds)
            for name, prepare in contenders.items()
        }
    )


def prepare_ours(config: Config, batch, seconds):
    """Requests to the SavedModel of our model."""
    import tensorflow as tf

    from export.saved_model import export
    from models import create_model
    from tasks import task_of

    with tempfile.TemporaryDirectory() as folder:
        spec = images_spec(classes=10)
        path = export(create_model(config, spec), task_of(spec, config), folder, {})
        answer = tf.saved_model.load(path).signatures["serving_default"]
    images = tf.random.uniform((batch, 28, 28), maxval=255.0)
    return contest.requests(lambda: answer(rows=images)["probabilities"].numpy(), seconds)


def prepare_keras(config: Config, batch, seconds):
    """Requests to the SavedModel of Keras's own layer."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        of_keras(config, images_spec(classes=10)).export(folder, verbose=False)
        answer = tf.saved_model.load(folder).signatures["serving_default"]
    images = tf.random.uniform((batch, 28, 28), maxval=255.0)
    (name,) = answer.structured_input_signature[1]
    return contest.requests(lambda: next(iter(answer(**{name: images}).values())).numpy(), seconds)


def prepare_predict(config: Config, batch, seconds):
    """Calls of `model.predict` of Keras's own layer."""
    import numpy as np

    model = of_keras(config, images_spec(classes=10))
    images = np.random.default_rng(0).uniform(0, 255, (batch, 28, 28)).astype("float32")
    return contest.requests(lambda: model.predict(images, batch_size=batch, verbose=0), seconds)


def prepare_torch(config: Config, batch, seconds):
    """Calls of PyTorch's network, without gradients."""
    import torch

    network = torch_network(config, images_spec(classes=10))
    images = torch.rand(batch, 28, 28) * 255

    def answer():
        with torch.inference_mode():
            return torch.softmax(network(images)[0], 1).numpy()

    return contest.requests(answer, seconds)


if __name__ == "__main__":
    run_script(main)
