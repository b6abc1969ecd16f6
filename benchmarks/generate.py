"""Speed at which an exported model writes, against the length of the text.

    taskset -c 1 python -m benchmarks.generate --dataset=time_machine --model=lstm --units=256

The signature `generate` of a SavedModel with random weights writes one text at a time.
`taskset -c 1` leaves it one core. If each symbol costs the same, the speed does not depend on the
length; short texts are slower by the cost of a call.
"""

import functools
import tempfile

from absl import flags

from benchmarks import contest
from configs import config_from_flags, define_flags, run_script

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(contest)
flags.DEFINE_multi_integer("symbols", [10, 100, 1000, 10000], "Symbols of a text.", 1)
define_flags()


def main():
    """Measure, print the table, write the JSON."""
    generate = _exported(config_from_flags())
    rates = contest.take_turns(
        {str(length): functools.partial(_write, generate, length) for length in FLAGS.symbols}
    )
    contest.print_environment()
    print("| symbols | symbols/s |")
    print("| ---: | ---: |")
    for length in FLAGS.symbols:
        print(f"| {length:,} | {contest.Spread(rates[str(length)]):,.0f} |")
    contest.write_json("generate", {"symbols/s": rates})


def _exported(config):
    """The signature `generate` of a random model of a `Config`."""
    import tensorflow as tf

    from datasets import load
    from export.saved_model import export
    from models import create_model
    from tasks import task_of

    spec = load(config).spec
    with tempfile.TemporaryDirectory() as folder:
        path = export(create_model(config, spec), task_of(spec, config), folder, {})
        return tf.saved_model.load(path).signatures["generate"]


def _write(generate, length):
    import tensorflow as tf

    settings = {"length": length, "temperature": 1.0, "top_k": 0, "seed": 1}
    tensors = {name: tf.constant(value) for name, value in settings.items()}
    generate(prompt=tf.constant(["a"]), **tensors)["text"].numpy()
    return length


if __name__ == "__main__":
    run_script(main)
