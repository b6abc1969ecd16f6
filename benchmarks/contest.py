"""Contenders taking turns, each in a process of its own, so that none can hold up another."""

import dataclasses
import importlib.metadata
import json
import multiprocessing
import pathlib
import platform
import resource
import statistics
import time

from absl import flags

from benchmarks.runs import machine
from configs import UserError

FLAGS = flags.FLAGS
flags.DEFINE_integer("turns", 7, "Turns of every contender.", 1)
flags.DEFINE_string("json", None, "Where to write all figures (default: runs/benchmarks/).")

PACKAGES = ("tensorflow", "keras", "torch", "jax", "numpy")


class Contender:
    """A process that is ready to work when it is told to.

    Args:
        name: What the tables call it.
        prepare: A function, importable by name, that makes everything ready and returns another:
            `work() -> amount` does one turn, and says how much was done.
        *arguments: Those of `prepare`.

    Attributes:
        start: Seconds from the start of the process to the end of its first turn.
        rates: Amount per second of each turn since.
        memory: Most bytes the process has held so far.
    """

    def __init__(self, name, prepare, *arguments):
        self.name = name
        self.rates = []
        self._connection, theirs = multiprocessing.get_context("spawn").Pipe()
        self._process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(theirs, prepare, arguments), daemon=True
        )
        start = time.perf_counter()
        self._process.start()
        theirs.close()
        self._take_turn()
        self.start = time.perf_counter() - start

    def take_turn(self):
        """Work once."""
        self.rates.append(self._take_turn())

    def close(self):
        """End the process."""
        self._connection.close()
        self._process.join()

    def _take_turn(self):
        try:
            self._connection.send("work")
            rate, self.memory = self._connection.recv()
        except (EOFError, BrokenPipeError) as error:
            raise UserError(f"{self.name} ended; expected a rate: see its message above") from error
        return rate


def _serve(connection, prepare, arguments):
    """The contender's process."""
    work = prepare(*arguments)
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        start = time.perf_counter()
        amount = work()
        rate = amount / (time.perf_counter() - start)
        kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        connection.send((rate, kibibytes * 1024))


@dataclasses.dataclass(frozen=True)
class Spread:
    """The median of some values, the least and the greatest."""

    values: list

    def __format__(self, spec):
        low, high = min(self.values), max(self.values)
        return f"{statistics.median(self.values):{spec}} ({low:{spec}} to {high:{spec}})"


def contest(contenders):
    """Let contenders take turns, one after the other, `--turns` times, and end them.

    Returns:
        By contender's name: its `rates`, `start` and `memory`, JSON-ready.
    """
    for _ in range(FLAGS.turns):
        for contender in contenders:
            contender.take_turn()
    for contender in contenders:
        contender.close()
    return {c.name: {"rates": c.rates, "start": c.start, "memory": c.memory} for c in contenders}


def ratios(result, ours, theirs):
    """The `Spread` of our rate over theirs, turn by turn."""
    pairs = zip(result[ours]["rates"], result[theirs]["rates"], strict=True)
    return Spread([one / other for one, other in pairs])


def circumstances():
    """The machine and the versions measured, JSON-ready; what is not installed is `None`."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {"machine": machine(), "versions": versions}


def installed(package):
    """Whether an optional package is there; says so if it is not."""
    if circumstances()["versions"][package] is None:
        print(f"{package} is not installed: it is left out (pip install -r requirements-bench.txt)")
        return False
    return True


def write_json(name, results):
    """Write the results of a benchmark, with the circumstances, to a file."""
    path = pathlib.Path(FLAGS.json or f"runs/benchmarks/{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(circumstances() | {"results": results}, indent=2) + "\n")
    print(f"\nall figures: {path}")
