"""Ray starts the workers of a training, and starts them again when one is lost."""

import dataclasses
import logging
import pathlib
import shutil
import threading

from configs import Interrupted, UserError
from training.distributed.cluster import cluster
from training.run import Run
from training.signals import stop_signal

# How often lost workers are replaced before something else than bad luck is at work.
_RESTARTS = 10


def train_on_ray(config, folder, data, resume, address, workers, peer_seconds=60):
    """As `train.train`, by workers that Ray starts, each with a CPU, or a GPU if there are enough.

    A worker that ends, or a node with it, ends all; Ray starts them anew, where there is room, and
    they go on from the last checkpoint.

    Args:
        config: What to train.
        folder: The run folder, on a disk that every node has at the same place.
        data: The `Dataset`; it is sent to the workers.
        resume: Whether to go on with the run in the folder.
        address: `"local"` for a Ray of its own on this machine, `"auto"` for the one that is
            running on it, or `host:port` of a cluster's head.
        workers: How many workers.
        peer_seconds: How long a worker waits for the others.

    Returns:
        The finished `Run`.

    Raises:
        UserError: As `train.train`; and if Ray is not installed, cannot be reached, or has not
            enough CPUs.
        Interrupted: At SIGINT and SIGTERM, after the workers wrote a checkpoint.
    """
    run = Run(pathlib.Path(folder).absolute())
    task = {"config": config, "data": data, "peer_seconds": peer_seconds}
    # What the workers print is printed here, and nothing of it twice.
    options = {"log_to_driver": True, "needs": ("ray", "ray.train")}
    environment = {"RAY_TRAIN_ENABLE_PRINT_PATCH": "0"}
    with cluster(address, environment, cpus=workers, **options) as ray:
        cpus = ray.cluster_resources().get("CPU", 0)
        if cpus < workers:
            raise UserError(
                f"--workers={workers}: the cluster at --ray={address} has {cpus:g} CPUs; expected "
                "at most as many workers"
            )
        if not (resume and run.exists()):
            Run.create(run.folder, dataclasses.replace(config, dataset=data.name))
        try:
            outcome = _fit(ray, run, task, workers)
        finally:
            shutil.rmtree(run.folder / "ray", ignore_errors=True)
    if outcome:
        raise outcome
    return Run(folder)


def _fit(ray, run, task, workers):
    """Have Ray do it all; the exception that is to be raised, or `None`."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.tensorflow import TensorflowTrainer

    mailbox = ray.remote(num_cpus=0)(_Mailbox).remote()
    trainer = TensorflowTrainer(
        _work,
        train_loop_config=task | {"folder": str(run.folder), "mailbox": mailbox},
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=ray.cluster_resources().get("GPU", 0) >= workers
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=str(run.folder),
            failure_config=FailureConfig(max_failures=_RESTARTS),
        ),
    )
    outcome = []

    def fit():
        try:
            outcome.append(trainer.fit().return_value)
        except Exception as error:
            outcome.append(
                UserError(
                    f"{run.folder}: the workers ended ({error}); expected workers that stay until "
                    f"the end; the last checkpoint is kept; to go on: {run.command('--resume')}"
                )
            )

    # In a thread of its own, since in the main one it would take Ctrl-C for itself.
    fitting = threading.Thread(target=fit, daemon=True)
    with stop_signal() as asked:
        fitting.start()
        while fitting.is_alive():
            fitting.join(0.2)
            if asked():
                ray.get(mailbox.put.remote(asked()))
        if asked() and not outcome[0]:
            return Interrupted(asked(), f"interrupted; to go on: {run.command('--resume')}")
    return outcome[0]


class _Mailbox:
    """What the driver tells the workers: the number of the signal that asked it to stop."""

    def __init__(self):
        self.signal = None

    def put(self, number):
        self.signal = number

    def get(self):
        return self.signal


def _work(task):
    """One worker's whole task, in a process of Ray's; what it may have to tell the driver."""
    import ray

    from training import train
    from training.distributed.distribution import Distribution, PeerLost

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    mailbox = task["mailbox"]
    try:
        distribution = Distribution(
            "multi_worker",
            task["config"],
            task["peer_seconds"],
            stop=lambda: ray.get(mailbox.get.remote()),
        )
        train.train(task["config"], task["folder"], task["data"], True, distribution)
    except PeerLost:
        raise  # Ray starts all of them again.
    except (UserError, Interrupted) as outcome:
        return outcome
    return None
