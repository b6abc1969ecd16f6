"""Memory and time of real-time recurrent learning, compared with backpropagation through time.

    python -m benchmarks.real_time --picture=docs/before/real-time.png

Both compute the gradient of a fully recurrent network over the same stream, in a process of its
own. Backpropagation reads the stream at once. Real-time recurrent learning reads a step at a time
and forgets it.
"""

import resource
import time

import numpy as np
from absl import flags
from matplotlib.figure import Figure

from benchmarks import machine
from benchmarks.processes import Spawned
from configs import define_path, run_script
from explain.style import STYLES

FLAGS = flags.FLAGS
FEATURES = 2
WAYS = {"bptt": "backpropagation through time", "rtrl": "real-time recurrent learning"}


def main():
    """Measure, print both tables, draw the figure."""
    steps, units = sorted(FLAGS.steps), sorted(FLAGS.units)
    print(f"{machine()}\n")
    title = f"peak memory of the process (MB) by steps, {FLAGS.memory_units} units"
    print(f"| {title} | {_joined(steps)} |")
    print(f"| --- |{' ---: |' * len(steps)}")
    memory = {
        way: [measure(way, FLAGS.memory_units, each, 1)[1] / 1e6 for each in steps] for way in WAYS
    }
    for way, megabytes in memory.items():
        print(f"| {WAYS[way]} | {_joined(f'{each:,.0f}' for each in megabytes)} |", flush=True)
    print(f"\n| microseconds of a step by units | {_joined(units)} |")
    print(f"| --- |{' ---: |' * len(units)}")
    for way, name in WAYS.items():
        seconds = [
            measure(way, each, FLAGS.timed_steps, 2)[0] / FLAGS.timed_steps for each in units
        ]
        print(f"| {name} | {_joined(f'{1e6 * each:,.0f}' for each in seconds)} |", flush=True)
    draw(steps, memory).savefig(FLAGS.picture, dpi=150)
    print(f"done: {FLAGS.picture}")


def _joined(cells):
    return " | ".join(map(str, cells))


def measure(way, units, steps, turns):
    """Compute the gradient of a stream in a new process.

    Args:
        way: A name in `WAYS`.
        units: Units of the network.
        steps: Steps of the stream.
        turns: How often it is computed. The first time includes the compilation.

    Returns:
        The seconds of the last time, and the peak memory of the process in bytes.
    """
    name, arguments = f"{way}, {units} units, {steps} steps", (way, units, steps, turns)
    with Spawned(name, _gradient, *arguments) as process:
        return process.receive("its seconds and bytes")


def _gradient(pipe, way, units, steps, turns):
    """The main function of each process."""
    import tensorflow as tf

    from models import FastRNN, FullyRecurrentCell
    from models.learning import RealTimeCell

    cell = FullyRecurrentCell(units)
    layer = FastRNN(cell, return_sequences=True)
    stream = tf.constant(np.random.default_rng(0).random((1, steps, FEATURES), np.float32))
    layer(stream[:, :2])
    learner = FastRNN(RealTimeCell(cell), return_state=True)

    @tf.function
    def through_time():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(stream))
        return tape.gradient(loss, cell.weights)

    @tf.function
    def in_real_time():
        states = learner.cell.get_initial_state(1)
        total = [tf.zeros_like(weight) for weight in cell.weights]
        for step in tf.range(steps):
            with tf.GradientTape() as tape:
                h, *states = learner(stream[:, step : step + 1], initial_state=states)
                loss = tf.reduce_sum(h)
            gradients = tape.gradient(loss, cell.weights)
            total = [sum(pair) for pair in zip(total, gradients, strict=True)]
        return total

    gradient = {"bptt": through_time, "rtrl": in_real_time}[way]
    for _ in range(turns):
        start = time.perf_counter()
        gradient()
        seconds = time.perf_counter() - start
    pipe.send((seconds, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def draw(steps, memory):
    """Draw the memory of a process against the steps of the stream.

    Args:
        steps: The numbers of steps.
        memory: Lists of megabytes, by the names in `WAYS`.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for (way, megabytes), (colour, dashes) in zip(memory.items(), STYLES, strict=False):
        style = {"color": colour, "linestyle": dashes, "marker": "o", "label": WAYS[way]}
        axes.plot(steps, megabytes, **style)
    axes.set(xlabel="steps of the stream", ylabel="peak memory of the process (MB)", xscale="log")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


if __name__ == "__main__":
    lengths, sizes = [1000, 10_000, 100_000], [8, 16, 32, 64]
    flags.DEFINE_multi_integer("steps", lengths, "Steps for which memory is measured.", 1)
    flags.DEFINE_multi_integer("units", sizes, "Units for which time is measured.", 1)
    flags.DEFINE_integer("memory_units", 16, "Units of the network whose memory is measured.", 1)
    flags.DEFINE_integer("timed_steps", 1000, "Steps of the streams that are timed.", 1)
    define_path("picture", "real-time.png", "File of the figure: .png, .svg or .pdf.")
    run_script(main)
