"""The workers of one training find each other, before they wait for each other.

TensorFlow's collectives wait for a missing peer for ever and in silence, and take any peer for one
that computes the same. So all workers first report to the chief, on the port that TensorFlow is to
use: who they are, and what the training depends on.
"""

import contextlib
import dataclasses
import errno
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import socket
import time

from configs import UserError

_JOBS = {"chief", "worker"}
_LONGEST = 1 << 16  # Bytes of a report or an answer: one JSON object on one line.


@dataclasses.dataclass(frozen=True)
class Peers:
    """Who takes part in a training.

    Attributes:
        addresses: `host:port` of each worker, the chief first.
        index: Which of them this process is.
    """

    addresses: list[str]
    index: int

    @classmethod
    def from_environment(cls):
        """As the environment variable `TF_CONFIG` says; `UserError` if it does not."""
        text = os.environ.get("TF_CONFIG", "")
        try:
            config = json.loads(text)
            chiefs, workers = (list(config["cluster"].get(job, [])) for job in sorted(_JOBS))
            task = config["task"]
            if task["type"] not in _JOBS or not _JOBS.issuperset(config["cluster"]):
                raise ValueError("its tasks are not all workers")
            index = int(task["index"]) + (len(chiefs) if task["type"] == "worker" else 0)
            peers = cls(chiefs + workers, index)
            _split(peers.addresses[index])
            return peers
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            given = f"TF_CONFIG={text!r} ({error!r})" if text else "TF_CONFIG is not set"
            raise UserError(
                f"--distribute=multi_worker: {given}; expected on each "
                'machine, with its own index, {"cluster": {"worker": ["host:port", ...]}, "task": '
                '{"type": "worker", "index": 0}}, or --ray=local or --ray=ADDRESS, which sets it'
            ) from error

    @property
    def is_chief(self):
        """Whether this process is the one that writes."""
        return self.index == 0

    def name(self, index):
        """A worker in words."""
        return f"worker {index} ({self.addresses[index]})"


def wait_for_workers(peers, environment, seconds):
    """Wait until all workers are there, and make sure that they are of one kind.

    Args:
        peers: The `Peers`.
        environment: What must be the same for all, JSON-ready values by name.
        seconds: How long to wait.

    Raises:
        UserError: If a worker does not come or differs. All that are there raise the same.
    """
    deadline = time.monotonic() + seconds
    if peers.is_chief:
        with contextlib.closing(_listen(peers)) as listener, contextlib.ExitStack() as stack:
            reports = _gather_reports(listener, len(peers.addresses), deadline, stack)
            problem = _problem(
                peers,
                environment,
                {n: environment for n, (environment, _) in reports.items()},
                seconds,
            )
            for _, connection in reports.values():
                with contextlib.suppress(OSError):
                    connection.sendall(json.dumps({"problem": problem}).encode() + b"\n")
    else:
        problem = _report(peers, environment, deadline, seconds)
    if problem:
        raise UserError(problem)


def versions():
    """What two processes must have in common, besides the flags, to compute the same.

    Raises:
        PackageNotFoundError: If a package is not installed.
    """
    project = pathlib.Path(__file__).parents[2]
    folders = ("configs", "datasets", "models", "training")
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in (project / folder).rglob("*.py")):
        digest.update(path.read_bytes())
    found = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")}
    return {"python": platform.python_version(), **found, "program": digest.hexdigest()[:12]}


def _listen(peers):
    host, port = _split(peers.addresses[0])
    try:
        try:
            return socket.create_server((host, port), backlog=len(peers.addresses))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
            # The name others know this machine by need not be an address of its own.
            return socket.create_server(("", port), backlog=len(peers.addresses))
    except OSError as error:
        raise UserError(
            f"TF_CONFIG: {peers.name(0)}, the chief, cannot listen on port {port} "
            f"({error.strerror}); expected a free port: end the program that uses it, or choose "
            "another"
        ) from error


def _gather_reports(listener, count, deadline, stack):
    """The environment and the connection of each worker that came in time, by its index."""
    reports = {}
    while len(reports) < count - 1 and time.monotonic() < deadline:
        listener.settimeout(max(deadline - time.monotonic(), 0.001))
        with contextlib.suppress(
            OSError, ValueError, KeyError, TypeError
        ):  # A stranger at the port.
            connection, _ = listener.accept()
            stack.callback(connection.close)
            connection.settimeout(5)
            report = json.loads(_read_line(connection))
            if report["worker"] in range(1, count):
                reports[report["worker"]] = report["environment"], connection
    return reports


def _problem(peers, environment, others, seconds):
    """What keeps these workers from training together, or `None`."""
    missing = [peers.name(n) for n in range(1, len(peers.addresses)) if n not in others]
    if missing:
        return (
            f"{', '.join(missing)} did not come within {seconds:g} seconds; expected all "
            f"{len(peers.addresses)} workers of TF_CONFIG: start them, let {peers.name(0)} be "
            "reached from there, or wait longer with --peer_seconds"
        )
    for index, other in sorted(others.items()):
        for name in sorted(environment.keys() | other.keys()):
            if environment.get(name) != other.get(name):
                return (
                    f"{peers.name(index)} has {name} {other.get(name)}, {peers.name(0)} has "
                    f"{environment.get(name)}; expected the same of all: give all of them the same "
                    "flags and the same versions of this program and its packages"
                )
    return None


def _report(peers, environment, deadline, seconds):
    """Report to the chief; its answer: what keeps the workers from training together, or `None`."""
    own = json.dumps({"worker": peers.index, "environment": environment}).encode() + b"\n"
    while True:
        left = max(deadline - time.monotonic(), 0.001)
        try:
            with socket.create_connection(_split(peers.addresses[0]), timeout=left) as connection:
                connection.sendall(own)
                # The chief may still wait for others, for as long as from its own start.
                connection.settimeout(left + seconds)
                return json.loads(_read_line(connection))["problem"]
        except (OSError, ValueError) as error:
            if time.monotonic() > deadline:
                return (
                    f"{peers.name(0)}, the chief, did not answer {peers.name(peers.index)} within "
                    f"{seconds:g} seconds ({error}); expected all {len(peers.addresses)} workers "
                    "of TF_CONFIG: start it, or wait longer with --peer_seconds"
                )
            time.sleep(0.2)


def _read_line(connection):
    line = b""
    while not line.endswith(b"\n"):
        received = connection.recv(4096)
        if not received or len(line) > _LONGEST:
            raise ValueError("no whole line came")
        line += received
    return line


def _split(address):
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)
