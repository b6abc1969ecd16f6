"""Speed of the data pipeline, compared with the speed of training.

    python -m benchmarks.pipeline --dataset=mnist

Reading the training batches and training the model of the flags (default: LSTM-128) take turns. The
ratio must be large, or training would wait for its data.
"""

import math

from absl import flags

from benchmarks import contest
from benchmarks.peers import train_ours
from configs import config_from_flags, define_flags, run_script

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(contest)
flags.DEFINE_integer("turn_steps", 100, "Training steps in a turn.", 1)
define_flags()


def main():
    """Measure and print images per second, and their ratio."""
    from datasets import load

    config = config_from_flags()
    data = load(config)
    # Two epochs at a time, so that the time includes shuffling.
    batches = data.train.batches(config.batch_size, config.seed)
    two_epochs = batches.take(2 * math.ceil(len(data.train) / config.batch_size))
    rates = contest.take_turns(
        {
            "pipeline alone": lambda: sum(len(labels) for _, labels in two_epochs),
            config.model: train_ours(config, FLAGS.turn_steps),
        }
    )
    print(f"images/s, median of {FLAGS.turns} turns (min to max); batches of {config.batch_size}")
    for name, values in rates.items():
        print(f"{name:>16} {contest.Spread(values):,.0f}")
    ratios = [fast / slow for fast, slow in zip(*rates.values(), strict=True)]
    print(f"{'ratio':>16} {contest.Spread(ratios):.0f}")
    contest.write_json("pipeline", {"images/s": rates})


if __name__ == "__main__":
    run_script(main)
