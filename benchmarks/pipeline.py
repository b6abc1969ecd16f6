"""How much faster images are delivered than an LSTM learns from them.

    python -m benchmarks.pipeline --dataset=mnist

Takes turns, several times over: the training batches alone, and training the model the flags name
(LSTM-128 by default) on them with Keras's `fit`. The ratio must be large, or training would wait
for its data.
"""

import math
import statistics
import time

from configs import config_from_flags, define_flags, run_script

REPETITIONS = 5
MOST_STEPS = 100  # of training in one turn

define_flags()


def main():
    """Measure and print images per second, and their ratio."""
    import keras

    from datasets import load
    from datasets.batches import shuffled_batches
    from models import create_model

    config = config_from_flags()
    data = load(config)
    model = create_model(config, data.classes)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    # Two epochs at a time for the pipeline, so that drawing a new order is paid for as well.
    epoch = math.ceil(len(data.train) / config.batch_size)
    steps = min(MOST_STEPS, epoch - 1)  # Full batches alone.
    batches = shuffled_batches(data.train, config.batch_size, config.seed)

    def deliver():
        return sum(len(labels) for _, labels in batches.take(2 * epoch))

    def learn():
        model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)
        return steps * config.batch_size

    learn()  # Compiles the training step.
    rates = {deliver: [], learn: []}
    for _ in range(REPETITIONS):
        for work, of_work in rates.items():
            start = time.perf_counter()
            images = work()
            of_work.append(images / (time.perf_counter() - start))

    ratios = [fast / slow for fast, slow in zip(*rates.values(), strict=True)]
    print(f"images/s, median of {REPETITIONS} (min to max); batches of {config.batch_size}")
    for name, values in [("pipeline alone", rates[deliver]), (model.name, rates[learn])]:
        print(f"{name:>16} {statistics.median(values):12,.0f}", end="")
        print(f" ({min(values):,.0f} to {max(values):,.0f})")
    print(
        f"{'ratio':>16} {statistics.median(ratios):12.0f} ({min(ratios):.0f} to {max(ratios):.0f})"
    )


if __name__ == "__main__":
    run_script(main)
