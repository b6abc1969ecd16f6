"""Comparisons in turns, with each contender in its own process, so that none delays another."""

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
flags.DEFINE_integer("turns", 7, "Number of turns of each contender.", 1)
flags.DEFINE_string("json", None, "File for all results (default: in runs/benchmarks/).")

PACKAGES = (
    *("tensorflow", "keras", "torch", "jax", "numpy"),
    *("onnxruntime", "tf2onnx", "ai-edge-litert"),
)


def _take_turns_of(pipe, prepare):
    """The main loop of a contender's process."""
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
    """The median of values, with their minimum and maximum."""

    values: list

    def __format__(self, spec):
        low, high = min(self.values), max(self.values)
        return f"{statistics.median(self.values):{spec}} ({low:{spec}} to {high:{spec}})"


def contest(contenders):
    """Let contenders take `--turns` turns, one after the other.

    Args:
        contenders: Picklable functions by name. Each one prepares the work and returns a function
            `work() -> amount`, which does one turn and returns the amount of work done.

    Returns:
        `rates`, the amount per second in each turn, and `memory`, the peak memory of the process in
        bytes, by name; can be written as JSON.
    """
    # The first turn compiles and is not counted. The first contender runs alone, because it may
    # have to prepare the dataset; the others run at the same time.
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
    """As `contest`, for work that can share this process.

    Args:
        work: Functions by name that do one turn and return the amount of work done.

    Returns:
        Lists of rates by name, the amount per second in each turn. The first turn is not counted.
    """
    rates = {name: [] for name in work}
    for _ in range(1 + FLAGS.turns):
        for name, turn in work.items():
            rates[name].append(_rate(turn))
    return {name: counted for name, (_, *counted) in rates.items()}


def requests(answer, seconds):
    """Create work that calls `answer()` repeatedly for some seconds and returns the count."""

    def work():
        count, end = 0, time.perf_counter() + seconds
        while count == 0 or time.perf_counter() < end:
            answer()
            count += 1
        return count

    return work


def ratios(result, ours, theirs):
    """The `Spread` of the ratios of our rate to theirs in each turn."""
    pairs = zip(result[ours]["rates"], result[theirs]["rates"], strict=True)
    return Spread([one / other for one, other in pairs])


def environment():
    """The machine and the versions of packages; `None` for packages that are not installed."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {"machine": machine(), "versions": versions}


def print_environment():
    """Print the machine, the versions and the meaning of the numbers, above a table."""
    current = environment()
    print(f"{current['machine']}; {current['versions']}")
    print(f"median of {FLAGS.turns} turns (min to max)\n", flush=True)


@functools.cache
def installed(package):
    """Whether an optional package is installed; prints a message if it is not."""
    if environment()["versions"][package] is None:
        print(
            f"{package} is not installed and is skipped; to measure it: pip install -r "
            "requirements-bench.txt"
        )
        return False
    return True


def write_json(name, results):
    """Write the results of a benchmark to a file, with the machine and the versions."""
    path = pathlib.Path(FLAGS.json or f"runs/benchmarks/{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(environment() | {"results": results}, indent=2) + "\n")
    print(f"\nall results: {path}")
