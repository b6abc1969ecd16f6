"""SavedModels of others: strings, several inputs, classify, no default signature, no images."""

import concurrent.futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests.conftest import assert_one_line_error
from tests.serving.conftest import Server, images
from tests.serving.test_client import run_client
from tests.serving.test_grpc import predict_request, prediction_service_pb2_grpc
from tests.serving.test_rest import png


class Sums(tf.Module):
    """Adds two inputs, greets, and classifies examples."""

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, 2))])
    def add(self, a, b):
        return {"sum": tf.cast(a, tf.float32) + tf.reduce_sum(b, axis=1), "a": a}

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.string)])
    def greet(self, names):
        return {"greetings": tf.strings.join(["hello ", names])}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def classify(self, inputs):
        features = {
            "x": tf.io.FixedLenFeature((), tf.float32),
            "names": tf.io.FixedLenFeature((2,), tf.string),
        }
        parsed = tf.io.parse_example(inputs, features)
        return {
            "scores": tf.stack([parsed["x"], 1 - parsed["x"]], axis=1),
            "classes": parsed["names"],
        }

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.bool)])
    def negate(self, flags):
        return {"flags": tf.logical_not(flags)}

    @tf.function(input_signature=[tf.TensorSpec((None, 3))])
    def sums(self, x):
        return {"of_columns": tf.reduce_sum(x, axis=0), "of_all": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec((None, 2))])
    def letters(self, x):
        return {"y": 2 * x, "vocabulary": tf.constant(["a", "b", "c"])}

    @tf.function(input_signature=[tf.TensorSpec((None, None))])
    def longest(self, x):
        return {"longest": tf.reduce_max(x, axis=1)}

    @tf.function(input_signature=[tf.TensorSpec((None, 2))])
    def some(self, x):
        """Returns fewer rows than it gets, although its shape does not say so."""
        return {"some": tf.boolean_mask(x, x[:, 1] < 1)}

    @tf.function(input_signature=[tf.TensorSpec((), tf.int32)])
    def next(self, n):
        return {"n": n + 1, "word_bytes": tf.constant("plain")}

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.string)])
    def read(self, paths):
        """Fails with an error that is not about a wrong argument."""
        return {"files": tf.map_fn(tf.io.read_file, tf.reshape(paths, [-1]))}

    @tf.function(input_signature=[tf.TensorSpec(None)])
    def size(self, x):
        return {"size": tf.size(x)}


class Adding(tf.Module):
    """Answers the adding problem: the sum of the values that are marked by ones."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, 2))])
    def answer(self, sequences):
        return {"values": tf.reduce_sum(sequences[..., :1] * sequences[..., 1:], axis=1)}


class Parity(tf.Module):
    """Classifies sequences of tokens by the parity of their sum."""

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32)])
    def answer(self, tokens):
        classes = tf.reduce_sum(tokens, axis=1) % 2
        return {"probabilities": tf.one_hot(classes, 2), "classes": classes}


NAMES = (
    *("add", "classify", "greet", "letters", "longest", "negate"),
    *("next", "read", "size", "some", "sums"),
)


@pytest.fixture(scope="module")
def sums(tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    module = Sums()
    signatures = {name: getattr(module, name) for name in NAMES}
    tf.saved_model.save(module, folder / "sums/1", signatures)
    path = folder / "sums/1/saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    definition = saved.meta_graphs[0].signature_def["classify"]
    definition.method_name = "tensorflow/serving/classify"  # TensorFlow 2 cannot save this.
    path.write_bytes(saved.SerializeToString())
    for model in (Adding(), Parity()):
        name = type(model).__name__.lower()
        tf.saved_model.save(model, folder / name / "1", {"serving_default": model.answer})
    server = Server(folder)
    server.wait_until(server.is_ready)
    yield server
    server.stop()


def ask(server, verb="predict", model="sums", **body):
    answer = server.post(f"/v1/models/{model}:{verb}", body)
    return answer.status_code, answer.json()


def test_several_inputs_and_outputs_have_names(sums):
    rows = [{"a": 1, "b": [2.5, 3]}, {"a": -4, "b": [5, 6]}]
    expected = [{"sum": 6.5, "a": 1}, {"sum": 7, "a": -4}]
    assert ask(sums, signature_name="add", instances=rows) == (200, {"predictions": expected})
    columns = {"a": [1, -4], "b": [[2.5, 3], [5, 6]]}
    expected = {"sum": [6.5, 7], "a": [1, -4]}
    assert ask(sums, signature_name="add", inputs=columns) == (200, {"outputs": expected})


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"a": [1.5], "b": [[1, 2]]}, "int32"),
        ({"a": [2**31], "b": [[1, 2]]}, "int32"),
        ({"a": [1, 2], "b": [[1, 2]]}, "the same number in each"),
        ({"a": [1]}, "a, b"),
        ([1], "a, b"),
        ({"a": [1], "b": [[1e300, 2]]}, "float32"),
    ],
)
def test_a_value_that_its_input_cannot_hold_is_refused(inputs, expected, sums):
    status, answer = ask(sums, signature_name="add", inputs=inputs)
    assert status == 400
    assert expected in answer["error"]


def test_strings_are_texts_in_json_and_other_bytes_are_base64(sums):
    names = [["Ada", {"b64": "/w=="}], ["Grace", "ß"]]
    greetings = [["hello Ada", {"b64": "aGVsbG8g/w=="}], ["hello Grace", "hello ß"]]
    expected = (200, {"outputs": greetings})
    assert ask(sums, signature_name="greet", inputs=names) == expected
    expected = (200, {"predictions": greetings})
    assert ask(sums, signature_name="greet", instances=names) == expected


@pytest.mark.parametrize(
    "names",
    [["Ada"], [["Ada"]], [["a", "b"], ["c"]], [["a", ["b"]]], [["a", "b"], "cd"], [], "Ada"],
)
def test_texts_of_another_shape_are_refused(names, sums):
    status, answer = ask(sums, signature_name="greet", inputs=names)
    assert status == 400
    assert "names" in answer["error"]


def test_bool_inputs_accept_only_booleans(sums):
    expected = (200, {"outputs": [False, True]})
    assert ask(sums, signature_name="negate", inputs=[True, False]) == expected
    assert ask(sums, signature_name="negate", inputs=[1, 0])[0] == 400


def test_classify_maps_examples_to_classes_with_scores(sums):
    examples = [{"x": 0.25}, {"x": 1.0, "names": ["c", {"b64": "ZA=="}]}]
    expected = [[["a", 0.25], ["b", 0.75]], [["c", 1.0], ["d", 0.0]]]
    context = {"names": ["a", "b"]}
    answer = ask(sums, "classify", signature_name="classify", examples=examples, context=context)
    assert answer == (200, {"result": expected})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"examples": 7}, "list"),
        ({"examples": [7]}, "objects"),
        ({"examples": []}, "no rows"),
        ({"examples": [{"x": True}]}, "x"),
        ({"examples": [{"x": [1, "a"]}]}, "x"),
        ({"examples": [{"x": None}]}, "x"),
        ({"examples": [{"x": {"b64": "?"}}]}, "base64"),
        ({"examples": [{"x": {}}]}, "b64"),
        ({"examples": [{"y": 1.0}]}, "names"),
        ({"examples": [{"x": 2**63}]}, "64 bits"),
        ({"examples": [{"x": 1e39}]}, "float32"),
        ({"examples": [{"x": 10**400}]}, "infinity"),
    ],
)
def test_an_example_that_cannot_be_read_is_refused(body, expected, sums):
    status, answer = ask(sums, "classify", signature_name="classify", **body)
    assert status == 400
    assert expected in answer["error"]


def test_a_model_without_a_default_signature_needs_a_signature_name(sums):
    status, answer = ask(sums, instances=[1])
    assert status == 400
    assert ", ".join(NAMES) in answer["error"]


def test_scalars_and_arrays_of_any_shape_are_accepted_and_returned(sums):
    expected = {"n": 8, "word_bytes": {"b64": "cGxhaW4="}}
    assert ask(sums, signature_name="next", inputs=7) == (200, {"outputs": expected})
    for x, size in ((5, 1), ([1, 2, 3], 3), ([[1], [2]], 2)):
        assert ask(sums, signature_name="size", inputs=x) == (200, {"outputs": size})


def test_the_error_of_an_operation_is_reported_to_the_client(sums):
    status, answer = ask(sums, signature_name="read", inputs=[["/no/such/file"]])
    assert status == 400
    assert "No such file" in answer["error"]
    with grpc.insecure_channel(sums.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_request(None, "sums", "read")
        request.inputs["paths"].CopyFrom(tf.make_tensor_proto([["/no/such/file"]]))
        with pytest.raises(grpc.RpcError, match="No such file") as caught:
            stub.Predict(request)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("name", "empty", "expected"), [("read", [[]], []), ("size", [[]], 0), ("size", [[[], []]], 0)]
)
def test_arrays_without_values_keep_their_type(name, empty, expected, sums):
    assert ask(sums, signature_name=name, inputs=empty) == (200, {"outputs": expected})


def test_outputs_without_rows_are_returned_only_as_columns(sums):
    expected = {"of_columns": [5, 7, 9], "of_all": 21}
    x = [[1, 2, 3], [4, 5, 6]]
    assert ask(sums, signature_name="sums", inputs=x) == (200, {"outputs": expected})
    status, answer = ask(sums, signature_name="sums", instances=x)
    assert status == 400
    assert "inputs" in answer["error"]


CLIENTS = 16  # At the same time.


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("sums", lambda n: [[n, 1, 2]], lambda n: {"of_columns": [n, 1, 2], "of_all": n + 3}),
        (
            "letters",
            lambda n: [[n, 1]] * (n % 3 + 1),
            lambda n: {"y": [[2 * n, 2]] * (n % 3 + 1), "vocabulary": ["a", "b", "c"]},
        ),
        ("longest", lambda n: [[n] + n % 4 * [0]], lambda n: [n]),
        ("some", lambda n: [[n, 0], [1, 1]], lambda n: [[n, 0]]),
    ],
    ids=["sums", "a constant", "of several widths", "fewer rows"],
)
def test_requests_never_get_the_outputs_of_other_requests(name, x, expected, sums):
    def ask_one(n):
        return ask(sums, signature_name=name, inputs=x(n)), (200, {"outputs": expected(n)})

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        for answer, right in pool.map(ask_one, range(100)):
            assert answer == right


def test_answers_are_right_under_concurrent_requests(sums):
    def add(number):
        numbers = list(range(number, number + number % 3 + 1))
        inputs = {"a": numbers, "b": [[n, 0.5] for n in numbers]}
        status, answer = ask(sums, signature_name="add", inputs=inputs)
        return status, answer["outputs"]["sum"], [2 * n + 0.5 for n in numbers]

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        for status, actual, expected in pool.map(add, range(300)):
            assert status == 200
            np.testing.assert_allclose(actual, expected)


SEQUENCES = [[[0.5, 1], [0.25, 0], [0.75, 1]], [[1, 0], [2, 1], [3, 0]]]


def test_a_model_of_sequences_is_answered_over_rest(sums):
    predictions = {"predictions": [[1.25], [2.0]]}
    assert ask(sums, model="adding", instances=SEQUENCES) == (200, predictions)
    outputs = {"outputs": [[1.25], [2.0]]}
    assert ask(sums, model="adding", inputs={"sequences": SEQUENCES}) == (200, outputs)
    integers = [[[1, 1], [2, 0]]]
    assert ask(sums, model="adding", inputs=integers) == (200, {"outputs": [[1.0]]})
    tokens = [[1, 2, 4], [2, 2, 2]]
    rows = [{"probabilities": [0, 1], "classes": 1}, {"probabilities": [1, 0], "classes": 0}]
    assert ask(sums, model="parity", instances=tokens) == (200, {"predictions": rows})


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ([[[1, 1]], [[1, 1], [2, 0]]], "lists of several lengths"),
        ([[1, 1], [2, 0]], "received shape (2, 2); expected (any, any, 2)"),
        ([[[1, 1, 1]]], "received shape (1, 1, 3); expected (any, any, 2)"),
        ([[["1", 1]]], "expected numbers (float32) of shape (any, any, 2)"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(instances, expected, sums):
    status, answer = ask(sums, model="adding", instances=instances)
    assert status == 400
    assert expected in answer["error"]


def test_requests_of_several_lengths_at_once_are_all_answered(sums):
    def ask_one(length):
        return ask(sums, model="adding", inputs=[[[0.5, 1]] * length])

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        for length, answer in enumerate(pool.map(ask_one, range(1, 60)), 1):
            assert answer == (200, {"outputs": [[0.5 * length]]})


def test_a_model_of_sequences_is_answered_over_grpc(sums):
    with grpc.insecure_channel(sums.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_request(None, "adding")
        request.inputs["sequences"].CopyFrom(tf.make_tensor_proto(SEQUENCES, tf.float32))
        values = tf.make_ndarray(stub.Predict(request).outputs["values"])
    np.testing.assert_array_equal(values, [[1.25], [2.0]])
    assert values.dtype == np.float32


def test_the_metadata_describe_a_model_of_sequences(sums):
    answer = sums.get("/v1/models/adding/metadata").json()
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    shapes = {
        name: [dim["size"] for dim in tensor["tensor_shape"]["dim"]]
        for name, tensor in (signature["inputs"] | signature["outputs"]).items()
    }
    assert shapes == {"sequences": ["-1", "-1", "2"], "values": ["-1", "1"]}


def test_the_list_of_models_says_which_read_images(sums, server):
    def listed(server):
        models = server.get("/v1/models").json()["models"]
        return {model["name"]: model["versions"][0]["reads_images"] for model in models}

    assert listed(sums) == {"adding": False, "parity": False, "sums": False}
    assert listed(server) == {"basic_rnn": True, "lstm": True}


@pytest.mark.parametrize("protocol", ["rest", pytest.param("grpc", marks=pytest.mark.slow)])
def test_the_client_says_that_a_model_does_not_read_images(protocol, sums, tmp_path):
    (tmp_path / "one.png").write_bytes(png(images(1)[0]))
    address = sums.url if protocol == "rest" else f"grpc://{sums.grpc}"
    result = run_client(f"--server={address}", "--model=adding", "one.png", folder=tmp_path)
    assert (result.status, result.stdout) == (1, "")
    assert_one_line_error(result, "'adding'", "does not read image files", "--model")
