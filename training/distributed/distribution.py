"""The devices of a training: one, several of one machine, or those of several machines."""

import contextlib
import dataclasses
import pickle
import signal

import numpy as np
import tensorflow as tf

from configs import Interrupted, UserError, names_of
from training.distributed import rendezvous
from training.distributed.replicas import DistributedModel, replica_scope


class PeerLost(UserError):
    """Another machine ended or cannot be reached; the training can resume from its checkpoint."""


class Distribution:
    """The devices of a training: one, all of this machine, or those of several machines.

    For several machines it must be created before TensorFlow has computed anything.

    Args:
        kind: `"none"`, `"mirrored"`, or `"multi_worker"`: the machines are those of `TF_CONFIG`.
        config: The `Config` to train. All machines must have the same one, except for the folders
            of the data, and the same `versions`.
        peer_seconds: How long to wait for the other machines.
        stop: A function that returns the number of a signal that reached another process, or
            `None`.

    Attributes:
        is_chief: Whether this process is the one that writes.

    Raises:
        UserError: If another machine does not come or differs, or `TF_CONFIG` is wrong.
    """

    def __init__(self, kind="none", config=None, peer_seconds=60, stop=lambda: None):
        self.kind = kind
        self._stop = stop
        self.is_chief = True
        if kind == "multi_worker":
            self._peers = rendezvous.Peers.from_environment()
            self.is_chief = self._peers.is_chief
            environment = rendezvous.versions() | _flags(config)
            self._strategy = rendezvous.wait_for_workers(self._peers, environment, peer_seconds)
            # A function, since TensorFlow would trace an eager reduction each time.
            self._add = tf.function(lambda values: self._strategy.reduce("SUM", values, axis=None))
        elif kind == "mirrored":
            devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
            self._strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
        else:
            self._strategy = tf.distribute.get_strategy()

    @property
    def replicas(self):
        """The number of devices that train, on all machines together."""
        return self._strategy.num_replicas_in_sync

    def scope(self):
        """The scope in which a model to train is compiled."""
        return contextlib.nullcontext() if self.kind == "none" else replica_scope(self._strategy)

    def replicate(self, create_model):
        """The model that `create_model()` returns, on every device."""
        if self.kind == "none":
            return create_model()
        with self._strategy.scope():
            model = create_model()
        return DistributedModel(model, self._strategy)

    def on_chief(self, function):
        """Call a function on the chief alone; return its result, or raise its error, on all.

        All processes must call this method, and wait for the chief.
        """
        if self.kind != "multi_worker":
            return function()
        outcome = b""
        if self.is_chief:
            try:
                outcome = pickle.dumps((function(), None))
            except (Exception, Interrupted) as error:
                outcome = pickle.dumps((None, error))
        # The bytes travel as floats, which the collectives of every device support, and the size
        # before them, since all processes must pass arrays of one shape.
        size = int(self._sum(np.float32([len(outcome)]))[0])
        own = np.frombuffer(outcome or bytes(size), "uint8").astype("float32")
        result, error = pickle.loads(self._sum(own).astype("uint8").tobytes())
        if error:
            raise error
        return result

    def agreed(self, stop_signal):
        """A `stop_signal` function that returns a signal to every process if one received it."""
        if self.kind != "multi_worker":
            return stop_signal

        def received_by_any():
            # A signal can reach one process at any moment; all must stop after the same step.
            own = stop_signal() or (self.is_chief and self._stop()) or 0
            received = self._sum(np.eye(signal.NSIG, dtype="float32")[own])
            return int(received[1:].any() and 1 + received[1:].argmax()) or None

        return received_by_any

    @contextlib.contextmanager
    def translate_errors(self):
        """Raise a `PeerLost` in place of TensorFlow's errors when another machine is lost."""
        try:
            yield
        except tf.errors.OpError as error:
            own_fault = (tf.errors.ResourceExhaustedError, tf.errors.InvalidArgumentError)
            if self.kind != "multi_worker" or isinstance(error, own_fault):
                raise
            raise PeerLost(
                f"{self._peers.name(self._peers.index)}: another worker ended or cannot be reached "
                f"({error.message.splitlines()[0]}); expected all workers to run to the end: read "
                "its output, and start all again with --resume; the last checkpoint is kept"
            ) from error

    def _sum(self, array):
        """The sum of the arrays of all processes, `float32`, all of one shape."""
        once = {0: array}  # The other replicas of this process add zeros.
        values = self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(once.pop(0, np.zeros_like(array)))
        )
        return self._add(values).numpy()


def _flags(config):
    """The flags that must be equal; the folders of the data may differ from machine to machine."""
    values = dataclasses.asdict(config)
    return {f"--{name}": values[name] for name in values.keys() - names_of(location=True)}
