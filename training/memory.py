"""Estimate whether a model fits into memory, and report errors when it does not."""

import contextlib
import pathlib
import resource

from configs import UserError
from configs.scopes import kind_of

_BYTES = 4  # Of a float32. `--compute_dtype` does not change the type of weights and gradients.
# Values that an optimizer stores for each weight, besides the weight and its gradient.
_SLOTS = {"adam": 2, "adamw": 2, "nadam": 2, "muon": 1, "rmsprop": 1, "sgd": 0}
_PIXELS = {"rows": 28, "columns": 28, "rows_and_columns": 28, "pixels": 1}  # Minimum per step.
_UNLIMITED = 2**60  # Larger numbers in the files of control groups mean "unlimited".


class OutOfMemory(UserError):
    """A model does not fit into memory."""


def min_parameters(config):
    """A lower bound of the number of weights of the model of a `Config`."""
    directions = 2 if config.model.startswith("bidirectional_") else 1
    outputs = config.units * (1 if config.head == "backward" else directions)
    is_image = kind_of(config.dataset).reads == "images"
    features = _PIXELS[config.scan] if is_image else 1
    first = _matrices(config.model) * (config.units + features) * config.units
    other = _matrices(config.model) * (config.units + directions * config.units) * config.units
    if config.layers == 1 and config.head == "backward":
        directions = 1
    return directions * first + (config.layers - 1) * other + outputs


def _matrices(model):
    """The minimal number of matrices `(units, units)` of a cell."""
    name = model.removeprefix("bidirectional_").removeprefix("peephole_")
    if name in ("ntm", "fully_recurrent", "basic_rnn", "irnn", "gru1", "gru2", "gru3", "lstm_1997"):
        return 1  # The gates of an lstm_1997 may have one row for a large block.
    three = ("gru", "cifg", "nig", "nfg", "nog", "history_compressor")
    return 3 if name.startswith(three) else 4


def min_bytes(config, images):
    """A lower bound of the memory for training the model of a `Config`, in bytes.

    Args:
        config: The `Config`.
        images: Number of training images, the upper bound of the batch size.

    Returns:
        The bytes of the weights and of the optimizer's values, counted twice because a checkpoint
        holds a copy, and of the hidden states of all steps, which the gradient needs.
    """
    copies = 2 * (1 + _SLOTS[config.optimizer] + (config.ema is not None))
    steps = config.timesteps
    states = min(config.batch_size, images) * steps * config.units * config.layers
    # bfloat16 halves the states.
    return _BYTES * copies * min_parameters(config) + (_BYTES // 2) * states


def require_memory(config, images=1):
    """Raise `OutOfMemory` if the model of a `Config` certainly cannot be trained on this machine.

    A lower bound of the memory needed is compared with all free memory.
    """
    needed, memory = min_bytes(config, images), memory_bytes()
    if memory is not None and needed > memory:
        raise OutOfMemory(
            f"{_size(config)} needs at least {_gigabytes(needed)} of memory to train, and only "
            f"{_gigabytes(memory)} are free; expected a model and batches that fit: choose smaller "
            f"{_flags(config)}"
        )


def memory_bytes():
    """The memory available to this process, with swap space, in bytes; `None` if unknown."""
    free, swap = _machine()
    groups = [limit + swap for limit in _cgroup_limits() if limit < _UNLIMITED]
    limits = [*groups, *([free + swap] if free else []), *_address_space()]
    return min(limits, default=None)


def _machine():
    """The free memory and swap space of the machine, in bytes; 0 if unknown."""
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        sizes = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
        return 1024 * sizes["MemAvailable"], 1024 * sizes["SwapFree"]
    except (OSError, ValueError, KeyError, IndexError):
        return 0, 0


def _cgroup_limits():
    """The limits of the control groups (v1 and v2) of this process, such as a container's."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            number, kind, group = line.split(":", 2)
            if number == "0":
                root, name = pathlib.Path("/sys/fs/cgroup"), "memory.max"
            elif "memory" in kind.split(","):
                root, name = pathlib.Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"
            else:
                continue
            folder = root / group.lstrip("/")
            # In a container the path may be that of the host; its own group is then at the root.
            for each in (folder, *folder.parents):
                if each.is_relative_to(root):
                    with contextlib.suppress(OSError, ValueError):  # "max" is not a number.
                        yield int((each / name).read_text())


def _address_space():
    """The limit of `ulimit -v`, in a list; empty without a limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return [] if soft == resource.RLIM_INFINITY else [soft]


@contextlib.contextmanager
def telling_memory(config):
    """Raise `OutOfMemory` in place of errors of TensorFlow, Keras or NumPy about memory."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not is_memory_error(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise OutOfMemory(
            f"{_size(config)} is too large for this machine ({reason[:200]}); expected a model and "
            f"batches that fit into memory: choose smaller {_flags(config)}"
        ) from error


# Words in the messages of TensorFlow, Keras and NumPy about sizes that are too large.
_WORDS = (
    *("OOM when allocating", "out of memory", "unable to allocate", "bad_alloc", "too large"),
    *("too big", "exceeds", "overflow", "maximum recursion depth", "larger than"),
)


def is_memory_error(error):
    """Whether an exception means that a size is too large for the memory."""
    if isinstance(error, (MemoryError, OverflowError, RecursionError)):
        return True
    if type(error).__name__ == "ResourceExhaustedError":  # By name: avoids importing TensorFlow.
        return True
    kinds = ("InvalidArgumentError", "InternalError", "UnknownError", "ValueError", "RuntimeError")
    text = str(error).lower()
    return type(error).__name__ in kinds and any(word.lower() in text for word in _WORDS)


def _size(config):
    layers = f" --layers={config.layers}" if config.layers > 1 else ""
    return f"--model={config.model} --units={config.units}{layers} --batch_size={config.batch_size}"


def _flags(config):
    return "--units, --layers or --batch_size" if config.layers > 1 else "--units or --batch_size"


def _gigabytes(size):
    return f"{size / 1e9:,.1f} GB" if size < 1e15 else "a million GB"
