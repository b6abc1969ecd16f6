"""Ray starts the workers of a training, and restarts all of them when one is lost."""

import dataclasses
import logging
import pathlib
import shutil
import threading

from configs import Interrupted, UserError
from training.distributed.cluster import cluster
from training.run import Run
from training.signals import stop_signal

# Restarts after lost workers. More of them have another cause than a lost machine.
_MAX_RESTARTS = 10


def train_on_ray(config, folder, data, resume, address, workers, peer_seconds=60):
    """Train as `train.train`, with workers that Ray starts.

    Each worker has a CPU, or a GPU if there are enough. When a worker or its node is lost, Ray ends
    all workers and starts new ones where there is room; they resume from the last checkpoint.

    Args:
        config: The `Config` to train.
        folder: The run folder, on a disk that every node has at the same path.
        data: The `Dataset`; it is sent to the workers.
        resume: Whether to resume the run in the folder.
        address: `"local"` for a new Ray cluster on this machine, `"auto"` for the one that runs on
            it, or `host:port` of a cluster's head.
        workers: The number of workers.
        peer_seconds: How long a worker waits for the others.

    Returns:
        The finished `Run`.

    Raises:
        UserError: As `train.train`; and if Ray is not installed, cannot be reached, or does not
            have enough CPUs.
        Interrupted: At SIGINT and SIGTERM, after the workers wrote a checkpoint.
    """
    run = Run(pathlib.Path(folder).absolute())
    task = {"config": config, "data": data, "peer_seconds": peer_seconds}
    # Ray prints the output of the workers here. Without the patch it would print it twice.
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
            error = _fit(ray, run, task, workers)
        finally:
            shutil.rmtree(run.folder / "ray", ignore_errors=True)
    if error:
        raise error
    return Run(folder)


def _fit(ray, run, task, workers):
    """Train with Ray; return the exception to raise, or `None`."""
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
            failure_config=FailureConfig(max_failures=_MAX_RESTARTS),
        ),
    )
    outcome = []

    def fit():
        try:
            outcome.append(trainer.fit().return_value)
        except Exception as error:
            outcome.append(
                UserError(
                    f"{run.folder}: the workers ended ({error}); expected workers that run to the "
                    f"end; the last checkpoint is kept; to go on: {run.command('--resume')}"
                )
            )

    # In another thread, since Ray would handle Ctrl-C itself in the main thread.
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
    """Carries the number of the signal that reached the driver to the workers."""

    def __init__(self):
        self.signal = None

    def put(self, number):
        self.signal = number

    def get(self):
        return self.signal


def _work(task):
    """Train in one worker process; return the exception for the driver, or `None`."""
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
        raise  # Ray restarts all workers.
    except (UserError, Interrupted) as outcome:
        return outcome
    return None
