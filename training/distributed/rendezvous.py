"""The workers of one training find each other before they train.

TensorFlow's coordination service registers them and watches their heartbeats. By default (2.21) a
worker waits without end for a missing one, and nothing compares what they compute. So the service
gets a time limit here, and every worker publishes in it what its training depends on.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import signal
import threading

from configs import UserError

_JOBS = {"chief", "worker"}


@dataclasses.dataclass(frozen=True)
class Peers:
    """The workers of a training.

    Attributes:
        addresses: `host:port` of each worker, the chief first.
        index: The index of this process in `addresses`.
        tasks: The name of each worker in TensorFlow.
    """

    addresses: list[str]
    index: int
    tasks: list[str]

    @classmethod
    def from_environment(cls):
        """Read the environment variable `TF_CONFIG`; raise a `UserError` if it is wrong."""
        text = os.environ.get("TF_CONFIG", "")
        try:
            config = json.loads(text)
            cluster, task = config["cluster"], config["task"]
            if task["type"] not in _JOBS or not _JOBS.issuperset(cluster):
                raise ValueError("expected only the tasks chief and worker")
            tasks = {
                f"/job:{job}/replica:0/task:{index}": address
                for job in sorted(cluster)
                for index, address in enumerate(cluster[job])
            }
            own = f"/job:{task['type']}/replica:0/task:{int(task['index'])}"
            peers = cls(list(tasks.values()), list(tasks).index(own), list(tasks))
            int(peers.addresses[peers.index].rpartition(":")[2])  # A ValueError without one.
            return peers
        except (ValueError, KeyError, TypeError, AttributeError) as error:
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
        """A worker in an error message."""
        return f"worker {index} ({self.addresses[index]})"


def wait_for_workers(peers, environment, seconds):
    """Wait until all workers have come, and compare what their training depends on.

    Args:
        peers: The `Peers`.
        environment: The values that must be equal on all workers, JSON-ready, by name.
        seconds: How long to wait.

    Returns:
        The `tf.distribute.MultiWorkerMirroredStrategy` of all workers.

    Raises:
        UserError: If a worker does not come or differs. All workers that came raise the same.
    """
    import tensorflow as tf
    from tensorflow.python.eager import context  # No public API configures the service.

    milliseconds = round(1000 * seconds)
    service = context.context()
    service.configure_coordination_service(
        "standalone", peers.tasks[0], cluster_register_timeout_in_ms=milliseconds
    )
    options = service.coordination_service
    # Otherwise only the first collective operation would wait for the workers, without a limit.
    options.cluster_register_with_barrier = True
    for job in sorted(_JOBS):
        if count := sum(f"job:{job}/" in task for task in peers.tasks):
            options.coordinated_job_list.add(name=job, num_tasks=count)

    def exchange(key, value):
        """Publish a value; return those of all workers."""
        service.set_config_key_value(f"{key}/{peers.index}", value)
        indices = range(len(peers.addresses))
        return [service.get_config_key_value(f"{key}/{n}", milliseconds) for n in indices]

    try:
        with _ctrl_c_ends_at_once():
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        environments = [json.loads(text) for text in exchange("own", json.dumps(environment))]
    except tf.errors.OpError as error:
        raise UserError(_failure(peers, error.message, seconds)) from error
    if problem := _difference(peers, environments):
        # The chief, which runs the service, leaves after all workers have read the values.
        with contextlib.suppress(tf.errors.OpError):
            exchange("read", "")
        raise UserError(problem)
    return strategy


def versions():
    """The versions that two processes must share, besides the flags, to compute the same.

    Raises:
        PackageNotFoundError: If a package is not installed.
    """
    project = pathlib.Path(__file__).parents[2]
    folders = ("configs", "datasets", "models", "tasks", "training")
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in (project / folder).rglob("*.py")):
        digest.update(path.read_bytes())
    found = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")}
    return {"python": platform.python_version(), **found, "program": digest.hexdigest()[:12]}


@contextlib.contextmanager
def _ctrl_c_ends_at_once():
    """End the process at SIGINT: TensorFlow does not call Python's handlers while it waits."""
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not is_main or before == signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _failure(peers, message, seconds):
    """The error message for workers that did not find each other, from that of TensorFlow."""
    if "Could not start gRPC server" in message:
        return (
            f"TF_CONFIG: {peers.name(peers.index)} cannot listen on its port; expected a free "
            "port: end the program that uses it, or choose another"
        )
    listed = message.partition("timed out task names:")[2].splitlines()
    missing = [peers.name(n) for n, task in enumerate(peers.tasks) if task in listed]
    if missing:
        return (
            f"{', '.join(missing)} did not come within {seconds:g} seconds; expected all "
            f"{len(peers.addresses)} workers of TF_CONFIG: start them, make {peers.name(0)} "
            "reachable from there, or wait longer with --peer_seconds"
        )
    return (
        f"{peers.name(0)}, the chief, did not answer {peers.name(peers.index)} within "
        f"{seconds:g} seconds ({message.splitlines()[0]}); expected all {len(peers.addresses)} "
        "workers of TF_CONFIG: start it, or wait longer with --peer_seconds"
    )


def _difference(peers, environments):
    """The error message for the first worker that differs from the chief, or `None`."""
    chief = environments[0]
    for index, other in enumerate(environments):
        for name in sorted(chief.keys() | other.keys()):
            if chief.get(name) != other.get(name):
                return (
                    f"{peers.name(index)} has {name} {other.get(name)}, {peers.name(0)} has "
                    f"{chief.get(name)}; expected the same on all workers: start all with the same "
                    "flags and the same versions of this program and its packages"
                )
    return None
