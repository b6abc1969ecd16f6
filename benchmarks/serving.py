"""Speed of the server, compared with direct calls and with KServe, and its behaviour under faults.

    python -m benchmarks.serving --dataset=mnist --kserve_python=/path/to/kserve/bin/python

`serve.py` answers requests over HTTP and gRPC from another process (`benchmarks.load`). KServe's
Python server, with one worker and with one worker per processor, and direct calls of the signature
in a third process take turns with it. Every answer is compared with that of a direct call. Then the
memory of the server is recorded during minutes of load, and last, faults happen around it. The
model has random weights. Everything runs on this machine, which must be a Linux.

Requests are encoded in advance, because the clients share the processors with the server.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
import statistics
import tempfile
import time

from absl import flags

from benchmarks import contest, faults
from benchmarks.load import Answers, Load, grpc_request, make, rest_request, words
from benchmarks.processes import Spawned
from benchmarks.servers import KServe, Ours
from configs import UserError, config_from_flags, define_flags, run_script

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(contest)
flags.DEFINE_string("kserve_python", None, "An interpreter that has kserve and TensorFlow.")
flags.DEFINE_float("seconds", 5, "Seconds of a turn.", 0.01)
flags.DEFINE_float("minutes", 10, "Minutes of load while memory is recorded.", 0)
define_flags()

_MANY = 64  # Requests at once, and images of a batch.
_IMAGES = 512  # Of a large request.
_REQUEST_SECONDS = 5  # Time limit of a request while faults happen.


@dataclasses.dataclass(frozen=True)
class _Case:
    """A kind of load.

    Attributes:
        protocol: `rest` or `grpc`.
        images: Images in a request.
        connections: Requests at once.
    """

    protocol: str
    images: int
    connections: int

    def __str__(self):
        return f"{self.protocol}, images: {self.images}, at once: {self.connections}"


_REST_MANY, _REST_ONE, _REST_LARGE, _GRPC_MANY, _GRPC_ONE, _GRPC_LARGE = _CASES = [
    _Case(protocol, images, connections)
    for protocol in ("rest", "grpc")
    for images, connections in ((1, _MANY), (1, 1), (_IMAGES, 1))
]
_DIRECT_MANY, _DIRECT_ONE, _DIRECT_LARGE = _DIRECT_CASES = [
    _Case("direct", images, 1) for images in (_MANY, 1, _IMAGES)
]


@dataclasses.dataclass(frozen=True)
class _Workload:
    """Requests to the served model, and the right answers.

    Attributes:
        requests: Requests for `Load`, by protocol and number of images.
        expected: The right answers, by number of images.
        expected_of_other: The answers of the second version to requests of one image.
    """

    requests: dict
    expected: dict
    expected_of_other: list


def main():
    """Measure, print the tables, write the JSON."""
    # KServe and direct calls use TensorFlow's default allocator; serve.py chooses its own.
    os.environ.pop("TF_CPU_ALLOCATOR_USE_BFC")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    contest.print_environment()
    config = config_from_flags()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        direct = stack.enter_context(_Caller("direct calls"))
        loader = stack.enter_context(_Caller("requests"))
        workload = direct(_prepare, config, folder)
        served = folder / "served"
        with Ours(served) as ours:
            memory = [ours.megabytes()]
            turns = _take_turns(served / config.model / "1", direct, loader, ours, workload)
            memory += _memory_under_load(loader, ours, workload)
        starts = [ours.seconds]
        for _ in range(FLAGS.turns - 1):
            with Ours(served) as server:
                starts.append(server.seconds)
        _print_measures(turns, starts, memory)
        outcomes = _inject_faults(loader, folder, config.model, workload)
    turns = {f"{case}; {name}": figures for (case, name), figures in turns.items()}
    results = {"turns": turns, "starts, s": starts, "memory, MB": memory, "faults": outcomes}
    contest.write_json("serving", results)


def serve_calls(pipe):
    """Receive functions through a pipe, call them, and send back their results."""
    while True:
        function, *arguments = pipe.recv()
        pipe.send(function(*arguments))


class _Caller(Spawned):
    """A process that calls functions."""

    def __init__(self, name):
        super().__init__(name, serve_calls)

    def __call__(self, function, *arguments):
        self.send((function, *arguments))
        return self.receive("an answer")


def _prepare(config, folder):
    """Export two versions of the model into a folder, and return their `_Workload`."""
    import keras
    import numpy as np
    import tensorflow as tf

    from datasets import load
    from export.saved_model import export
    from models import create_model
    from tasks import task_of

    data = load(config)
    batches = {
        1: [data.test.inputs[n : n + 1] for n in range(_MANY)],
        _IMAGES: [np.resize(data.test.inputs[n:], (_IMAGES, 28, 28)) for n in range(2)],
    }
    answers = []
    for seed, subfolder in enumerate(["served", "other"]):
        keras.utils.set_random_seed(seed)
        task = task_of(data.spec, config)
        path = export(create_model(config, data.spec), task, folder / subfolder / config.model, {})
        answer = tf.saved_model.load(path).signatures["serving_default"]
        answers.append(
            {
                images: [
                    answer(rows=tf.convert_to_tensor(batch, tf.float32))["probabilities"].numpy()
                    for batch in some
                ]
                for images, some in batches.items()
            }
        )
    requests = {
        (protocol, images): [request(config.model, batch) for batch in some]
        for protocol, request in (("rest", rest_request), ("grpc", grpc_request))
        for images, some in batches.items()
    }
    return _Workload(requests, answers[0], answers[1][1])


def _call_directly(path, images, seconds):
    """Call the signature repeatedly and return the `Answers`."""
    import numpy as np
    import tensorflow as tf

    answer = _loaded(path).signatures["serving_default"]
    rows = np.random.default_rng(0).uniform(0, 255, (images, 28, 28)).astype("float32")
    answers = Answers()
    start = now = time.perf_counter()
    while now < start + seconds:
        outputs = answer(rows=tf.convert_to_tensor(rows))
        for tensor in outputs.values():
            tensor.numpy()
        before, now = now, time.perf_counter()
        answers.latencies.append(now - before)
    answers.seconds = now - start
    return answers


@functools.cache
def _loaded(path):
    import tensorflow as tf

    return tf.saved_model.load(path)


def _load(case, server, workload, seconds):
    address = server.grpc if case.protocol == "grpc" else server.rest
    requests = workload.requests[case.protocol, case.images]
    expected = [[right] for right in workload.expected[case.images]]
    return Load(case.protocol, address, requests, expected, case.connections, seconds)


def _take_turns(path, direct, loader, ours, workload):
    """The results of each turn, by case and name of the server."""
    calls = {
        (case, "direct"): functools.partial(_call_directly, path, case.images, FLAGS.seconds)
        for case in _DIRECT_CASES
    }
    with contextlib.ExitStack() as stack:
        servers = {"ours": ours}
        if FLAGS.kserve_python:
            for workers in sorted({1, os.cpu_count()}):
                peer = KServe(FLAGS.kserve_python, path.parent.name, path, workers)
                servers[f"KServe × {workers}"] = stack.enter_context(peer)
        loads = {
            (case, name): _load(case, server, workload, FLAGS.seconds)
            for case, (name, server) in itertools.product(_CASES, servers.items())
            if case.protocol == "rest" or name == "ours"
        }
        turns = {key: [] for key in [*calls, *loads]}
        for number in range(1 + FLAGS.turns):
            done = {key: _figures(key, direct(call)) for key, call in calls.items()}
            for key, load in loads.items():
                server = servers[key[1]]
                before = server.processor_seconds()
                done[key] = figures = _figures(key, loader(make, load))
                took = server.processor_seconds() - before
                figures["processor, ms"] = 1e3 * took / figures["requests"]
            if number > 0:  # The first turn loads and compiles.
                for key, figures in done.items():
                    turns[key].append(figures)
    return turns


def _figures(key, answers):
    """Compute the results from `Answers`; prints a message about wrong and missing ones."""
    case, name = key
    missing = answers.missing()
    if missing or answers.wrong:
        print(f"{case}; {name}: {answers.wrong} wrong answers; not answered: {words(missing)}")
    milliseconds = sorted(1e3 * seconds for seconds in answers.latencies)
    count = len(milliseconds)
    if not count:
        raise UserError(f"{case}; {name}: no answer; expected some within --seconds")
    return {
        "requests": count,
        "images/s": case.images * count / answers.seconds,
        "p50, ms": milliseconds[count // 2],
        "p99, ms": milliseconds[count * 99 // 100],
        "wrong": answers.wrong,
        "missing": missing,
    }


def _memory_under_load(loader, ours, workload):
    """Record the memory in megabytes during minutes of load."""
    load = _load(_REST_MANY, ours, workload, FLAGS.seconds)
    megabytes, end = [], time.monotonic() + 60 * FLAGS.minutes
    while len(megabytes) < 2 or time.monotonic() < end:
        _figures((_REST_MANY, "ours"), loader(make, load))
        megabytes.append(ours.megabytes())
    return megabytes


@dataclasses.dataclass(frozen=True)
class _Measure:
    """A row of the table.

    Attributes:
        name: Name of the measured quantity.
        ours: Our `Spread`.
        bar: `≥` or `≤` and a number: the target of the ratio, or of our value without a ratio.
        beside: The name and the `Spread` by which ours is divided in each turn, or `None`.
        digits: Digits after the decimal point.
    """

    name: str
    ours: contest.Spread
    bar: str = ""
    beside: tuple | None = None
    digits: int = 0

    def __str__(self):
        spec, beside, ratio, judged = f",.{self.digits}f", "–", "–", self.ours
        if self.beside:
            name, theirs = self.beside
            pairs = zip(self.ours.values, theirs.values, strict=True)
            judged = contest.Spread([one / other for one, other in pairs])
            beside, ratio = f"{name}: {theirs:{spec}}", f"{judged:.2f}"
        cells = (self.name, f"{self.ours:{spec}}", beside, ratio, self.bar, self._reached(judged))
        return f"| {' | '.join(cells)} |"

    def _reached(self, judged):
        if not self.bar:
            return ""
        sign, limit = self.bar.split()
        median = statistics.median(judged.values)
        reached = median >= float(limit) if sign == "≥" else median <= float(limit)
        return "yes" if reached else "no"


def _print_measures(turns, starts, memory):
    """Print the measured values, and whether each target is reached."""

    def of(case, key, name="ours"):
        return contest.Spread([figures[key] for figures in turns[case, name]])

    def beside(case, key, name):
        return name, of(case, key, name)

    many, large = of(_REST_MANY, "images/s"), of(_REST_LARGE, "images/s")
    latency, work = of(_REST_ONE, "p50, ms"), of(_REST_MANY, "processor, ms")
    tenth = max(1, len(memory) // 10)
    first, last = statistics.median(memory[1 : 1 + tenth]), statistics.median(memory[-tenth:])
    growth = contest.Spread([100 * (last / first - 1)])
    measures = [
        _Measure(measure, ours, bar, beside(case, key, name), digits)
        for measure, ours, bar, case, key, digits in [
            ("64 at once, images/s", many, "≥ 5", _REST_MANY, "images/s", 0),
            ("their processor time, ms", work, "", _REST_MANY, "processor, ms", 2),
            ("one at a time, ms", latency, "≤ 1", _REST_ONE, "p50, ms", 2),
            ("512 images, images/s", large, "", _REST_LARGE, "images/s", 0),
        ]
        for at, name in turns
        if at == case and name.startswith("KServe")
    ]
    direct_large = beside(_DIRECT_LARGE, "images/s", "direct")
    measures += [
        _Measure(*row)
        for row in [
            ("64 at once, images/s", many, "", beside(_DIRECT_MANY, "images/s", "direct")),
            ("their p99, ms", of(_REST_MANY, "p99, ms"), "≤ 50", None, 1),
            ("one at a time, ms", latency, "≤ 2", beside(_DIRECT_ONE, "p50, ms", "direct"), 2),
            ("512 images, images/s", large, "≥ 0.7", direct_large),
            ("gRPC, 64 at once, images/s", of(_GRPC_MANY, "images/s"), "≥ 1", ("REST", many)),
            ("their processor time, ms", of(_GRPC_MANY, "processor, ms"), "", ("REST", work), 2),
            ("gRPC, one at a time, ms", of(_GRPC_ONE, "p50, ms"), "", ("REST", latency), 2),
            ("gRPC, 512 images, images/s", of(_GRPC_LARGE, "images/s"), "", direct_large),
            ("start to ready, s", contest.Spread(starts), "≤ 6", None, 2),
            ("memory after the start, MB", contest.Spread(memory[:1])),
            ("maximal memory, MB", contest.Spread([max(memory)]), "≤ 750"),
            (f"growth in {FLAGS.minutes:g} minutes, %", growth, "≤ 2", None, 2),
        ]
    ]
    print("| measure | ours | beside | ratio | bar | reached |")
    print("| --- | ---: | ---: | ---: | --- | --- |")
    print(*measures, sep="\n", flush=True)


def _inject_faults(loader, folder, model, workload):
    """Let faults happen around a server under load, and print the table row by row."""
    models, other = folder / "served" / model, folder / "other" / model / "1"
    large = workload.requests["rest", _IMAGES][0]
    first = [[right] for right in workload.expected[1]]
    second = [[right] for right in workload.expected_of_other]
    either = [[*one, *another] for one, another in zip(first, second, strict=True)]
    limits = ("--poll_seconds=0.2", f"--request_seconds={_REQUEST_SECONDS}")
    print("\n| fault | outcome | requests | wrong | missing | lives | MB before | MB after |")
    print("| --- | --- | ---: | ---: | --- | --- | ---: | ---: |")
    outcomes = {}
    with Ours(folder / "served", *limits) as server:
        load = _load(_REST_MANY, server, workload, FLAGS.seconds)
        # Each fault, and the right answers during it and after it.
        for name, cause, right, right_after in [
            ("none", lambda: "–", first, first),
            ("new version", lambda: faults.new_version(server, models, other), either, second),
            ("version removed", lambda: faults.version_removed(server, models), either, first),
            ("broken version", lambda: faults.broken_version(server, models), first, first),
            ("slow clients", lambda: faults.slow_clients(server, _REQUEST_SECONDS), first, first),
            ("200 MB bodies", lambda: faults.huge_bodies(server, model), first, first),
            ("deep JSON", lambda: faults.deep_json(server, model), first, first),
            ("clients that go", lambda: faults.clients_go(server, large), first, first),
            # The memory that they leave allocated is allocated only once.
            ("clients that go, again", lambda: faults.clients_go(server, large), first, first),
            ("SIGTERM", lambda: faults.sigterm(server), first, None),
        ]:
            before = server.megabytes()
            outcome, answers = _inject_fault(loader, cause, load, right, right_after)
            lives = server.process.poll() is None
            outcomes[name] = {
                "outcome": outcome,
                "requests": answers.statuses.total(),
                "wrong": answers.wrong,
                "missing": words(answers.missing()),
                "lives": lives,
                "MB before": round(before),
                "MB after": round(server.megabytes()) if lives else None,
            }
            cells = map(str, outcomes[name].values())
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return outcomes


def _inject_fault(loader, cause, load, right, right_after):
    """Let a fault happen under load, and return its outcome and the `Answers`.

    Args:
        loader: The process that sends the load.
        cause: Function that causes the fault and returns the outcome.
        load: The `Load`, repeated until the fault is over.
        right: The right answers during the fault.
        right_after: The right answers after the fault; `None` if the server has ended.
    """

    def answers_if(expected):
        return loader(make, dataclasses.replace(load, expected=expected))

    def cause_under_load():
        time.sleep(min(1, load.seconds / 2))  # The load has started by then.
        return cause()

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        injection = thread.submit(cause_under_load)
        answers = answers_if(right)
        while not injection.done():
            answers.add(answers_if(right))
    if right_after:
        answers.add(answers_if(right_after))
    else:
        del answers.statuses["refused"]  # Refusals after the end are correct.
    return injection.result(), answers


if __name__ == "__main__":
    run_script(main)
