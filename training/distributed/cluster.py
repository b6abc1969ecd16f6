"""A connection to Ray: to a new cluster on this machine, or to one that is running."""

import contextlib
import importlib
import os
import pathlib
import socket
import tempfile

from configs import UserError

_PROJECT = pathlib.Path(__file__).parents[2]
_CODE = ("configs", "datasets", "export", "models", "tasks", "training", "tuning")
_MIN_MEMORY = 80_000_000  # Bytes. Ray refuses a smaller object store.
_SECONDS = 10  # How long to wait for the head of a cluster.


@contextlib.contextmanager
def cluster(address, environment, cpus=None, memory=None, log_to_driver=False, needs=("ray",)):
    """Connect to Ray, and disconnect when the block ends; then a local cluster ends, too.

    Args:
        address: `"local"` for a new cluster on this machine, `"auto"` for the one that the
            environment variable `RAY_ADDRESS` names or that runs on this machine, or `host:port` of
            a cluster's head. A running cluster receives the code of this project.
        environment: Environment variables of the workers.
        cpus: The number of processors of a local cluster; `None` for those that Ray finds.
        memory: The bytes of its object store; `None` for Ray's default.
        log_to_driver: Whether to print the output of the workers here.
        needs: The packages to import.

    Yields:
        The package `ray`.

    Raises:
        UserError: If Ray is not installed, cannot be reached, or has another version of Ray or
            Python.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray, *_ = [importlib.import_module(name) for name in needs]
    except ImportError as error:
        raise UserError(
            f"--ray={address}: {error}; expected Ray to be installed: pip install -r "
            "requirements-ray.txt"
        ) from error
    # As `run_script` sets them here: the settings of a node may be for other programs.
    keras = {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": os.devnull}
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **keras, **environment}
    options = {
        "runtime_env": {"env_vars": environment},
        "logging_config": ray.LoggingConfig(log_level="ERROR"),
        "log_to_driver": log_to_driver,
    }
    with contextlib.ExitStack() as at_the_end:
        if address == "local":
            environment["PYTHONPATH"] = str(_PROJECT)
            # A short path, since Ray creates sockets in it.
            folder = tempfile.TemporaryDirectory(
                prefix="ray-", dir="/tmp", ignore_cleanup_errors=True
            )
            options |= {
                "_temp_dir": at_the_end.enter_context(folder),
                "_node_ip_address": "127.0.0.1",  # Not reachable from other machines.
                "num_cpus": cpus,
                "object_store_memory": memory and max(memory, _MIN_MEMORY),
                "include_dashboard": False,
            }
        else:
            options["runtime_env"]["py_modules"] = [str(_PROJECT / name) for name in _CODE]
        at_the_end.callback(ray.shutdown)
        try:
            where = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
            if where not in ("local", "auto"):
                _probe(where)
            ray.init(address, **options)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"--ray={address}: {error}; expected local, auto, or host:port of the head of a "
                f"running cluster with Ray {ray.__version__}, as ray start --head prints it"
            ) from error
        yield ray


def _probe(address):
    """Raise an `OSError` or `ValueError` if Ray does not answer; Ray would wait for minutes."""
    address = address.removeprefix("ray://")
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 2**16):
        raise ValueError(f"{address} is not host:port")
    socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    if os.environ.get("RAY_USE_TLS") == "1":
        return  # The check below has no keys for TLS.
    import grpc

    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_SECONDS)
        except grpc.FutureTimeoutError as error:
            raise TimeoutError("the program that listens there is not Ray") from error
