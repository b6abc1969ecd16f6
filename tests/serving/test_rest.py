"""The REST API, compared with TensorFlow Serving's documentation and the live models."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from explain.reading import read
from tests.conftest import CLASSIFICATION, PROJECT
from tests.serving.conftest import MODELS, digits, images, softmax


def png(image):
    file = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def b64(data):
    return {"b64": base64.b64encode(data).decode()}


@pytest.mark.parametrize("model", MODELS)
def test_instances_get_the_predictions_of_the_live_model(model, server, models):
    expected = softmax(models[model](images(3)))
    for instances in (images(3).tolist(), [{"rows": image} for image in images(3).tolist()]):
        answer = server.predict(model, instances=instances)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        (predictions,) = answer.json().values()
        assert [row["classes"] for row in predictions] == expected.argmax(-1).tolist()
        actual = [row["probabilities"] for row in predictions]
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_documented_curl_commands_work(server):
    page = (PROJECT / "docs/serving.md").read_text()
    lines = re.findall(r"^curl (?!.*/models/text:).*", page, re.MULTILINE)
    answers = []
    for line in lines:
        line = line.replace("localhost:8501", server.url).replace("python", sys.executable)
        done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
        answers.append(json.loads(done.stdout))
    prediction, metadata = answers
    assert len(prediction["predictions"][0]["probabilities"]) == 7
    assert "serving_default" in metadata["metadata"]["signature_def"]["signature_def"]


def test_inputs_as_columns_get_outputs_as_columns(server, models):
    expected = softmax(models["lstm"](images(3)))
    for inputs in (images(3).tolist(), {"rows": images(3).tolist()}):
        answer = server.predict(inputs=inputs).json()["outputs"]
        assert answer["classes"] == expected.argmax(-1).tolist()
        np.testing.assert_allclose(answer["probabilities"], expected, rtol=0, atol=1e-6)


def test_an_encoded_image_gets_the_same_answer_as_its_pixels(server, models):
    expected = softmax(models["lstm"](digits(2)))
    encoded = [b64(png(image)) for image in digits(2)]
    for instances in (encoded, [{"image_bytes": image} for image in encoded]):
        answer = server.predict(signature_name="serving_bytes", instances=instances).json()
        actual = [row["probabilities"] for row in answer["predictions"]]
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


def test_trace_returns_every_step(server, models):
    answer = server.predict(signature_name="trace", inputs=images(2).tolist()).json()["outputs"]
    for name, expected in read(CLASSIFICATION, models["lstm"], images(2)).items():
        np.testing.assert_allclose(answer[name], expected, rtol=0, atol=1e-5)


def test_a_version_can_be_named(server):
    body = {"instances": images(1).tolist()}
    first = server.post("/v1/models/lstm/versions/1:predict", body)
    assert first.json() == server.post("/v1/models/lstm:predict", body).json()


def test_the_metrics_count_requests_batches_and_states(server):
    def lines():
        text = server.get("/metrics").text
        return dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")

    asked = 'mnist_rows_requests_total{model="lstm",protocol="rest",status="200"}'
    rows = 'mnist_rows_batch_rows_sum{model="lstm"}'
    before = lines()
    server.predict(inputs=images(3).tolist())
    after = lines()
    assert float(after[asked]) == float(before.get(asked, 0)) + 1
    assert float(after[rows]) == float(before.get(rows, 0)) + 3
    assert after['mnist_rows_version_state{model="lstm",state="AVAILABLE",version="1"}'] == "1.0"
    assert after["mnist_rows_rows_waiting"] == "0.0"


def test_all_models_are_listed_with_their_cards(server):
    listed = {model["name"]: model for model in server.get("/v1/models").json()["models"]}
    assert set(listed) == set(MODELS)
    (version,) = listed["lstm"]["versions"]
    assert (version["version"], version["state"]) == ("1", "AVAILABLE")
    assert version["signatures"] == ["serving_bytes", "serving_default", "trace"]
    assert version["card"]["run"] == "lstm"


def test_the_status_is_tensorflow_servings(server):
    expected = {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    for path in ("/v1/models/lstm", "/v1/models/lstm/versions/1"):
        assert server.get(path).json() == expected


def test_the_metadata_is_tensorflow_servings(server):
    for path in ("/v1/models/lstm/metadata", "/v1/models/lstm/versions/1/metadata"):
        answer = server.get(path).json()
        assert answer["model_spec"] == {"name": "lstm", "version": "1", "signature_name": ""}
        signatures = answer["metadata"]["signature_def"]["signature_def"]
        assert {"serving_default", "serving_bytes", "trace"} <= set(signatures)
        signature = signatures["serving_default"]
        assert signature["method_name"] == "tensorflow/serving/predict"
        assert signature["inputs"]["rows"]["dtype"] == "DT_FLOAT"
        shape = signature["inputs"]["rows"]["tensor_shape"]
        assert [dim["size"] for dim in shape["dim"]] == ["-1", "28", "28"]
        assert shape["unknown_rank"] is False
