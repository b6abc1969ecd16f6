"""Time of each part of a training step.

    python -m benchmarks.step --dataset=mnist

Each stage does the work of the previous one and something more, so the difference is the time of
the added work. The last row is only the matrix products of a step, with the sizes and shards of
`models.unroll`: the minimal time of a step with these products.
"""

import itertools
import statistics

from absl import flags

from benchmarks import contest
from configs import Config, config_from_flags, define_flags, run_script
from datasets.dataset import images_spec

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(contest)
flags.DEFINE_integer("turn_steps", 60, "Training steps in a turn.", 1)
define_flags()

STAGES = {
    "batches": "the data pipeline",
    "forward": "the forward pass",
    "gradient": "the backward pass",
    "single": "loss, metrics, optimizer and callbacks of `fit`",
    "fit": "the saving of ten steps at once",
}


def main():
    """Measure, print the table, write the JSON."""
    config = config_from_flags()
    work = {stage: _stage(config, FLAGS.turn_steps, stage) for stage in STAGES}
    rates = contest.take_turns(work | {"products": _products(config, FLAGS.turn_steps)})
    contest.print_environment()
    print("| stage | ms | difference, ms | added work |")
    print("| --- | ---: | ---: | --- |")
    ms = {name: 1e3 / statistics.median(values) for name, values in rates.items()}
    for before, stage in itertools.pairwise(["", *STAGES]):
        more = ms[stage] - ms.get(before, 0)
        print(f"| {stage} | {ms[stage]:.2f} | {more:+.2f} | {STAGES[stage]} |")
    print(
        f"| products alone | {ms['products']:.2f} | | {ms['products'] / ms['fit']:.0%} of `fit` |"
    )
    contest.write_json("step", {"steps/s": rates})


def _stage(config: Config, steps, stage):
    """Create the work of a turn, up to a stage."""
    import keras
    import tensorflow as tf

    from datasets import load
    from models import create_model
    from tasks import task_of
    from training.train import compile_model

    data = load(config)
    model = create_model(config, data.spec)
    compile_model(model, task_of(data.spec, config), steps, steps if stage == "fit" else 1)
    batches = data.train.batches(config.batch_size, config.seed)

    def forward(images, labels):
        return keras.ops.sum(model(images, training=True))

    def gradient(images, labels):
        with tf.GradientTape() as tape:
            logits = forward(images, labels)
        return tape.gradient(logits, model.trainable_weights)

    on_batch = {
        "batches": lambda images, labels: None,
        "forward": tf.function(forward),
        "gradient": tf.function(gradient),
    }

    def work():
        if stage in ("single", "fit"):
            model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)
        else:
            for images, labels in itertools.islice(batches, steps):
                on_batch[stage](images, labels)
        return steps

    return work


def _products(config: Config, steps):
    """Create the matrix products of a step: forward, backward, and the gradients of the weights."""
    import tensorflow as tf

    from models import FastRNN, create_model
    from models.unroll import _shards

    model = create_model(config, images_spec(classes=10))
    length = model.get_layer("scan").output.shape[1]
    rows = config.batch_size // _shards()

    @tf.function(jit_compile=True)
    def shard(operands, d_products, matrix, recurrent_kernel):
        def both_ways(t, total, d_states):
            total += tf.matmul(operands[t], matrix)
            return t + 1, total, d_states + tf.matmul(d_products[t], recurrent_kernel)

        start = 0, tf.zeros_like(d_products[0]), tf.zeros_like(d_products[0] @ recurrent_kernel)
        _, total, d_states = tf.while_loop(lambda t, *_: t < length, both_ways, start)
        return total, d_states, tf.einsum("tnf,tnz->fz", operands, d_products)

    shards = []
    for layer in model._flatten_layers():
        for W, U, _ in layer.equation_weights()[0] if isinstance(layer, FastRNN) else []:
            width, terms = W.shape[0] + 1 + U.shape[0], W.shape[1]
            shapes = (length, rows, width), (length, rows, terms), (width, terms), U.shape[::-1]
            shards += [[tf.ones(s, layer.compute_dtype) for s in shapes] for _ in range(_shards())]
    step = tf.function(lambda: [shard(*operands) for operands in shards])

    def work():
        for _ in range(steps):
            step()
        return steps

    return work


if __name__ == "__main__":
    run_script(main)
