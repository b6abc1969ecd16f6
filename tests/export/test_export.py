import contextlib
import fcntl
import functools
import io
import json
import os
import signal
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from configs import UserError
from datasets import digits
from explain.reading import read
from export import saved_model
from export.saved_model import export, find
from models import fast_rnn
from tests.conftest import CLASSIFICATION, PROJECT, random_model

# Every class of cell and whatever gives one a state or a weight of its own, and both directions.
MODELS = [
    *("basic_rnn", "lstm_1997", "lstm", "peephole_fgr_lstm", "gru3", "bidirectional_lstm"),
]

# Loads every model in a process that has only TensorFlow and no accelerator.
_STRANGER = """
import os, sys, importlib.util
os.environ["CUDA_VISIBLE_DEVICES"] = ""
for name in ("models", "export", "configs", "training"):
    assert importlib.util.find_spec(name) is None, name
import numpy as np, tensorflow as tf
answers, images = {}, np.load("images.npz")
for model in sys.argv[1:]:
    signatures = tf.saved_model.load(f"saved_models/{model}/1").signatures
    for size in ("1", "3", "1000"):
        answer = signatures["serving_default"](rows=tf.constant(images[size]))
        for key, value in answer.items():
            answers[f"{model}/{size}/{key}"] = value.numpy()
    answer = signatures["serving_bytes"](image_bytes=tf.constant(images["encoded"].tolist()))
    for key, value in answer.items():
        answers[f"{model}/encoded/{key}"] = value.numpy()
    for key, value in signatures["trace"](rows=tf.constant(images["3"])).items():
        answers[f"{model}/trace/{key}"] = value.numpy()
np.savez("answers.npz", **answers)
"""


def encode(image, form="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, form, **options)
    return file.getvalue()


def softmax(logits):
    shares = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


# The slow tests are of all others.
FEW = ("gru", "bidirectional_lstm")
EACH = [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """Models exported, and what a process without this project makes of them, by a name."""
    few = [name for name in MODELS if name in FEW]
    others = [name for name in MODELS if name not in FEW]
    answers = functools.cache(lambda names: _answers(names, tmp_path_factory.mktemp("stranger")))
    return lambda name: answers(tuple(few if name in few else others))


def _answers(names, folder):
    """Random models by name, images, and the answers of a process that loads their exports."""
    random = np.random.default_rng(0)
    images = {
        str(size): random.integers(0, 256, (size, 28, 28)).astype(np.float32)
        for size in (1, 3, 1000)
    }
    # Three that have MNIST's form, which stay as they are.
    images["3"] = digits.read().test.inputs[:3].astype(np.float32)
    encoded = np.array([encode(image.astype(np.uint8)) for image in images["3"]], dtype="S")
    np.savez(folder / "images.npz", encoded=encoded, **images)
    models = {}
    for name in names:
        # Blocks wherever there can be some.
        models[name] = random_model(model=name, block_size=3 if name == "lstm_1997" else 1)
        export(models[name], CLASSIFICATION, folder / "saved_models" / name, card={})
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-c", _STRANGER, *names], cwd=folder, check=True, env=environment
    )
    return models, images, np.load(folder / "answers.npz")


@pytest.mark.parametrize("size", ["1", "3", "1000"])
@pytest.mark.parametrize("name", EACH)
def test_a_process_without_this_project_gets_the_live_models_answers(name, size, stranger):
    models, images, answers = stranger(name)
    expected = softmax(models[name](images[size]))
    probabilities, classes = (
        answers[f"{name}/{size}/{key}"] for key in ("probabilities", "classes")
    )
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(classes, probabilities.argmax(axis=-1))
    assert (probabilities.dtype, classes.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("name", EACH)
def test_encoded_images_get_the_same_answers_as_their_pixels(name, stranger):
    _, images, answers = stranger(name)
    for key in ("probabilities", "classes"):
        np.testing.assert_allclose(
            answers[f"{name}/encoded/{key}"], answers[f"{name}/3/{key}"], rtol=0, atol=1e-6
        )
    np.testing.assert_array_equal(answers[f"{name}/encoded/rows"], images["3"])


@pytest.mark.parametrize("name", EACH)
def test_a_process_without_this_project_can_follow_the_reading(name, stranger):
    models, images, answers = stranger(name)
    for key, expected in read(CLASSIFICATION, models[name], images["3"]).items():
        found = answers[f"{name}/trace/{key}"]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    last = answers[f"{name}/trace/probabilities"][:, -1]
    np.testing.assert_allclose(last, answers[f"{name}/3/probabilities"], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def basic_rnn(tmp_path_factory):
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("basic_rnn")
    return tf.saved_model.load(
        export(random_model(model="basic_rnn"), CLASSIFICATION, folder, card={})
    )


@pytest.fixture
def exported(tmp_path):
    import tensorflow as tf

    model = random_model(scan="columns", permute_seed=3)
    return model, tf.saved_model.load(
        export(model, CLASSIFICATION, tmp_path / "lstm", card={"answer": 42})
    )


def test_the_signatures_have_the_names_shapes_and_types_that_clients_know(exported):
    import tensorflow as tf

    _, loaded = exported
    assert set(loaded.signatures) == {"serving_default", "serving_bytes", "trace"}
    inputs = {name: f.structured_input_signature[1] for name, f in loaded.signatures.items()}
    assert inputs["serving_default"] == {"rows": tf.TensorSpec((None, 28, 28), tf.float32, "rows")}
    assert inputs["serving_bytes"] == {
        "image_bytes": tf.TensorSpec((None,), tf.string, "image_bytes")
    }
    assert inputs["trace"] == inputs["serving_default"]
    steps = loaded.signatures["trace"].structured_outputs
    held = {"hidden", "cell", "input_gate", "forget_gate", "output_gate", "candidate"}
    assert {name: tuple(value.shape) for name, value in steps.items()} == {
        "probabilities": (None, 28, 7)
    } | dict.fromkeys(held, (None, 28, 6))
    for name in ("serving_default", "serving_bytes"):
        signature = loaded.signatures[name]
        outputs = {k: (v.shape.as_list(), v.dtype) for k, v in signature.structured_outputs.items()}
        rows = {"rows": ([None, 28, 28], tf.float32)} if name == "serving_bytes" else {}
        assert outputs == rows | {
            "probabilities": ([None, 7], tf.float32),
            "classes": ([None], tf.int64),
        }


def test_images_of_other_datasets_than_digits_are_resized_alone(tmp_path):
    import tensorflow as tf

    model, random = random_model(model="basic_rnn"), np.random.default_rng(0)
    card = {"config": {"dataset": "fashion_mnist"}}
    loaded = tf.saved_model.load(export(model, CLASSIFICATION, tmp_path, card))
    image = random.integers(0, 256, (28, 28), dtype=np.uint8)
    encoded = [encode(image), encode(image.repeat(3, 0).repeat(3, 1))]
    rows = loaded.signatures["serving_bytes"](image_bytes=tf.constant(encoded))["rows"]
    np.testing.assert_array_equal(rows[0], image)
    assert np.corrcoef(rows[1].numpy().ravel(), image.ravel())[0, 1] > 0.9


def header_of(width, height):
    """A PNG whose header says it is so large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + checksum


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no image",
        encode(np.zeros((28, 28), np.uint8))[:40],
        encode(np.zeros((28, 28), np.uint8), "JPEG")[:150],
        encode(np.zeros((28, 28), np.uint8), "GIF"),
        encode(np.zeros((28, 28), np.uint8), "BMP"),
        encode(np.zeros((4097, 4097), np.uint8)),
        encode(np.zeros((4097, 4097), np.uint8), "JPEG"),
        header_of(2**31 - 1, 2**31 - 1),
        header_of(2**31, 2**31),
        header_of(0, 28),
        header_of(2**16, 2**16),
    ],
    ids=[
        *("nothing", "text", "half-png", "half-jpeg", "gif", "bmp", "large-png", "large-jpeg"),
        *("bomb", "negative", "empty", "overflow"),
    ],
)
def test_what_is_no_png_or_jpeg_or_unfolds_to_too_much_is_refused(data, basic_rnn):
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError):
        basic_rnn.signatures["serving_bytes"](image_bytes=tf.constant([data]))


def test_an_image_may_be_as_large_as_is_said(basic_rnn):
    import tensorflow as tf

    image = encode(np.zeros((4096, 4096), np.uint8))
    basic_rnn.signatures["serving_bytes"](image_bytes=tf.constant([image]))


@pytest.mark.parametrize("shape", [(1, 29, 28), (1, 28, 29), (28, 28), (1, 784)])
def test_images_of_another_shape_are_refused(shape, exported):
    import tensorflow as tf

    _, loaded = exported
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError, TypeError)):
        loaded.signatures["serving_default"](rows=tf.zeros(shape))


def test_versions_count_up_and_others_files_are_left_alone(tmp_path):
    model = random_model(model="basic_rnn")
    assert export(model, CLASSIFICATION, tmp_path, card={}) == tmp_path / "1"
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    assert export(model, CLASSIFICATION, tmp_path, card={}) == tmp_path / "8"
    assert {path.name for path in tmp_path.iterdir()} == {"1", "7", "8", "notes"}


def test_the_card_lies_beside_the_model(tmp_path):
    path = export(random_model(model="basic_rnn"), CLASSIFICATION, tmp_path, card={"accuracy": 0.5})
    card = json.loads((path / "model_card.json").read_text())
    assert card == {"accuracy": 0.5, "inputs": {"rows": {"minimum": 0, "maximum": 255}}}


@pytest.mark.slow
def test_nothing_of_nvidias_is_exported_where_there_is_a_gpu(tmp_path, monkeypatch):
    import tensorflow as tf

    def operations(folder):
        graph = tf.saved_model.load(folder).signatures["serving_default"].graph.as_graph_def()
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        return {node.op for node in nodes}

    # Keras asks this before it chooses a kernel.
    rnn = sys.modules["keras.src.backend.tensorflow.rnn"]
    monkeypatch.setattr(rnn, "_is_gpu_available", lambda: True)
    monkeypatch.setattr(fast_rnn, "_has_gpu", lambda: True)
    model = random_model(model="bidirectional_lstm", layers=2)
    assert not any(
        "Cudnn" in name for name in operations(export(model, CLASSIFICATION, tmp_path, card={}))
    )
    # Were it forgotten to do without them, nothing would be written.
    monkeypatch.setattr(
        saved_model, "override_attributes", lambda *_, **settings: contextlib.nullcontext()
    )
    with pytest.raises(UserError, match="CudnnRNNV3, which no CPU can run; expected kernels"):
        export(model, CLASSIFICATION, tmp_path, card={})
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


@pytest.mark.slow
def test_a_model_can_be_trained_on_and_exported_again(tmp_path):
    import tensorflow as tf

    model, images = random_model(), np.random.default_rng(0).uniform(0, 255, (3, 28, 28))
    images = images.astype(np.float32)
    first = tf.saved_model.load(export(model, CLASSIFICATION, tmp_path, card={}))
    model.compile("adam", "mse")
    model.fit(images, np.ones((3, 7)), epochs=2, verbose=0)
    second = tf.saved_model.load(export(model, CLASSIFICATION, tmp_path, card={}))
    answers = [each.signatures["serving_default"](rows=images) for each in (first, second)]
    expected = softmax(model(images))
    np.testing.assert_allclose(answers[1]["probabilities"], expected, rtol=0, atol=1e-6)
    assert np.abs(answers[0]["probabilities"] - expected).max() > 1e-4


def test_a_failed_export_leaves_no_trace(tmp_path):
    with pytest.raises(TypeError):
        export(
            random_model(model="basic_rnn"), CLASSIFICATION, tmp_path, card={"not json": object()}
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_export_killed_with_9_leaves_the_last_good_version(tmp_path):
    import tensorflow as tf

    model = random_model(model="basic_rnn")
    model.save(tmp_path / "model.keras")
    export(model, CLASSIFICATION, tmp_path / "versions", card={})
    # Dies at the worst moment: all is written, but not yet in place.
    script = """
import os, keras, models
from export import saved_model
from tests.conftest import CLASSIFICATION
saved_model._rename_to_next_version = lambda *arguments: os.kill(os.getpid(), 9)
saved_model.export(keras.models.load_model("model.keras"), CLASSIFICATION, "versions", card={})
"""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    killed = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment)
    assert killed.returncode == -signal.SIGKILL
    versions = [p.name for p in (tmp_path / "versions").iterdir() if p.name.isdecimal()]
    assert versions == ["1"]
    loaded = tf.saved_model.load(tmp_path / "versions" / "1")
    assert loaded.signatures["serving_default"](rows=tf.zeros((2, 28, 28)))["classes"].shape == 2

    # What it left goes with the next export, but not what an export still at work has.
    (left,) = (tmp_path / "versions").glob(".incomplete-*")
    at_work = tmp_path / "versions" / ".incomplete-at-work"
    at_work.mkdir()
    lock = os.open(at_work, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert (
        export(model, CLASSIFICATION, tmp_path / "versions", card={}) == tmp_path / "versions" / "2"
    )
    os.close(lock)
    assert not left.exists()
    assert at_work.exists()


def test_a_version_is_found_by_its_whole_card(tmp_path):
    card = {"run": "first", "metrics": {"accuracy": 0.5}}
    assert find(CLASSIFICATION, tmp_path, card) is None
    for version, text in [("1", ""), ("2", json.dumps(card)), ("x", "[]")]:
        (tmp_path / version).mkdir()
        (tmp_path / version / "model_card.json").write_text(text)
    assert find(CLASSIFICATION, tmp_path, card) is None
    model = random_model(model="basic_rnn")
    path = export(model, CLASSIFICATION, tmp_path, card)
    assert find(CLASSIFICATION, tmp_path, card) == path == tmp_path / "3"
    assert find(CLASSIFICATION, tmp_path, card | {"metrics": None}) is None
    assert find(CLASSIFICATION, tmp_path, card, ["saved_model", "onnx"]) is None
    (path / "model.onnx").touch()
    assert find(CLASSIFICATION, tmp_path, card, ["saved_model", "onnx"]) == path
