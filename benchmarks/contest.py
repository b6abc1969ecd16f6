"""Contenders taking turns, each in a process of its own, so that none can hold up another."""

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import pathlib
import platform
import resource
import statistics
import time

from absl import flags

from benchmarks import machine
from benchmarks.processes import Spawned

FLAGS = flags.FLAGS
flags.DEFINE_integer("turns", 7, "Turns of every contender.", 1)
flags.DEFINE_string("json", None, "Where to write all figures (default: runs/benchmarks/).")

PACKAGES = (
    *("tensorflow", "keras", "torch", "jax", "numpy"),
    *("onnxruntime", "tf2onnx", "ai-edge-litert"),
)


def _take_turns_of(pipe, prepare):
    """What a contender's process does."""
    work = prepare()
    while True:
        pipe.recv()
        rate = _rate(work)
        kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pipe.send((rate, kibibytes * 1024))


def _rate(work):
    start = time.perf_counter()
    amount = work()
    return amount / (time.perf_counter() - start)


@dataclasses.dataclass(frozen=True)
class Spread:
    """The median of some values, the least and the greatest."""

    values: list

    def __format__(self, spec):
        low, high = min(self.values), max(self.values)
        return f"{statistics.median(self.values):{spec}} ({low:{spec}} to {high:{spec}})"


def contest(contenders):
    """Let contenders take turns, one after the other, `--turns` times.

    Args:
        contenders: By name a function, importable by its own, that makes everything ready and
            returns another: `work() -> amount` does one turn, and says how much was done.

    Returns:
        By name the `rates`, an amount per second for each turn, and the most bytes of `memory` the
        process held, JSON-ready.
    """
    # A first turn, not counted, in which much is compiled. The first contender goes alone: it may
    # have to prepare the dataset. The others go at once, to save time.
    contenders, processes = list(contenders.items()), []
    with contextlib.ExitStack() as stack:
        for group in (contenders[:1], contenders[1:]):
            started = [
                stack.enter_context(Spawned(name, _take_turns_of, prepare))
                for name, prepare in group
            ]
            for process in started:
                process.send("turn")
            for process in started:
                process.receive("a rate")
            processes += started
        result = {process.name: {"rates": [], "memory": 0} for process in processes}
        for _ in range(FLAGS.turns):
            for process in processes:
                process.send("turn")
                rate, result[process.name]["memory"] = process.receive("a rate")
                result[process.name]["rates"].append(rate)
    return result


def take_turns(work):
    """As `contest`, of works that can share this process.

    Args:
        work: By name a function that does one turn, and says how much was done.

    Returns:
        By name the rates, an amount per second for each turn; a first turn is not counted.
    """
    rates = {name: [] for name in work}
    for _ in range(1 + FLAGS.turns):
        for name, turn in work.items():
            rates[name].append(_rate(turn))
    return {name: counted for name, (_, *counted) in rates.items()}


def requests(answer, seconds):
    """Work that calls `answer()` again and again for so long, and says how often."""

    def work():
        count, end = 0, time.perf_counter() + seconds
        while count == 0 or time.perf_counter() < end:
            answer()
            count += 1
        return count

    return work


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


def print_circumstances():
    """Print the head of every table: machine, versions and what its numbers are."""
    found = circumstances()
    print(f"{found['machine']}; {found['versions']}")
    print(f"median of {FLAGS.turns} turns (min to max)\n", flush=True)


@functools.cache
def installed(package):
    """Whether an optional package is there; says so if it is not."""
    if circumstances()["versions"][package] is None:
        print(
            f"{package} is not installed, and is left out; to measure it: pip install -r "
            "requirements-bench.txt"
        )
        return False
    return True


def write_json(name, results):
    """Write the results of a benchmark, with the circumstances, to a file."""
    path = pathlib.Path(FLAGS.json or f"runs/benchmarks/{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(circumstances() | {"results": results}, indent=2) + "\n")
    print(f"\nall figures: {path}")
