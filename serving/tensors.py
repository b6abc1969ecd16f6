"""Convert arrays from and to TensorFlow Serving's JSON and protocol buffers."""

import base64
import binascii
import itertools
import math

import numpy as np
import simdjson
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

from serving.errors import RequestError
from serving.signature import BFLOAT16, shape_in_words

# The parser keeps its memory, many times the longest body, between requests: to allocate it for
# each request would take longer than to parse.
_PARSER = simdjson.Parser()
_MAX_KEPT_BYTES = 2 * 2**20  # A longer body has its own parser, whose memory is freed.


def matrices_from_json(spec, body):
    """Read a body that holds only matrices of whole numbers, such as images.

    Most bodies do, and are read in a quarter of the time, because no Python number is made. Only
    one thread, that of the event loop, may call this.

    Args:
        spec: The `Spec` of the input.
        body: The request's body, bytes.

    Returns:
        The only key of the JSON object, `instances` or `inputs`, and its value,
        `uint64 (rows, height, width)`. `(None, None)` if the body is anything else.
    """
    if not spec.shape or len(spec.shape) != 3 or None in spec.shape[1:] or spec.dtype == object:
        return None, None
    # With its numbers removed, the body must consist of equal matrices of brackets and commas.
    _, height, width = spec.shape
    vector = b"[" + (width - 1) * b"," + b"]"
    matrix = b"[" + b",".join(height * [vector]) + b"]"
    bare = body.translate(None, b"0123456789 \t\r\n")
    key = "instances" if bare.startswith(b'{"instances"') else "inputs"
    start, end = b'{"%b":[' % key.encode(), b"]}"
    count, rest = divmod(len(bare) - len(start) - len(end) + 1, len(matrix) + 1)
    if rest or count < 1 or bare != start + b",".join(count * [matrix]) + end:
        return None, None
    parser = _PARSER if len(body) <= _MAX_KEPT_BYTES else simdjson.Parser()
    try:
        numbers = parser.parse(body)[key].as_buffer(of_type="u")
    except Exception:  # simdjson raises many types for a bad number; orjson's message is better.
        return None, None
    return key, np.frombuffer(numbers, np.uint64).reshape(count, height, width)


def from_json(spec, value, may_hold_booleans=True):
    """Convert a JSON value to an array.

    Args:
        spec: The `Spec` of the input. JSON must have its type.
        value: Nested lists of numbers, of booleans or, for strings, of texts and `{"b64": ...}`.
        may_hold_booleans: Whether to look for `true` among numbers, which NumPy would read as 1.

    Returns:
        An array of bytes, of booleans, of the input's own integer type, or else of `float64`.

    Raises:
        RequestError: If the value has another type, or its lists have different lengths.
    """
    shape, leaves = _flatten(spec, value)
    if spec.dtype == object:
        array = np.empty(len(leaves), dtype=object)
        array[:] = [to_bytes(spec.name, text) for text in leaves]
        return array.reshape(shape)
    try:
        sum(leaves)  # Fails for texts and null. NumPy would read a text as a number.
        kinds = set(map(type, leaves)) if may_hold_booleans or spec.kind == "bool" else set()
    except TypeError:
        kinds = set(map(type, leaves))
    expected = {bool} if spec.kind == "bool" else {int, float}
    if kinds - expected:
        received = " and ".join(sorted(_JSON_WORDS[kind] for kind in kinds))
        raise RequestError(f"{spec.name}: received {received}; expected {_expected(spec)}")
    if spec.kind == "integer":
        array = np.array(_whole_numbers(spec, leaves), spec.dtype)
    else:
        array = np.fromiter(leaves, bool if spec.kind == "bool" else np.float64, len(leaves))
    return array.reshape(shape)


_JSON_WORDS = {
    bool: "booleans",
    dict: "an object",
    float: "numbers",
    int: "numbers",
    list: "lists",
    str: "a text",
    type(None): "null",
}
_MAX_DEPTH = 32  # NumPy's arrays have at most 64 dimensions.


def _flatten(spec, value):
    """The shape and the values of nested lists; `RequestError` if lengths differ."""
    shape, leaves = [], [value]
    while leaves and isinstance(leaves[0], list):
        lengths = {len(v) if isinstance(v, list) else None for v in leaves}
        if len(lengths) > 1:
            values = "texts" if spec.dtype == object else "numbers"
            raise RequestError(
                f"{spec.name}: received lists of several lengths, or {values} among lists; "
                f"expected {_expected(spec)}"
            )
        shape += lengths
        if len(shape) > _MAX_DEPTH:
            raise RequestError(
                f"{spec.name}: received lists in lists, more than {_MAX_DEPTH} deep; expected "
                f"{_expected(spec)}"
            )
        leaves = list(itertools.chain.from_iterable(leaves))
    return shape, leaves


def _expected(spec):
    return f"{spec.dtype_in_words} of shape {shape_in_words(spec.shape)}"


def _whole_numbers(spec, leaves):
    """Numbers as Python integers; `RequestError` if one is outside of the input's type."""
    if float in set(map(type, leaves)):
        for value in leaves:
            if isinstance(value, float) and not value.is_integer():
                raise RequestError(
                    f"{spec.name}: received {value}; expected {spec.values_in_words}"
                )
        leaves = list(map(int, leaves))
    low, high = spec.limits
    for value in (min(leaves, default=low), max(leaves, default=high)):
        if not low <= value <= high:
            raise RequestError(f"{spec.name}: received {value}; expected {spec.values_in_words}")
    return leaves


def to_bytes(name, text):
    """The bytes of a text or of `{"b64": …}` in JSON; `RequestError` for any other value."""
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, dict) and set(text) == {"b64"} and isinstance(text["b64"], str):
        try:
            return base64.b64decode(text["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise RequestError(
                f"{name}: received bad base64 ({error}); expected base64 of bytes"
            ) from None
    raise RequestError(f'{name}: received {type(text).__name__}; expected a text or {{"b64": …}}')


def to_json(name, array):
    """Convert an array to a value that `orjson` can write.

    Strings become texts. They become base64 if they are not UTF-8, or if the name of the output
    ends with `_bytes`, as in TensorFlow Serving.
    """
    if array.dtype == BFLOAT16:  # orjson does not know this type; float32 holds all its values.
        array = array.astype(np.float32)
    if array.dtype.kind not in "OS":
        return np.asarray(array, order="C") if array.ndim else array[()]
    if array.ndim:
        return [to_json(name, np.asarray(value, object)) for value in array]
    value = array[()]
    try:
        return {"b64": _base64(value)} if name.endswith("_bytes") else value.decode()
    except UnicodeDecodeError:
        return {"b64": _base64(value)}


def _base64(value):
    return base64.b64encode(value).decode()


_MAX_VALUES = 2**25


def from_proto(name, proto):
    """Convert a `TensorProto` to an array; `RequestError` if it is damaged."""
    try:
        dtype = tf.dtypes.as_dtype(proto.dtype).as_numpy_dtype
        shape = shape_of_proto(proto)
        if min(shape, default=0) < 0 or proto.tensor_shape.unknown_rank:
            raise ValueError("it does not say its shape")
        if proto.tensor_content and dtype is not np.object_:
            if dtype is np.bool_ and proto.tensor_content.strip(b"\0\1"):
                raise ValueError("a bool is a byte of 0 or 1")
            return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
        if math.prod(shape) > _MAX_VALUES:  # A TensorProto may repeat one value for all others.
            raise ValueError(f"more than {_MAX_VALUES:,} values outside of tensor_content")
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise RequestError(
            f"{name}: received a damaged tensor ({error}); expected a TensorProto"
        ) from None


def shape_of_proto(proto):
    """The shape that a `TensorProto` declares."""
    return tuple(dim.size for dim in proto.tensor_shape.dim)


def to_proto(array):
    """The `TensorProto` of an array."""
    if array.dtype.kind in "OS":
        return tf.make_tensor_proto(array)
    proto = TensorProto(dtype=tf.dtypes.as_dtype(array.dtype).as_datatype_enum)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = array.tobytes()
    return proto
