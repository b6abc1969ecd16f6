"""Where a training takes place: on one device, several of one machine, or several machines."""

import contextlib
import dataclasses
import pickle
import signal

import numpy as np
import tensorflow as tf

from configs import Interrupted, UserError
from training.distributed import rendezvous
from training.distributed.replicas import DistributedModel, replica_scope


class PeerLost(UserError):
    """Another machine ended or cannot be reached; the training can go on from its checkpoint."""


class Distribution:
    """Where a training takes place: here, on all devices of this machine, or on several machines.

    Must be made before TensorFlow has computed anything if it is of several machines.

    Args:
        kind: `"none"`, `"mirrored"`, or `"multi_worker"`: the machines are those of `TF_CONFIG`.
        config: The `Config` to train. All machines must have the same, but for where the data lie,
            and the same `versions`.
        peer_seconds: How long to wait for the other machines.
        stop: A function that gives the number of a signal if it was asked to stop from elsewhere.

    Attributes:
        is_chief: Whether this process is the one that writes.

    Raises:
        UserError: If another machine does not come or is of another kind, or `TF_CONFIG` is wrong.
    """

    def __init__(self, kind="none", config=None, peer_seconds=60, stop=lambda: None):
        self.kind = kind
        self._stop = stop
        self.is_chief = True
        if kind == "multi_worker":
            self._peers = rendezvous.Peers.from_environment()
            environment = rendezvous.versions() | _flags(config)
            rendezvous.wait_for_workers(self._peers, environment, peer_seconds)
            self.is_chief = self._peers.is_chief
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
            # Not eagerly, which would trace it anew each time.
            self._add = tf.function(lambda values: self._strategy.reduce("SUM", values, axis=None))
        elif kind == "mirrored":
            devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
            self._strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
        else:
            self._strategy = tf.distribute.get_strategy()

    @property
    def replicas(self):
        """How many devices train, on all machines together."""
        return self._strategy.num_replicas_in_sync

    def scope(self):
        """What a model that is to be trained here is compiled in."""
        return contextlib.nullcontext() if self.kind == "none" else replica_scope(self._strategy)

    def replicate(self, create_model):
        """The model that `create_model()` makes, on every device."""
        if self.kind == "none":
            return create_model()
        with self._strategy.scope():
            model = create_model()
        return DistributedModel(model, self._strategy)

    def on_chief(self, function):
        """Call a function on the chief alone, and give what it gives, or raises, to all.

        All processes must call it, and wait for the chief.
        """
        if self.kind != "multi_worker":
            return function()
        outcome = b""
        if self.is_chief:
            try:
                outcome = pickle.dumps((function(), None))
            except (Exception, Interrupted) as error:
                outcome = pickle.dumps((None, error))
        # Bytes as floats, which the collectives of every device can carry. All must know the shape.
        size = int(self._sum(np.float32([len(outcome)]))[0])
        own = np.frombuffer(outcome or bytes(size), "uint8").astype("float32")
        result, error = pickle.loads(self._sum(own).astype("uint8").tobytes())
        if error:
            raise error
        return result

    def agreed(self, stop_signal):
        """A `stop_signal` function that tells every process of a signal that came to any."""
        if self.kind != "multi_worker":
            return stop_signal

        def to_any():
            # It may come to one of them at any moment, and all must stop after the same step.
            own = stop_signal() or (self.is_chief and self._stop()) or 0
            came = self._sum(np.eye(signal.NSIG, dtype="float32")[own])
            return int(came[1:].any() and 1 + came[1:].argmax()) or None

        return to_any

    @contextlib.contextmanager
    def translate_errors(self):
        """Turn the loss of another machine into a `PeerLost`."""
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
        once = {0: array}  # And zeros for any other replica of this process.
        values = self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(once.pop(0, np.zeros_like(array)))
        )
        return self._add(values).numpy()


def _flags(config):
    """The flags a training depends on: each machine may have the data in a place of its own."""
    values = dataclasses.asdict(config)
    return {f"--{name}": values[name] for name in values.keys() - {"data_dir", "mnist_dir"}}
