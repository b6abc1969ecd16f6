"""Every type of inputs and outputs of a SavedModel, over REST and gRPC, compared with NumPy."""

import json
import math

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.serving.conftest import Server

NAN, INF = math.nan, math.inf
FLOATS = [0.1, -2.5, 3.0, -0.0, 1e-6, NAN, INF, -INF]
# Some values of each type, and the field of a TensorProto that holds them.
VALUES = {
    "bool": ([True, False], "bool_val"),
    "int8": ([-128, 127, 0], "int_val"),
    "int16": ([-(2**15), 2**15 - 1], "int_val"),
    "int32": ([-(2**31), 2**31 - 1], "int_val"),
    "int64": ([-(2**63), 2**63 - 1, 2**53 + 1], "int64_val"),
    "uint8": ([0, 255], "int_val"),
    "uint16": ([0, 2**16 - 1], "int_val"),
    "uint32": ([0, 2**32 - 1], "uint32_val"),
    "uint64": ([0, 2**64 - 1, 2**63, 1, 2**53 + 1], "uint64_val"),
    "half": ([*FLOATS, 65504.0], "half_val"),
    "bfloat16": ([*FLOATS, 3e38], "half_val"),
    "float32": ([*FLOATS, 3e38], "float_val"),
    "float64": ([*FLOATS, 1e308], "double_val"),
    "complex64": ([1 + 2j, -0.5j, complex(NAN, INF)], "scomplex_val"),
    "complex128": ([1 + 2j, 1e300 - 1j], "dcomplex_val"),
    "string": (["Ada", "ß", ""], "string_val"),
}
COMPLEX = ("complex64", "complex128")


class Identities(tf.Module):
    """A signature for each type that returns its input."""

    def signatures(self):
        def identity(name):
            spec = tf.TensorSpec((None,), getattr(tf, name), name="x")
            return tf.function(lambda x: {"y": tf.identity(x)}).get_concrete_function(spec)

        return {name: identity(name) for name in (*VALUES, "qint8")}


@pytest.fixture(scope="module")
def types(tmp_path_factory):
    folder = tmp_path_factory.mktemp("types")
    module = Identities()
    tf.saved_model.save(module, folder / "types/1", module.signatures())
    server = Server(folder)
    server.wait_until(server.is_ready)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def predict(types):
    """Send a tensor over gRPC, and return the output or the `grpc.RpcError`."""
    with grpc.insecure_channel(types.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        def predict(name, tensor):
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = "types", name
            request.inputs["x"].CopyFrom(tensor)
            try:
                return tf.make_ndarray(stub.Predict(request).outputs["y"])
            except grpc.RpcError as error:
                return error

        yield predict


def ask(server, name, **body):
    answer = server.post(
        "/v1/models/types:predict", data=json.dumps(body | {"signature_name": name})
    )
    return answer.status_code, answer.json()


def array_of(name):
    values, _ = VALUES[name]
    return np.array([v.encode() for v in values] if name == "string" else values, dtype(name))


def dtype(name):
    return np.dtype(getattr(tf, name).as_numpy_dtype)


def with_values(array, field):
    """A `TensorProto` with its values in the field of their type, not in `tensor_content`."""
    proto = tf.make_tensor_proto(array)
    proto.ClearField("tensor_content")
    proto.ClearField(field)
    values = array.view(np.uint16) if field == "half_val" else array
    if field in ("scomplex_val", "dcomplex_val"):
        values = [part for value in array for part in (value.real, value.imag)]
    getattr(proto, field).extend(v if isinstance(v, bytes) else v.item() for v in values)
    return proto


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("form", ["content", "values", "one value for all"])
def test_grpc_accepts_and_returns_every_type_bit_by_bit(name, form, predict):
    expected = array_of(name)
    proto = tf.make_tensor_proto(expected)
    if form == "values":
        proto = with_values(expected, VALUES[name][1])
    elif form == "one value for all":
        proto = with_values(expected[:1], VALUES[name][1])
        proto.tensor_shape.dim[0].size = 5
        expected = np.repeat(expected[:1], 5)
    actual = predict(name, proto)
    assert actual.dtype == dtype(name)
    assert actual.shape == expected.shape
    assert (
        actual.tolist() == expected.tolist()
        if name == "string"
        else (actual.tobytes() == expected.tobytes())
    )


def as_json(array):
    """The JSON value of an array in an answer: exact, with `null` for NaN and infinity."""
    if array.dtype.kind in "OS":
        return [value.decode() for value in array]
    return [value if np.isfinite(value) else None for value in array.tolist()]


@pytest.mark.parametrize("name", [name for name in VALUES if name not in COMPLEX])
def test_rest_accepts_and_returns_every_type_that_json_has(name, types):
    values, _ = VALUES[name]
    expected = as_json(array_of(name))
    for sent, received in (("inputs", "outputs"), ("instances", "predictions")):
        status, answer = ask(types, name, **{sent: values})
        assert status == 200, answer
        actual = answer[received]
        if name in ("half", "bfloat16", "float32"):  # JSON has only as many digits as needed.
            actual = [v if v is None else np.array(v, dtype(name)).item() for v in actual]
        assert actual == expected
        assert [type(v) for v in actual] == [type(v) for v in expected]


def test_grpc_accepts_and_returns_quantized_numbers(predict):
    expected = np.array([(-128,), (7,)], dtype("qint8"))
    proto = tf.make_tensor_proto(np.array([-128, 7], np.int8))
    proto.dtype = tf.qint8.as_datatype_enum
    np.testing.assert_array_equal(predict("qint8", proto), expected)


@pytest.mark.parametrize("name", [*COMPLEX, "qint8"])
@pytest.mark.parametrize("values", [[1], [[1, 2]], ["1+2j"], [None]])
def test_rest_refuses_complex_and_quantized_numbers(name, values, types):
    status, answer = ask(types, name, inputs=values)
    assert status == 400
    assert answer["error"] == (
        f"signature {name}: JSON does not have the types of x ({name}), y ({name}); use gRPC"
    )


# The type of the input, the type and values that are sent, and the message.
WRONG_VALUES = [
    ("int8", "int64", [1, 128], "128; expected int8: whole numbers from -128 to 127"),
    ("int16", "int64", [-32769], "-32769; expected int16: whole numbers from -32768 to 32767"),
    ("uint8", "int64", [-1], "-1; expected uint8: whole numbers from 0 to 255"),
    ("uint32", "int64", [2**32], "4294967296; expected uint32: whole numbers from 0 to 4294967295"),
    (
        *("int64", "uint64", [1, 2**63]),
        "9223372036854775808; expected int64: whole numbers from -9223372036854775808 to "
        "9223372036854775807",
    ),
    (
        *("uint64", "int64", [1, -1]),
        "-1; expected uint64: whole numbers from 0 to 18446744073709551615",
    ),
    (
        "int32",
        "float64",
        [1.0, 1.5],
        "1.5; expected int32: whole numbers from -2147483648 to 2147483647",
    ),
    ("uint8", "float64", [NAN], "nan; expected uint8: whole numbers from 0 to 255"),
    ("uint8", "float64", [-INF], "-inf; expected uint8: whole numbers from 0 to 255"),
    ("half", "float64", [65520.0], "65520.0; expected float16: numbers from -65504 to 65504"),
    (
        *("bfloat16", "float64", [NAN, -3.4e38]),
        "-3.4e+38; expected bfloat16: numbers from -3.38953e+38 to 3.38953e+38",
    ),
    (
        *("float32", "float64", [INF, 1e39]),
        "1e+39; expected float32: numbers from -3.40282e+38 to 3.40282e+38",
    ),
]


def test_a_complex_number_that_the_type_cannot_hold_is_refused(predict):
    error = predict("complex64", tf.make_tensor_proto(np.array([1j, 1e39j])))
    assert error.details() == (
        "x: received 1e+39j; expected complex64: parts from -3.40282e+38 to 3.40282e+38"
    )


@pytest.mark.parametrize(("name", "sent", "values", "sentence"), WRONG_VALUES)
def test_rest_and_grpc_refuse_a_value_that_the_type_cannot_hold(
    name, sent, values, sentence, types, predict
):
    sentence = f"x: received {sentence}"
    assert ask(types, name, inputs=values) == (400, {"error": sentence})
    error = predict(name, tf.make_tensor_proto(np.array(values, sent)))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == sentence


@pytest.mark.parametrize("value", [2.0**63, 2.0**64, 1e300, INF])
@pytest.mark.parametrize("name", ["int64", "uint64"])
def test_a_float_beyond_64_bits_does_not_become_the_largest_integer(name, value, types, predict):
    status, _ = ask(types, name, inputs=[value])
    actual = predict(name, tf.make_tensor_proto(np.array([value])))
    if name == "uint64" and value == 2.0**63:
        assert status == 200
        assert actual == 2**63
    else:
        assert status == 400
        assert "whole numbers" in actual.details()


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("bool", [1, 0], "numbers; expected true or false (bool) of shape (any)"),
        ("bool", ["true"], "a text; expected true or false (bool) of shape (any)"),
        ("bool", [True, None], "booleans and null; expected true or false (bool) of shape (any)"),
        ("int8", [True, 1], "booleans and numbers; expected numbers (int8) of shape (any)"),
        ("half", ["7"], "a text; expected numbers (float16) of shape (any)"),
        ("float32", [1, None], "null and numbers; expected numbers (float32) of shape (any)"),
        ("uint64", [{}], "an object; expected numbers (uint64) of shape (any)"),
        ("float64", [[1]], "shape (1, 1); expected (any)"),
        (
            *("float64", [1, [1]]),
            "lists and numbers; expected numbers (float64) of shape (any)",
        ),
        ("string", [7], "int; expected a text or {\"b64\": …}"),
    ],
)  # fmt: skip
def test_json_of_another_type_is_refused(name, values, sentence, types):
    assert ask(types, name, inputs=values) == (400, {"error": f"x: received {sentence}"})


WRONG_TENSORS = [
    ("bool", "int64", "int64; expected true or false (bool)"),
    ("bool", "float32", "float32; expected true or false (bool)"),
    ("int32", "bool", "bool; expected numbers (int32)"),
    ("float32", "complex64", "complex64; expected numbers (float32)"),
    ("float32", "string", "string; expected numbers (float32)"),
    ("string", "float32", "float32; expected texts"),
    ("complex64", "string", "string; expected complex64"),
]


@pytest.mark.parametrize(("name", "sent", "sentence"), WRONG_TENSORS)
def test_a_tensor_of_another_type_is_refused(name, sent, sentence, predict):
    error = predict(name, tf.make_tensor_proto(array_of(sent)))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == f"x: received {sentence}"


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        *[("float32", sent) for sent in ("bfloat16", "half", "uint8", "int64", "float64")],
        *[("bfloat16", sent) for sent in ("float32", "int8")],
        *[("half", sent) for sent in ("bfloat16", "uint8")],
        *[("complex64", sent) for sent in ("float32", "int8")],
        *[("uint64", "uint8"), ("int8", "int8")],
    ],
)
def test_a_tensor_of_another_type_of_numbers_is_cast_as_numpy_does(name, sent, predict):
    array = array_of(sent) if sent in ("half", "uint8", "int8") else np.array([1, -3], dtype(sent))
    with np.errstate(all="ignore"):
        expected = array.astype(dtype(name))
    if name == "half" and sent == "bfloat16":
        expected = array.astype("float32").astype("float16")
    actual = predict(name, tf.make_tensor_proto(array))
    assert actual.tobytes() == expected.tobytes()


def test_none_of_this_was_a_server_error(types):
    assert 'status="500"' not in types.get("/metrics").text
    assert 'status="INTERNAL"' not in types.get("/metrics").text
