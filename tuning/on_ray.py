"""Trials side by side, on the processors of a Ray cluster.

They are plain tasks of Ray's. Ray Tune would keep a record of its own of the search beside
`trials.csv`, and draw by other means than `tuning.oracle`: a search could not go on without it.
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

# How often a trial whose worker is lost goes on with another, before it is itself to blame.
_RESTARTS = 10
_PATIENCE = 60  # Seconds.


class OnRay:
    """Has Ray's workers train, each a trial, as many at once as there are processors for.

    A worker is used for one trial after another, as TensorFlow takes seconds to start. A trial
    whose worker or node is lost goes on from its checkpoint with another.

    Args:
        address: As of `training.distributed.cluster.cluster`.
        cpus_per_trial: Processors, or the part of one, for each trial.

    Attributes:
        at_once: How many trials it trains at the same time.
        flags: The flags by which `tune.py` trains so.
        threads: As of `InProcess`.
    """

    def __init__(self, address, cpus_per_trial=1.0):
        self.address = address
        self.cpus_per_trial = cpus_per_trial
        self.at_once = 0
        self.threads = dict.fromkeys(THREADS, str(max(1, math.floor(cpus_per_trial))))
        self.flags = f" --ray={address} --cpus_per_trial={cpus_per_trial:g}"
        self._tasks = {}  # By Ray's reference of the result, the trial.
        self._losses = {}  # By the number of a trial, how many workers it has lost.

    @property
    def under_way(self):
        """How many trials are being trained."""
        return len(self._tasks)

    @contextlib.contextmanager
    def ready(self, data, executions):
        """As `InProcess.ready`; the data are sent to the workers.

        Raises:
            UserError: If Ray cannot be had, or no node of it has as many processors.
        """
        environment = {
            **self.threads,
            "TF_CPU_ALLOCATOR_USE_BFC": "true",  # As `run_script` has it.
            "CUDA_VISIBLE_DEVICES": "",  # Else each trial would take a GPU's whole memory.
        }
        splits = (data.train, data.validation, data.test)
        memory = 2 * sum(array.nbytes for split in splits for array in split.arrays())
        with cluster(self.address, environment, memory=memory) as self._ray:
            nodes = [node for node in self._ray.nodes() if node["Alive"]]
            cpus = [node["Resources"].get("CPU", 0) for node in nodes]
            self.at_once = sum(math.floor(each / self.cpus_per_trial) for each in cpus)
            if not self.at_once:
                raise UserError(
                    f"--cpus_per_trial={self.cpus_per_trial:g}: the largest node at "
                    f"--ray={self.address} has {max(cpus, default=0):g} processors; expected at "
                    "most that many"
                )
            # What it takes to go on after a loss is ours to do: the memory of a node may be lost
            # again and again, which Ray would try for ever.
            task = self._ray.remote(num_cpus=self.cpus_per_trial, max_retries=0)(_run)
            given = self._ray.put((data, executions, versions()))
            self._submit = lambda *start: task.remote(*start, given)
            try:
                yield
            finally:
                self.stop()

    def start(self, trial, config, folder):
        """As `InProcess.start`; the folder has to be one that the workers see too."""
        folder = pathlib.Path(folder).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        self._tasks[self._submit(trial, config, folder)] = trial

    def wait(self):
        """As `InProcess.wait`.

        Raises:
            UserError: If a worker has other packages, or does not see the folder.
            OSError: If a worker's disk refuses.
        """
        done, _ = self._ray.wait(list(self._tasks), timeout=0.5)
        return [self._result(reference, self._tasks.pop(reference)) for reference in done]

    def stop(self):
        """As `InProcess.stop`: the workers write checkpoints, for which they have a minute."""
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
        """The `Trial` that ended, or is running and has to be started again."""
        errors = self._ray.exceptions
        try:
            outcome = self._ray.get(reference)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            if isinstance(error, errors.RayTaskError) and "failed to import" not in str(error):
                raise  # No worker's fault, but ours.
            raise UserError(
                f"--ray={self.address}: a worker cannot run this program: {error}; expected all of "
                "requirements.txt on every node"
            ) from error
        except errors.RayError as error:
            lost = self._losses[trial.number] = self._losses.get(trial.number, 0) + 1
            what = "lost its worker: " + " ".join(str(error).split()).partition(". ")[0]
            if lost > _RESTARTS:
                return trial.failed(RuntimeError(what))
            return dataclasses.replace(trial, reason=what)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome or dataclasses.replace(trial, reason="its worker was asked to stop")


def _run(trial, config, folder, given):
    """What a worker does: the `Trial`, an exception for `tune.py`, or `None` if it was stopped."""
    data, executions, expected = given
    try:
        with stop_signal() as signal:
            _check(folder, expected)
            from tuning.execution import run_trial  # With it comes TensorFlow.

            with _alone(folder, signal):
                return run_trial(trial, config, folder, data, executions)
    except Interrupted:
        return None
    except (UserError, OSError) as error:
        return error


def _check(folder, expected):
    """`UserError` if this process is not fit to train in the folder."""
    host = socket.gethostname()
    try:
        found = versions()
    except importlib.metadata.PackageNotFoundError as error:
        found = {"package": f"no {error.name}"}
    for name, version in found.items():
        if version != expected.get(name):
            raise UserError(
                f"--ray: a worker on {host} has {name} {version}; expected "
                f"{expected.get(name, 'requirements.txt')} on every node, as here"
            )
    if not folder.is_dir():
        raise UserError(
            f"--ray: a worker on {host} does not see {folder}; expected --runs_dir on a disk that "
            "every node has at the same place"
        )


@contextlib.contextmanager
def _alone(folder, signal):
    """Lock the folder, from which a worker that is lost to us may still have to go."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and not signal():
        with locking(folder) as locked:
            if locked:
                yield
                return
    if not signal():
        raise UserError(
            f"{folder}: another process is training in it; expected a run of its own: wait for it"
        )
    raise Interrupted(signal(), "interrupted")
