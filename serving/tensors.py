"""Arrays as requests and answers carry them: TensorFlow Serving's JSON and protocol buffers."""

import base64
import binascii

import numpy as np
import simdjson
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

from serving.errors import RequestError
from serving.signature import words

# Its memory, many times the longest body, is kept from one request to the next: to have it anew
# from the operating system would take longer than the reading.
_PARSER = simdjson.Parser()
_KEPT_BYTES = 2 * 2**20  # A longer body has a parser of its own, which is let go again.


def images_from_json(spec, body):
    """The images in the body of a request, if that is nothing but images of whole numbers.

    Most requests are, and in this way take a quarter of the time: no Python number is made. To be
    called by one thread at a time, that of the event loop.

    Args:
        spec: The `Spec` of the input they are for.
        body: The request's body, bytes.

    Returns:
        The one key of the JSON object that the body is, `instances` or `inputs`, and what it
        stands for, `uint64 (images, height, width)`; twice `None` if the body is anything else,
        JSON or not.
    """
    if not spec.shape or len(spec.shape) != 3 or None in spec.shape[1:] or spec.dtype == object:
        return None, None
    # Without its numbers a body shows whether all rows are equally long.
    _, height, width = spec.shape
    row = b"[" + (width - 1) * b"," + b"]"
    image = b"[" + b",".join(height * [row]) + b"]"
    bare = body.translate(None, b"0123456789 \t\r\n")
    key = "instances" if bare.startswith(b'{"instances"') else "inputs"
    start, end = b'{"%b":[' % key.encode(), b"]}"
    count, rest = divmod(len(bare) - len(start) - len(end) + 1, len(image) + 1)
    if rest or count < 1 or bare != start + b",".join(count * [image]) + end:
        return None, None
    parser = _PARSER if len(body) <= _KEPT_BYTES else simdjson.Parser()
    try:
        numbers = parser.parse(body)[key].as_buffer(of_type="u")
    except (ValueError, TypeError, KeyError):
        return None, None
    return key, np.frombuffer(numbers, np.uint64).reshape(count, height, width)


def from_json(spec, value, may_hold_booleans=True):
    """The array a JSON value stands for.

    Args:
        spec: The `Spec` of the input it is for.
        value: Nested lists of numbers or, for strings, of texts and `{"b64": ...}`.
        may_hold_booleans: Whether to look for `true` among numbers, which NumPy takes for 1.

    Raises:
        RequestError: If it is something else, or its lists are not of one length.
    """
    if spec.dtype == object:
        return _strings(spec, value)
    try:
        array = np.array(value)
    except (ValueError, OverflowError, RecursionError):
        array = None
    if array is None or array.dtype == object:
        raise RequestError(
            f"{spec.name}: received lists of several lengths, or other values among the numbers; "
            f"expected {spec.dtype} of shape {words(spec.shape)}"
        )
    if may_hold_booleans and array.dtype.kind in "iuf" and _holds_boolean(value):
        raise RequestError(f"{spec.name}: received true or false among numbers; expected numbers")
    return array


def _holds_boolean(value):
    if isinstance(value, list):
        return any(map(_holds_boolean, value))
    return isinstance(value, bool)


def _strings(spec, value):
    """An array of bytes, of texts and base64 in lists of lists."""
    shape, texts = [], [value]
    while any(isinstance(v, list) for v in texts):
        lengths = {len(v) if isinstance(v, list) else None for v in texts}
        if len(lengths) > 1:
            raise RequestError(
                f"{spec.name}: received lists of several lengths, or texts among them; expected "
                f"texts of shape {words(spec.shape)}"
            )
        shape += lengths
        texts = [text for v in texts for text in v]
    array = np.empty(len(texts), dtype=object)
    array[:] = [to_bytes(spec.name, text) for text in texts]
    return array.reshape(shape)


def to_bytes(name, text):
    """The bytes that a text or `{"b64": …}` in JSON stands for; `RequestError` if it is neither."""
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, dict) and set(text) == {"b64"} and isinstance(text["b64"], str):
        try:
            return base64.b64decode(text["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise RequestError(f"{name}: received bad base64 ({error})") from None
    raise RequestError(f'{name}: received {type(text).__name__}; expected text or {{"b64": …}}')


def to_json(name, array):
    """What `orjson` writes for an array: the array itself, but for numbers alone and for strings.

    Strings are texts; in base64 if they are none, and as TensorFlow Serving has it in outputs whose
    name ends with `_bytes`.
    """
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


def from_proto(name, proto):
    """The array a `TensorProto` stands for; `RequestError` if it is damaged."""
    try:
        dtype = tf.dtypes.as_dtype(proto.dtype).as_numpy_dtype
        shape = tuple(dim.size for dim in proto.tensor_shape.dim)
        if proto.tensor_content and dtype is not np.object_:
            return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise RequestError(f"{name}: received a damaged tensor ({error})") from None


def shape_of_proto(proto):
    """The shape a `TensorProto` says it has."""
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
