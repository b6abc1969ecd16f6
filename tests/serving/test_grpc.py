"""The gRPC services, called by TensorFlow Serving's own client stubs."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.serving.conftest import MODELS, images, softmax


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def predictions(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def predict_request(rows, model="lstm", signature="", **spec):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, value in spec.items():
        if name == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, name, value)
    if rows is not None:
        request.inputs["rows"].CopyFrom(tf.make_tensor_proto(rows))
    return request


@pytest.mark.parametrize("model", MODELS)
def test_tensorflow_servings_client_gets_the_predictions_of_the_live_model(
    model, predictions, models
):
    rows = images(3).astype("float32")
    answer = predictions.Predict(predict_request(rows, model))
    expected = softmax(models[model](rows))
    actual = {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
    assert set(actual) == {"probabilities", "classes"}
    np.testing.assert_allclose(actual["probabilities"], expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(actual["classes"], expected.argmax(-1))
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (model, 1, "serving_default")


def test_names_that_clients_make_up_do_not_become_counters(predictions, server):
    with pytest.raises(grpc.RpcError, match="made_up"):
        predictions.Predict(predict_request(images(1), "made_up"))
    assert "made_up" not in server.get("/metrics").text


def test_integer_tensors_are_accepted_for_float_inputs(predictions):
    as_floats = predictions.Predict(predict_request(images(2).astype("float32")))
    as_bytes = predictions.Predict(predict_request(images(2).astype("uint8")))
    assert as_bytes == as_floats


def test_outputs_can_be_chosen(predictions):
    request = predict_request(images(2).astype("float32"))
    request.output_filter.append("classes")
    assert set(predictions.Predict(request).outputs) == {"classes"}


def test_the_metadata_names_the_signatures(predictions):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "lstm"
    answer = predictions.GetModelMetadata(request)
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("lstm", 1)
    definitions = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(definitions)
    shape = definitions.signature_def["serving_default"].inputs["rows"].tensor_shape
    assert [dim.size for dim in shape.dim] == [-1, 28, 28]


def test_the_status_names_the_versions(channel):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "lstm"
    answer = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request)
    (status,) = answer.model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert (status.version, status.state, status.status.error_code) == (1, available, 0)


def broken(**changes):
    """A request with a damaged tensor."""
    request = predict_request(images(2).astype("float32"))
    tensor = request.inputs["rows"]
    for name, value in changes.items():
        if name == "shape":
            del tensor.tensor_shape.dim[:]
            for size in value:
                tensor.tensor_shape.dim.add(size=size)
        elif isinstance(value, list):
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    return request


def with_another_input(name, tensor=1.0, size=None):
    request = predict_request(images(1).astype("float32"))
    request.inputs[name].CopyFrom(tf.make_tensor_proto(tensor))
    if size:
        request.inputs[name].tensor_shape.dim[0].size = size
    return request


INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("request_", "code", "expected"),
    [
        (predict_request(None), INVALID, "rows"),
        (predict_request(np.zeros((1, 29, 28))), INVALID, "(any, 28, 28)"),
        (predict_request(np.zeros((28, 28))), INVALID, "(any, 28, 28)"),
        (predict_request(np.zeros((0, 28, 28))), INVALID, "no rows"),
        (predict_request(np.full((1, 28, 28), np.nan)), INVALID, "0 to 255"),
        (predict_request(np.full((1, 28, 28), -1)), INVALID, "0 to 255"),
        (predict_request(np.full((1, 28, 28), 300)), INVALID, "0 to 255"),
        (predict_request(np.full((1, 28, 28), b"7")), INVALID, "expected numbers"),
        (predict_request(np.zeros((1, 28, 28)), model=""), INVALID, "model_spec.name"),
        (predict_request(np.zeros((1, 28, 28)), signature="none"), INVALID, "serving_bytes"),
        (predict_request(np.zeros((1, 28, 28)), model="none"), NOT_FOUND, "basic_rnn"),
        (predict_request(np.zeros((1, 28, 28)), version=7), NOT_FOUND, "version 7"),
        (predict_request(np.zeros((1, 28, 28)), version_label="new"), NOT_FOUND, "label 'new'"),
        (predict_request(np.zeros((9000, 28, 28), "uint8")), None, "2048"),
        (broken(tensor_content=b"12345"), INVALID, "damaged"),
        (broken(shape=[-1, 28, 28]), INVALID, "no rows"),
        (broken(shape=[10**9, 28, 28], tensor_content=b""), None, "2048"),
        (broken(dtype=99), INVALID, "damaged"),
        (broken(dtype=tf.bool.as_datatype_enum, tensor_content=b"\2" * 1568), INVALID, "0 or 1"),
        (predict_request(np.zeros((1, 28, 28)), signature="a" * 5000), INVALID, "serving_bytes"),
        (with_another_input("a" * 5000), INVALID, "expected rows"),
        (with_another_input("huge", tf.zeros(1), size=10**15), INVALID, "expected rows"),
        (
            broken(dtype=tf.uint8.as_datatype_enum, tensor_content=b"", int_val=[-1]),
            INVALID,
            "damaged",
        ),
    ],
)
def test_a_bad_request_is_refused_with_a_reason(request_, code, expected, predictions):
    with pytest.raises(grpc.RpcError) as caught:
        predictions.Predict(request_)
    assert caught.value.code() == (code or grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert expected in caught.value.details()


def test_a_damaged_message_is_refused_with_a_reason(channel):
    predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError) as caught:
        predict(b"no message")
    assert caught.value.code() == INVALID
    assert "a damaged message" in caught.value.details()


def test_a_deadline_that_cannot_be_kept_is_reported(predictions):
    with pytest.raises(grpc.RpcError) as caught:
        predictions.Predict(predict_request(np.zeros((2048, 28, 28), "uint8")), timeout=0.001)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    predictions.Predict(predict_request(images(2).astype("float32")))


@pytest.mark.parametrize("fields", [[], ["weights"]])
def test_other_metadata_is_refused(fields, predictions):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = "lstm"
    with pytest.raises(grpc.RpcError) as caught:
        predictions.GetModelMetadata(request)
    assert caught.value.code() == INVALID
    assert "signature_def" in caught.value.details()
