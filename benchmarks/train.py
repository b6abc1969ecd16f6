"""Training speed of our models, compared with Keras, JAX and PyTorch.

    python -m benchmarks.train --dataset=mnist
    python -m benchmarks.train --dataset=time_machine --work=lstm --units=256

All contenders train on the same images or text, each in its own process: ours as in `main.py`,
Keras's own layers in `fit` on TensorFlow and on JAX, and PyTorch's in a standard loop. They take
turns; ratios are those of neighbouring turns. The states of a text are carried from batch to batch.
"""

import dataclasses

from absl import flags

from benchmarks import contest
from benchmarks.peers import trainers
from configs import UserError, config_from_flags, define_flags, run_script
from configs.scopes import kind_of

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(contest)
flags.DEFINE_integer("turn_steps", 60, "Training steps in a turn; a tenth of them on pixels.", 1)
flags.DEFINE_list("work", None, "Rows to measure, by name (default: all).")
define_flags()

# Flags of each row, besides those of all rows.
_ALL = {"model": "lstm", "scan": "rows", "compute_dtype": "float32"}
WORK = {
    "lstm": {},
    "lstm bfloat16": {"compute_dtype": "bfloat16"},
    "basic_rnn": {"model": "basic_rnn"},
    "bidirectional_lstm": {"model": "bidirectional_lstm"},
    "gru": {"model": "gru"},
    "peephole_lstm": {"model": "peephole_lstm"},
    "cifg_lstm": {"model": "cifg_lstm"},
    "lstm pixels": {"scan": "pixels"},
}


def main():
    """Measure, print the tables, write the JSON."""
    config = config_from_flags()
    unknown = set(FLAGS.work or ()) - set(WORK)
    if unknown:
        raise UserError(f"--work={min(unknown)}: expected some of {', '.join(WORK)}")
    peak = contest.contest({"GEMM": prepare_gemm})["GEMM"]["rates"]
    print(f"a product of two 2,048x2,048 matrices: {contest.Spread(peak):.0f} GFLOP/s")
    contest.print_environment()
    unit = "symbols/s" if kind_of(config.dataset).reads == "tokens" else "images/s"
    print(f"| work | {unit} | / Keras | / PyTorch | / JAX | memory / Keras |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    results = {}
    for name in FLAGS.work or WORK:
        results[name] = _measure(name, config)
        _print_row(name, results[name])
    contest.write_json("train", {"gemm gigaflops": peak, f"training {unit}": results})


def _measure(name, config):
    config = dataclasses.replace(config, **_ALL | WORK[name])
    steps = max(1, FLAGS.turn_steps // (10 if config.scan == "pixels" else 1))
    return contest.contest(trainers(config, steps))


def _print_row(name, result):
    cells = [f"{contest.Spread(result['ours']['rates']):,.0f}"]
    for peer in ("Keras", "PyTorch", "JAX"):
        cells.append(f"{contest.ratios(result, 'ours', peer):.2f}" if peer in result else "–")
    memory = result["ours"]["memory"] / result["Keras"]["memory"]
    print(f"| {name} | {' | '.join(cells)} | {memory:.2f} |", flush=True)


def prepare_gemm():
    """Create work of float32 matrix products, 2,048 by 2,048; the amount is in GFLOP."""
    import tensorflow as tf

    a = tf.random.normal((2048, 2048))
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(a, a)), jit_compile=True)

    def work():
        for _ in range(4):
            product().numpy()
        return 4 * 2 * 2048**3 / 1e9

    return work


if __name__ == "__main__":
    run_script(main)
