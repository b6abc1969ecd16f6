"""Trials in parallel, on the CPUs of a Ray cluster.

Each trial is a plain Ray task. Ray Tune is not used, since it has its own search algorithms and its
own record of a search: a search that began with it could not continue without it.
"""

import contextlib
import dataclasses
import importlib.metadata
import math
import pathlib
import socket
import time

from configs import Interrupted, UserError
from training.distributed.cluster import cluster
from training.distributed.rendezvous import versions
from training.files import locking
from training.signals import stop_signal
from tuning.trial import THREADS, Trial

_MAX_RESTARTS = 10  # Of a trial that loses its worker; after that it counts as failed.
_PATIENCE = 60  # Seconds.


def create_workers(address, cpus_per_trial=None):
    """Workers for the values of `--ray` and `--cpus_per_trial`; `None` without `--ray`."""
    if address:
        return OnRay(address, cpus_per_trial or 1.0)
    if cpus_per_trial is not None:
        raise UserError(
            f"--cpus_per_trial={cpus_per_trial:g}: received no --ray, and only Ray trains trials "
            "in parallel; expected --ray=local or a cluster's address, or no --cpus_per_trial"
        )
    return None


class OnRay:
    """Trains as many trials at the same time as a Ray cluster has CPUs for.

    A worker process trains one trial after another, since TensorFlow takes seconds to start. If a
    worker or a node is lost, its trial continues from its checkpoint on another worker.

    Args:
        address: See `training.distributed.cluster.cluster`.
        cpus_per_trial: Number of CPUs for each trial, possibly below 1.

    Attributes:
        max_running: How many trials it trains at the same time.
        flags: The flags of `tune.py` that select these workers.
        threads: See `InProcess`.
    """

    def __init__(self, address, cpus_per_trial=1.0):
        self.address = address
        self.cpus_per_trial = cpus_per_trial
        self.max_running = 0
        self.threads = dict.fromkeys(THREADS, str(max(1, math.floor(cpus_per_trial))))
        self.flags = f" --ray={address} --cpus_per_trial={cpus_per_trial:g}"
        self._tasks = {}  # Ray's reference to a result -> the running trial.
        self._losses = {}  # Number of a trial -> how many workers it has lost.

    @property
    def running(self):
        """The number of running trials."""
        return len(self._tasks)

    @contextlib.contextmanager
    def ready(self, data, executions):
        """See `InProcess.ready`. Connects to Ray and sends the data to the workers.

        Raises:
            UserError: If Ray cannot be used, or no node has enough CPUs for a trial.
        """
        environment = {
            **self.threads,
            "TF_CPU_ALLOCATOR_USE_BFC": "true",  # As in `run_script`.
            "CUDA_VISIBLE_DEVICES": "",  # Each trial would take the whole memory of a GPU.
        }
        splits = (data.train, data.validation, data.test)
        memory = 2 * sum(array.nbytes for split in splits for array in split.arrays())
        with cluster(self.address, environment, memory=memory) as self._ray:
            nodes = [node for node in self._ray.nodes() if node["Alive"]]
            cpus = [node["Resources"].get("CPU", 0) for node in nodes]
            self.max_running = sum(math.floor(each / self.cpus_per_trial) for each in cpus)
            if not self.max_running:
                raise UserError(
                    f"--cpus_per_trial={self.cpus_per_trial:g}: the largest node at "
                    f"--ray={self.address} has {max(cpus, default=0):g} CPUs; expected at most "
                    "that many"
                )
            # We restart lost trials: Ray would retry for ever on a node that is out of memory.
            task = self._ray.remote(num_cpus=self.cpus_per_trial, max_retries=0)(_run)
            shared = self._ray.put((data, executions, versions()))
            self._submit = lambda *start: task.remote(*start, shared)
            try:
                yield
            finally:
                self.stop()

    def start(self, trial, config, folder):
        """See `InProcess.start`. All nodes must have the folder at the same path."""
        folder = pathlib.Path(folder).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        self._tasks[self._submit(trial, config, folder)] = trial

    def wait(self):
        """See `InProcess.wait`.

        Raises:
            UserError: If a worker has other packages, or does not see the folder.
            OSError: If the disk of a worker is full or cannot be written to.
        """
        done, _ = self._ray.wait(list(self._tasks), timeout=0.5)
        return [self._result(reference, self._tasks.pop(reference)) for reference in done]

    def stop(self):
        """See `InProcess.stop`. The workers have one minute to write their checkpoints."""
        for reference in self._tasks:
            self._ray.cancel(reference)
        if self._tasks:
            self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=_PATIENCE)
        tasks, self._tasks = self._tasks, {}
        trials = []
        for reference in tasks:
            with contextlib.suppress(self._ray.exceptions.RayError):
                trials.append(self._ray.get(reference, timeout=0))
        return [trial for trial in trials if isinstance(trial, Trial)]

    def _result(self, reference, trial):
        """The `Trial` that ended, or a running one that must be started again."""
        errors = self._ray.exceptions
        try:
            outcome = self._ray.get(reference)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            if isinstance(error, errors.RayTaskError) and "failed to import" not in str(error):
                raise  # A bug in this program.
            raise UserError(
                f"--ray={self.address}: a worker cannot run this program: {error}; expected all of "
                "requirements.txt on every node"
            ) from error
        except errors.RayError as error:
            lost = self._losses[trial.number] = self._losses.get(trial.number, 0) + 1
            reason = "lost its worker: " + " ".join(str(error).split()).partition(". ")[0]
            if lost > _MAX_RESTARTS:
                return trial.failed(RuntimeError(reason))
            return dataclasses.replace(trial, reason=reason)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome or dataclasses.replace(trial, reason="its worker was asked to stop")


def _run(trial, config, folder, shared):
    """Train a trial in a worker.

    Returns:
        The `Trial`; an exception for `tune.py` to raise; or `None` if the worker was stopped.
    """
    data, executions, expected = shared
    try:
        with stop_signal() as signal:
            _check_worker(folder, expected)
            from tuning.execution import run_trial  # Imports TensorFlow.

            with _locked(folder, signal):
                return run_trial(trial, config, folder, data, executions)
    except Interrupted:
        return None
    except (UserError, OSError) as error:
        return error


def _check_worker(folder, expected):
    """Raise a `UserError` if this process has other packages or does not see the folder."""
    host = socket.gethostname()
    try:
        installed = versions()
    except importlib.metadata.PackageNotFoundError as error:
        installed = {"package": f"no {error.name}"}
    for name, version in installed.items():
        if version != expected.get(name):
            raise UserError(
                f"--ray: a worker on {host} has {name} {version}; expected "
                f"{expected.get(name, 'requirements.txt')} on every node, as here"
            )
    if not folder.is_dir():
        raise UserError(
            f"--ray: a worker on {host} does not see {folder}; expected --runs_dir on a disk that "
            "every node has at the same path"
        )


@contextlib.contextmanager
def _locked(folder, signal):
    """Lock the folder of a trial, which a lost worker may still hold for a while."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and not signal():
        with locking(folder) as locked:
            if locked:
                yield
                return
    if not signal():
        raise UserError(
            f"{folder}: another process is training in it; expected a folder that no other process "
            "uses: wait until it ends"
        )
    raise Interrupted(signal(), "interrupted")
