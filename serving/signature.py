"""One signature of a SavedModel: what it takes, checked, and what it gives."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from serving.errors import RequestError, TooLarge

BFLOAT16 = np.dtype(tf.bfloat16.as_numpy_dtype)


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a tensor of a signature looks like.

    Attributes:
        name: Its name.
        dtype: Its NumPy dtype; `object` for strings.
        shape: Its shape; `None` for what may vary, and in its place if all of it may. The first
            dimension is the batch, if that may vary.
        bounds: The least and the greatest value that mean something, or `None`.
    """

    name: str
    dtype: np.dtype
    shape: tuple
    bounds: tuple | None = None

    @functools.cached_property
    def kind(self):
        """What its values are: `string`, `bool`, `integer`, `float`, `complex` or `other`."""
        return _kind(self.dtype)

    @functools.cached_property
    def limits(self):
        """The smallest and the largest number, or part of one, that its type can hold."""
        dtype = tf.dtypes.as_dtype(self.dtype).real_dtype
        return (dtype.min, dtype.max) if self.kind == "integer" else (-dtype.max, dtype.max)

    @property
    def dtype_in_words(self):
        """Its type in words: `numbers (float32)`."""
        if self.kind == "string":
            return "texts"
        if self.kind == "bool":
            return "true or false (bool)"
        name = _name_of(self.dtype)
        return f"numbers ({name})" if self.kind in ("integer", "float") else name

    @property
    def values_in_words(self):
        """What values its type has: `int8: whole numbers from -128 to 127`."""
        if self.kind == "integer":
            return "{}: whole numbers from {} to {}".format(self.dtype, *self.limits)
        kind = "parts" if self.kind == "complex" else "numbers"
        return "{}: {} from {:g} to {:g}".format(self.dtype, kind, *map(float, self.limits))

    def check(self, array, max_rows):
        """An array as the signature takes it.

        Raises:
            RequestError: If it is of another type or shape, or holds a value out of bounds.
            TooLarge: If it holds more than `max_rows` rows.
        """
        self.check_shape(array.shape, max_rows)
        if self.dtype == object:
            if array.size and not all(isinstance(value, bytes) for value in array.flat):
                raise RequestError(f"{self.name}: received {_name_of(array.dtype)}; expected texts")
            return array
        received = _kind(array.dtype)
        if received not in _TAKEN[self.kind] and array.dtype != self.dtype:
            found = _name_of(array.dtype)
            raise RequestError(f"{self.name}: received {found}; expected {self.dtype_in_words}")
        if array.dtype == BFLOAT16:  # Which NumPy takes for a type that it does not know.
            array = array.astype(np.float32)
        if self.bounds and array.size and not _is_within(array.dtype, self.bounds):
            low, high = array.min(), array.max()
            if not (self.bounds[0] <= low and high <= self.bounds[1]):  # True of NaN as well.
                found = high if low >= self.bounds[0] else low
                expected = "values of {:g} to {:g}".format(*self.bounds)
                raise RequestError(f"{self.name}: received {found:g}; expected {expected}")
        if np.can_cast(array.dtype, self.dtype):
            return array.astype(self.dtype, copy=False)
        return self._cast(array)

    def _cast(self, array):
        """Numbers as the input's type, which may round them; `RequestError` if it cannot hold one.

        NaN and infinity are values of every type that is not of whole numbers.
        """
        if self.kind == "integer":
            low, high = self.limits
            # NumPy compares a float with a limit of 64 bits after it has rounded that.
            lost = (array < low) | (array >= high + 1)
            if array.dtype.kind == "f":
                lost |= array != np.trunc(array)  # NaN differs from itself.
            cast = array
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                cast = array.astype(self.dtype)
            if np.isfinite(cast).all():
                return cast
            lost = np.isfinite(array) & ~np.isfinite(cast)
        if lost.any():
            raise RequestError(
                f"{self.name}: received {array[lost].flat[0]}; expected {self.values_in_words}"
            )
        return cast.astype(self.dtype)

    def check_shape(self, shape, max_rows):
        """As `check`, of a shape alone: before anything of that size is made."""
        if self.shape is not None and (
            len(shape) != len(self.shape)
            or any(
                expected not in (None, size)
                for expected, size in zip(self.shape, shape, strict=True)
            )
        ):
            raise RequestError(
                f"{self.name}: received shape {words(shape)}; expected {words(self.shape)}"
            )
        if shape and shape[0] < 1:
            raise RequestError(f"{self.name}: received no rows; expected at least one")
        if shape and shape[0] > max_rows:
            raise TooLarge(f"{self.name}: received {shape[0]} rows; expected at most {max_rows}")


class Signature:
    """A signature that can be called with NumPy arrays.

    Args:
        name: Its name.
        function: The loaded concrete function.
        definition: Its `SignatureDef`.
        bounds: By name of an input the least and greatest value that mean something.

    Attributes:
        inputs: The `Spec` of each input by name.
        outputs: The `Spec` of each output by name.
        is_by_row: Whether it gives a row of each output for a row of each input, by their shapes.
        not_in_json: By name of an input or output that JSON cannot hold its type.
        method: What TensorFlow Serving calls its method, such as `tensorflow/serving/predict`.
    """

    def __init__(self, name, function, definition, bounds=None):
        self.name = name
        self.method = definition.method_name
        self.inputs = _specs(definition.inputs, bounds or {})
        self.outputs = _specs(definition.outputs, {})
        specs = [*self.inputs.values(), *self.outputs.values()]
        self.is_by_row = all(spec.shape and spec.shape[0] is None for spec in specs)
        self.not_in_json = {
            s.name: _name_of(s.dtype) for s in specs if s.kind in ("complex", "other")
        }
        self._function = function

    def check(self, arrays, max_rows):
        """Arrays by name, as they can be called with; see `Spec.check`."""
        if set(arrays) != set(self.inputs):
            raise RequestError(
                f"signature {self.name}: received inputs {names_in_words(arrays)}; expected "
                f"{names_in_words(self.inputs)}"
            )
        checked = {name: self.inputs[name].check(a, max_rows) for name, a in arrays.items()}
        if self.is_by_row and len({len(array) for array in checked.values()}) > 1:
            raise RequestError(
                f"inputs {names_in_words(checked)}: received different numbers of rows; expected "
                "the same number in each"
            )
        return checked

    def __call__(self, arrays):
        """Call it with checked arrays; blocks.

        Returns:
            By name of an output its array.

        Raises:
            RequestError: If an operation of the graph fails with what it was given.
            TooLarge: If there is not enough memory.
        """
        try:
            tensors = {name: tf.convert_to_tensor(array) for name, array in arrays.items()}
            outputs = self._function(**tensors)
        except tf.errors.ResourceExhaustedError as error:
            raise TooLarge(
                f"signature {self.name}: {_reason(error)}; expected fewer or smaller rows"
            ) from error
        except tf.errors.OpError as error:
            raise RequestError(
                f"signature {self.name}: the graph failed ({_reason(error)}); expected inputs that "
                "it can compute with"
            ) from error
        except UnicodeDecodeError as error:
            # TensorFlow's Python cannot read the message of an error that quotes bytes of an input.
            raise RequestError(
                f"signature {self.name}: an operation refused the bytes of the input; expected "
                "bytes that the model can read"
            ) from error
        # Of a number alone `numpy` makes no array.
        return {n: np.asarray(t.numpy(), self.outputs[n].dtype) for n, t in outputs.items()}


def _specs(infos, bounds):
    specs = {}
    for name, info in sorted(infos.items()):
        dtype = tf.dtypes.as_dtype(info.dtype)
        shape = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
        shape = None if info.tensor_shape.unknown_rank else shape
        specs[name] = Spec(name, np.dtype(dtype.as_numpy_dtype), shape, bounds.get(name))
    return specs


# What is taken for an input, by kind.
_TAKEN = {
    "bool": {"bool"},
    "integer": {"integer", "float"},
    "float": {"integer", "float"},
    "complex": {"integer", "float", "complex"},
    "other": set(),
}


def _name_of(dtype):
    return tf.dtypes.as_dtype(dtype).name


@functools.cache
def _kind(dtype):
    if dtype == BFLOAT16:
        return "float"
    kinds = {"O": "string", "S": "string", "U": "string", "b": "bool", "f": "float", "c": "complex"}
    return "integer" if dtype.kind in "iu" else kinds.get(dtype.kind, "other")


@functools.cache
def _is_within(dtype, bounds):
    """Whether a type has no value out of bounds, as a byte has none out of a pixel's."""
    if dtype.kind not in "iu":
        return False
    return bounds[0] <= np.iinfo(dtype).min and np.iinfo(dtype).max <= bounds[1]


def names_in_words(names):
    """Names that a client sent or may send, in a list that is not too long for a message."""
    listed = ", ".join(sorted(name[:80] for name in names)) or "none"
    return listed if len(listed) <= 400 else f"{listed[:400]}…"


def words(shape):
    """A shape in words: `(any, 28, 28)`."""
    if shape is None:
        return "any"
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"


# What TensorFlow says around the reason of an error.
_AROUND = ("Graph execution error", "Detected at node", "<stack traces", "[[")


def _reason(error):
    lines = [line.strip() for line in error.message.splitlines()]
    reasons = [line for line in lines if line and not line.startswith(_AROUND)]
    return (reasons or lines or [type(error).__name__])[0][:300]
