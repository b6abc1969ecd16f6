"""One signature of a SavedModel: it checks its inputs and calls the graph."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from serving.errors import RequestError, TooLarge

BFLOAT16 = np.dtype(tf.bfloat16.as_numpy_dtype)


@dataclasses.dataclass(frozen=True)
class Spec:
    """The type and shape of one input or output of a signature.

    Attributes:
        name: The name.
        dtype: The NumPy dtype; `object` for strings.
        shape: The shape, with `None` for a size that may vary; `None` if the rank may vary too. A
            first dimension that may vary is the batch.
        bounds: The minimum and maximum of valid values, or `None`.
    """

    name: str
    dtype: np.dtype
    shape: tuple
    bounds: tuple | None = None

    @functools.cached_property
    def kind(self):
        """The kind of its values: `string`, `bool`, `integer`, `float`, `complex` or `other`."""
        return _kind(self.dtype)

    @functools.cached_property
    def limits(self):
        """The minimum and maximum number, or part of a complex number, that the type can hold."""
        dtype = tf.dtypes.as_dtype(self.dtype).real_dtype
        return (dtype.min, dtype.max) if self.kind == "integer" else (-dtype.max, dtype.max)

    @property
    def dtype_in_words(self):
        """The type in words: `numbers (float32)`."""
        if self.kind == "string":
            return "texts"
        if self.kind == "bool":
            return "true or false (bool)"
        name = _name_of(self.dtype)
        return f"numbers ({name})" if self.kind in ("integer", "float") else name

    @property
    def values_in_words(self):
        """The values of the type in words: `int8: whole numbers from -128 to 127`."""
        if self.kind == "integer":
            return "{}: whole numbers from {} to {}".format(self.dtype, *self.limits)
        kind = "parts" if self.kind == "complex" else "numbers"
        return "{}: {} from {:g} to {:g}".format(self.dtype, kind, *map(float, self.limits))

    def check(self, array, max_rows):
        """Check an array and convert it to the type of the input.

        Raises:
            RequestError: If the array has another type or shape, or a value out of bounds.
            TooLarge: If it has more than `max_rows` rows.
        """
        self.check_shape(array.shape, max_rows)
        if self.dtype == object:
            if array.size and not all(isinstance(value, bytes) for value in array.flat):
                raise RequestError(f"{self.name}: received {_name_of(array.dtype)}; expected texts")
            return array
        received = _kind(array.dtype)
        if received not in _ACCEPTED[self.kind] and array.dtype != self.dtype:
            raise RequestError(
                f"{self.name}: received {_name_of(array.dtype)}; expected {self.dtype_in_words}"
            )
        if array.dtype == BFLOAT16:  # NumPy's functions do not know this type.
            array = array.astype(np.float32)
        if self.bounds and array.size and not _is_within(array.dtype, self.bounds):
            low, high = array.min(), array.max()
            if not (self.bounds[0] <= low and high <= self.bounds[1]):  # Also true for NaN.
                wrong = high if low >= self.bounds[0] else low
                expected = "values of {:g} to {:g}".format(*self.bounds)
                raise RequestError(f"{self.name}: received {wrong:g}; expected {expected}")
        if np.can_cast(array.dtype, self.dtype):
            return array.astype(self.dtype, copy=False)
        return self._cast(array)

    def _cast(self, array):
        """Convert numbers to the input's type; floats may be rounded. NaN and infinity are floats.

        Raises:
            RequestError: If the type cannot hold a number.
        """
        if self.kind == "integer":
            low, high = self.limits
            # Not `> high`: NumPy rounds a limit of 64 bits before it compares it with a float.
            lost = (array < low) | (array >= high + 1)
            if array.dtype.kind == "f":
                lost |= array != np.trunc(array)  # Also true for NaN.
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
        """Check only a shape, before an array of that size is made; see `check`."""
        if not self.accepts_shape(shape):
            raise RequestError(
                f"{self.name}: received shape {shape_in_words(shape)}; expected "
                f"{shape_in_words(self.shape)}"
            )
        if shape and shape[0] < 1:
            raise RequestError(f"{self.name}: received no rows; expected at least one")
        if shape and shape[0] > max_rows:
            raise TooLarge(f"{self.name}: received {shape[0]} rows; expected at most {max_rows}")

    def accepts_shape(self, shape):
        """Whether an array of this shape fits the input."""
        return self.shape is None or (
            len(shape) == len(self.shape)
            and all(own in (None, size) for own, size in zip(self.shape, shape, strict=True))
        )


class Signature:
    """A signature that can be called with NumPy arrays.

    Args:
        name: The name.
        function: The loaded concrete function.
        definition: The `SignatureDef`.
        bounds: The minimum and maximum of valid values by name of an input.

    Attributes:
        inputs: The `Spec` of each input by name.
        outputs: The `Spec` of each output by name.
        is_by_row: Whether the first dimension of every input and output is the batch.
        not_in_json: The inputs and outputs whose type JSON does not have: the type by name.
        method: The method name of TensorFlow Serving, such as `tensorflow/serving/predict`.
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

    def wanted(self, output_filter):
        """The names of the outputs to send: those in a list, or all if it is empty."""
        known = ", ".join(sorted(self.outputs))
        if not isinstance(output_filter, list) or set(map(type, output_filter)) - {str}:
            raise RequestError(f"output_filter: expected a list of some of {known}")
        if not set(output_filter) <= set(self.outputs):
            received = names_in_words(output_filter)
            raise RequestError(f"output_filter: received {received}; expected some of {known}")
        return [name for name in self.outputs if name in output_filter or not output_filter]

    @property
    def reads_images(self):
        """Whether the only input accepts images of 28×28 pixels, which the page sends."""
        inputs = list(self.inputs.values())
        return (
            len(inputs) == 1
            and inputs[0].kind in ("integer", "float")
            and inputs[0].accepts_shape((1, 28, 28))
        )

    @property
    def reads_text(self):
        """Whether the only input is `text string (batch,)`, which the page sends."""
        inputs = list(self.inputs.values())
        return [(i.name, i.kind, i.shape) for i in inputs] == [("text", "string", (None,))]

    def check(self, arrays, max_rows):
        """Check the inputs by name and convert them; see `Spec.check`."""
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
        """Call the graph with checked arrays; blocks.

        Returns:
            The array of each output by name.

        Raises:
            RequestError: If an operation of the graph fails with these inputs.
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
            # TensorFlow cannot decode an error message that quotes bytes of an input.
            raise RequestError(
                f"signature {self.name}: an operation refused the bytes of the input; expected "
                "bytes that the model can read"
            ) from error
        # `numpy` returns a scalar for an output of rank 0.
        return {n: np.asarray(t.numpy(), self.outputs[n].dtype) for n, t in outputs.items()}


def _specs(infos, bounds):
    specs = {}
    for name, info in sorted(infos.items()):
        dtype = tf.dtypes.as_dtype(info.dtype)
        shape = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
        shape = None if info.tensor_shape.unknown_rank else shape
        specs[name] = Spec(name, np.dtype(dtype.as_numpy_dtype), shape, bounds.get(name))
    return specs


# The kinds of values that an input accepts, by the kind of the input.
_ACCEPTED = {
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
    """Whether all values of a type are within bounds, as those of a byte are within 0 to 255."""
    if dtype.kind not in "iu":
        return False
    return bounds[0] <= np.iinfo(dtype).min and np.iinfo(dtype).max <= bounds[1]


def names_in_words(names):
    """A list of names for a message, cut to a length that is readable."""
    listed = ", ".join(sorted(name[:80] for name in names)) or "none"
    return listed if len(listed) <= 400 else f"{listed[:400]}…"


def shape_in_words(shape):
    """A shape in words: `(any, 28, 28)`."""
    if shape is None:
        return "any"
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"


# The starts of lines in TensorFlow's messages that do not tell the reason of an error.
_NOT_REASONS = ("Graph execution error", "Detected at node", "<stack traces", "[[")


def _reason(error):
    lines = [line.strip() for line in error.message.splitlines()]
    reasons = [line for line in lines if line and not line.startswith(_NOT_REASONS)]
    return (reasons or lines or [type(error).__name__])[0][:300]
