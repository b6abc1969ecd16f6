"""Seconds and memory of a training step, and a model of how they grow.

    python -m benchmarks.scale

Each point is measured in new processes with one thread each, which train as `main.py` does, on
sequences of random numbers. The model is a sum of a few terms; each term is proportional to one
kind of work. It is fitted to some of the points and tested on the others.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import resource
import socket
import statistics
import time

import numpy as np
from absl import flags

from benchmarks import contest
from benchmarks.processes import Spawned
from configs import Config, UserError, run_script

FLAGS = flags.FLAGS
FEATURES, CLASSES = 28, 10
LENGTHS, BATCHES = (28, 784, 10_000), (128, 1024, 8192)  # For the extrapolation.


@dataclasses.dataclass(frozen=True)
class Point:
    """A training: `processes` processes share a batch of sequences of `steps` steps."""

    processes: int
    batch: int
    units: int
    steps: int

    @classmethod
    def parse(cls, text):
        """Parse four numbers; raises `UserError` for other texts."""
        try:
            point = cls(*map(int, text.split(",")))
        except (ValueError, TypeError):
            point = None
        if point is None or min(dataclasses.astuple(point)) < 1:
            raise UserError(
                f"received {text!r}; expected four positive integers: PROCESSES,BATCH,UNITS,STEPS"
            )
        return point

    @property
    def share(self):
        """The largest number of sequences of a batch in one process."""
        return -(-self.batch // self.processes)

    def seconds_terms(self):
        """The terms of the seconds of a training step, by name, without their factors."""
        weights = self.units * (self.units + FEATURES)
        others = self.processes - 1
        return {
            "a step": 1,
            "a time step": self.steps,
            "a state's number": self.steps * self.share * self.units,
            "a product": self.steps * self.share * weights,
            "a weight": weights,
            # Ring all-reduce: each message passes all other processes, twice.
            "a message": others,
            "a weight sent": weights * others / self.processes,
        }

    def bytes_terms(self):
        """The terms of the memory of a process, by name, without their factors."""
        return {
            "the program": 1,
            "a state's number": self.steps * self.share * self.units,
            "a weight": self.units * (self.units + FEATURES),
        }


def main():
    """Measure, fit, print, draw, write the JSON."""
    fitted, tested = (list(map(Point.parse, texts)) for texts in (FLAGS.fitted, FLAGS.tested))
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    contest.print_environment()
    measured = {}
    for point in (*fitted, *tested):
        measured[point] = measure(point, FLAGS.cell, FLAGS.turns)
        print(point, *(f"{value:.4g}" for value in measured[point]), flush=True)
    seconds = fit([p.seconds_terms() for p in fitted], [measured[p][0] for p in fitted])
    memory = fit([p.bytes_terms() for p in fitted], [measured[p][1] for p in fitted])
    print("\n| processes | batch | units | steps | ms | model | MB | model |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for point in (*fitted, *tested):
        head = " | ".join(f"{value:,}" for value in dataclasses.astuple(point))
        modelled = cost(seconds, point.seconds_terms()), cost(memory, point.bytes_terms())
        pairs = zip(measured[point], modelled, (1e3, 1e-6), strict=True)
        row = " | ".join(f"{a * scale:,.1f} | {b * scale:,.1f}" for a, b, scale in pairs)
        print(f"| {head} | {row} |")
    for quantity, factors, terms, column in [
        ("seconds", seconds, Point.seconds_terms, 0),
        ("bytes", memory, Point.bytes_terms, 1),
    ]:
        model = ", ".join(f"{value:.3g} {name}" for name, value in factors.items())
        print(f"\n{quantity}: {model}")
        for name, points in [("fitted", fitted), ("tested", tested)]:
            errors = [abs(cost(factors, terms(p)) / measured[p][column] - 1) for p in points]
            print(f"{name}: off by {statistics.median(errors):.0%} (at most {max(errors):.0%})")
    print_extrapolation(seconds, memory)
    draw(measured, fitted, seconds, memory).savefig(FLAGS.picture, dpi=150)
    contest.write_json(
        "scale",
        {
            "points": [dataclasses.asdict(p) | {"measured": m} for p, m in measured.items()],
            "seconds": seconds,
            "bytes": memory,
        },
    )
    print(f"picture: {FLAGS.picture}")


def fit(terms, values):
    """Fit non-negative factors, by the name of their terms, to the values.

    Minimizes the relative errors (least squares).
    """
    from scipy.optimize import nnls

    matrix = np.array([list(each.values()) for each in terms]) / np.array(values)[:, None]
    size = matrix.max(axis=0)  # The algorithm needs columns of similar magnitude.
    factors, _ = nnls(matrix / size, np.ones(len(values)))
    return dict(zip(terms[0], (factors / size).tolist(), strict=True))


def cost(factors, terms):
    """The result of the model for the terms of a `Point`."""
    return sum(factors[name] * value for name, value in terms.items())


def measure(point, cell, turns):
    """Measure the seconds of a training step (median of the turns) and the bytes of a process."""
    arguments = point, cell, turns, _free_addresses(point.processes)
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(Spawned(f"{point}, process {index}", _train, *arguments, index))
            for index in range(point.processes)
        ]
        answers = [process.receive("its seconds and bytes") for process in processes]
    return tuple(max(values) for values in zip(*answers, strict=True))


def _free_addresses(count):
    with contextlib.ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]


def _train(pipe, point, cell, turns, addresses, index):
    """The main function of each process."""
    if point.processes > 1:
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        os.environ["TF_CONFIG"] = json.dumps(cluster)
    import keras
    import tensorflow as tf

    from datasets import Spec
    from models import CELLS, FastRNN
    from tasks import task_of
    from training.distributed.distribution import Distribution
    from training.train import compile_model

    config = Config(units=point.units, batch_size=point.batch)
    distribution = Distribution("multi_worker" if point.processes > 1 else "none", config)

    def create():
        sequences = keras.Input((point.steps, FEATURES))
        x = FastRNN(CELLS[cell](point.units))(sequences)
        return keras.Model(sequences, keras.layers.Dense(CLASSES)(x))

    model = distribution.replicate(create)
    # About half a second.
    steps = 20 if cost_of_products(point) < 4e9 else 2 if cost_of_products(point) < 4e10 else 1
    with distribution.scope():
        spec = Spec("vectors", "class", (None, FEATURES), CLASSES)
        compile_model(model, task_of(spec, config), steps, steps)
    random = np.random.default_rng(0)
    sequences = random.random((point.batch, point.steps, FEATURES), np.float32)
    labels = random.integers(CLASSES, size=point.batch)
    clock = _clock()
    model.fit(
        tf.data.Dataset.from_tensors((sequences, labels)).repeat(),
        initial_epoch=0,
        epochs=1 + turns,
        steps_per_epoch=steps,
        validation_data=None,
        callbacks=[clock],
        shuffle=False,
        verbose=0,
    )
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # The first turn compiles and is not counted.
    pipe.send((statistics.median(clock.seconds[1:]) / steps, peak))


def cost_of_products(point):
    """Approximate number of additions and multiplications of a process in a training step."""
    return 24 * point.seconds_terms()["a product"]


def _clock():
    import keras

    class Clock(keras.callbacks.Callback):
        seconds = ()

        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds = (*self.seconds, time.perf_counter() - self.start)

    return Clock()


def print_extrapolation(seconds, memory):
    """Print the model's speed on up to 64 machines, and the largest batch in 16 GB."""
    print(
        "\n| steps | batch | sequences/s on 1 machine | on 64 | maximum | on machines "
        "| batch in 16 GB |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for steps, batch in itertools.product(LENGTHS, BATCHES):
        points = [Point(processes, batch, 128, steps) for processes in range(1, 65)]
        speeds = [batch / cost(seconds, point.seconds_terms()) for point in points]
        empty, one = (cost(memory, Point(1, n, 128, steps).bytes_terms()) for n in (0, 1))
        row = speeds[0], speeds[-1], max(speeds), 1 + np.argmax(speeds)
        row += ((16e9 - empty) // (one - empty) if one > empty else np.inf,)
        print(f"| {steps:,} | {batch:,} | " + " | ".join(f"{value:,.0f}" for value in row) + " |")


def draw(measured, fitted, seconds, memory):
    """Draw measured values against the model, and the model on up to 64 machines.

    Args:
        measured: Seconds and bytes by `Point`.
        fitted: The points to which the model was fitted.
        seconds: Factors of the terms of the seconds.
        memory: Factors of the terms of the bytes.
    """
    from matplotlib.figure import Figure

    from explain.style import STYLES

    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(2, 3)
    for axes, column, factors, terms, scale, unit, title in [
        (panels[0, 0], 0, seconds, Point.seconds_terms, 1, "s", "a training step"),
        (panels[1, 0], 1, memory, Point.bytes_terms, 1e-6, "MB", "memory of a process"),
    ]:
        values = {
            p: (scale * m[column], scale * cost(factors, terms(p))) for p, m in measured.items()
        }
        for is_fitted, marker, label in [(True, "o", "fitted"), (False, "x", "tested")]:
            shown = [value for p, value in values.items() if (p in fitted) == is_fitted]
            if shown:
                axes.plot(*zip(*shown, strict=True), marker, label=label)
        ends = [min(map(min, values.values())), max(map(max, values.values()))]
        axes.plot(ends, ends, color="black", linewidth=0.8)
        axes.set(title=title, xlabel=f"measured ({unit})", ylabel=f"model ({unit})")
        axes.grid(alpha=0.3)
        axes.legend()
    panels[0, 0].set(xscale="log", yscale="log")
    machines = 2 ** np.arange(7)
    for axes, steps in zip(panels.flat[[1, 2, 4]], LENGTHS, strict=True):
        for (colour, dashes), batch in zip(STYLES, BATCHES, strict=False):
            points = [Point(int(n), batch, 128, steps) for n in machines]
            speed = [batch / cost(seconds, p.seconds_terms()) for p in points]
            axes.plot(machines, speed, color=colour, linestyle=dashes, label=f"batch {batch:,}")
            axes.plot(machines, speed[0] * machines, color=colour, alpha=0.25, linewidth=0.8)
        axes.set(title=f"{steps:,} steps, 128 units", xlabel="machines", ylabel="sequences/s")
        axes.set(xscale="log", yscale="log", xticks=machines, xticklabels=machines)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0, 1].legend()
    lengths = np.logspace(1, 5)
    for (colour, dashes), batch in zip(STYLES, (8, 128, 2048), strict=False):
        points = [Point(1, batch, 128, steps) for steps in lengths]
        needed = [cost(memory, p.bytes_terms()) / 1e9 for p in points]
        panels[1, 2].plot(lengths, needed, color=colour, linestyle=dashes, label=f"batch {batch:,}")
    panels[1, 2].axhline(16, color="black", linewidth=0.8)
    panels[1, 2].text(10, 18, "16 GB")
    panels[1, 2].set(title="memory, 128 units", xlabel="steps", ylabel="GB")
    panels[1, 2].set(xscale="log", yscale="log")
    panels[1, 2].grid(alpha=0.3)
    panels[1, 2].legend()
    return figure


if __name__ == "__main__":
    flags.adopt_module_key_flags(contest)
    flags.DEFINE_string("cell", "custom_lstm", "A name in models.CELLS.")
    flags.DEFINE_string("picture", "docs/scale-cost.png", "File of the figure.")
    flags.DEFINE_multi_string(
        "fitted",
        [
            *("1,128,128,28", "1,128,32,28", "1,128,64,28", "1,128,256,28", "1,128,512,28"),
            *("1,8,128,28", "1,32,128,28", "1,512,128,28", "1,2048,128,28"),
            *("1,8,128,784", "1,128,128,784", "1,128,32,784"),
            *("1,8,128,10000", "1,32,32,10000"),
            *("2,128,32,28", "2,128,128,28", "2,128,512,28", "2,16,128,28", "2,1024,128,28"),
            "2,128,128,784",
        ],
        "Points for fitting the model: processes, batch, units, steps.",
    )
    flags.DEFINE_multi_string(
        "tested",
        [
            *("1,300,96,28", "1,64,384,28", "1,64,128,200", "1,64,64,784", "1,16,64,10000"),
            *("2,256,256,28", "2,128,64,200"),
        ],
        "Points for testing the model.",
    )
    run_script(main)
