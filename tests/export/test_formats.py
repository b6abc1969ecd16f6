import contextlib
import importlib.util
import json
import sys

import keras
import numpy as np
import pytest

from configs import Config, UserError
from datasets import digits
from export import formats, serving_function
from export.formats import check_formats
from export.saved_model import export
from models import FastLSTM, FastRNN, LSTMCell, create_model, fast_rnn
from tests.conftest import CLASSIFICATION, MNIST, assert_one_line_error, random_model

ALL = ["saved_model", "onnx", "litert"]
# One of every class of cell, both directions, and whatever else a graph may hold.
MODELS = {
    "basic_rnn": {"scan": "columns", "permute_seed": 3},
    "lstm_1997": {"block_size": 3, "dropout": 0.5, "rotation": 10, "row_dropout": 0.1},
    "lstm": {"layers": 2, "recurrent_dropout": 0.5},
    "gru": {"layers": 2, "scan": "rows_and_columns", "recurrent_dropout": 0.5},
    "peephole_fgr_lstm": {},
    "bidirectional_lstm": {"layers": 2, "head": "last"},
    "bidirectional_gru3": {"head": "backward", "pixel_dropout": 0.1, "elastic": 1},
}
# A history compressor does not read images.
EVERY_MODEL = [
    name
    for name in next(iter(Config.__dataclass_fields__.values())).metadata["choices"]
    if name != "history_compressor"
]


def needs(*names):
    packages = [package for name in names for package in formats._PACKAGES[name]]
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    reason = f"{', '.join(missing)} not installed: pip install -r requirements-formats.txt"
    return pytest.mark.skipif(bool(missing), reason=reason)


def assert_answers_as(model, path, atol=1e-5):
    """A file gives a model's answers, to batches of whatever size."""
    answer = formats.load(path)
    for size in (1, 3, 17):
        images = np.random.default_rng(size).uniform(0, 255, (size, 28, 28)).astype(np.float32)
        logits = np.asarray(model(images), np.float64)
        expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        answered = answer(images)
        probabilities, classes = answered["probabilities"], answered["classes"]
        assert (probabilities.dtype, classes.dtype) == (np.float32, np.int64)
        np.testing.assert_allclose(probabilities, expected, rtol=0, atol=atol)
        np.testing.assert_array_equal(classes, probabilities.argmax(axis=-1))


@needs("onnx")
@pytest.mark.parametrize("name", MODELS)
def test_onnx_gives_the_live_models_answers(name, tmp_path):
    model = random_model(model=name, **MODELS[name])
    formats.write(model, CLASSIFICATION, tmp_path, ["onnx"])
    assert_answers_as(model, tmp_path / "model.onnx")


@needs("onnx")
@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY_MODEL)
def test_every_model_can_be_had_as_onnx(name, tmp_path):
    model = random_model(model=name, **MODELS.get(name, {}))
    formats.write(model, CLASSIFICATION, tmp_path, ["onnx"])
    assert_answers_as(model, tmp_path / "model.onnx")


@needs("onnx", "litert")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_784_timesteps_can_be_had_too(name, tmp_path):
    # LiteRT's converter needs minutes for more layers or directions.
    model = random_model(model=name, units=4, scan="pixels")
    formats.write(model, CLASSIFICATION, tmp_path, ["onnx", "litert"])
    assert_answers_as(model, tmp_path / "model.onnx")
    assert_answers_as(model, tmp_path / "model.tflite")


@needs("onnx")
def test_kerass_lstm_becomes_onnxs(tmp_path):
    import onnx

    formats.write(random_model(model="bidirectional_lstm"), CLASSIFICATION, tmp_path, ["onnx"])
    operations = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert "LSTM" in operations
    assert not operations & {"Loop", "MatMulInteger"}


@needs("litert")
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_litert_gives_the_live_models_answers(name, tmp_path):
    model = random_model(model=name, **MODELS[name])
    formats.write(model, CLASSIFICATION, tmp_path, ["litert"])
    assert_answers_as(model, tmp_path / "model.tflite")


@needs("litert")
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(MODELS) - {"lstm", "gru"}))
def test_every_kind_of_model_can_be_had_as_litert(name, tmp_path):
    model = random_model(model=name, **MODELS[name])
    formats.write(model, CLASSIFICATION, tmp_path, ["litert"])
    assert_answers_as(model, tmp_path / "model.tflite")


@needs("onnx", "litert")
@pytest.mark.slow
def test_kerass_own_export_takes_the_way_that_each_format_has(tmp_path):
    inputs = keras.Input((4, 5))
    x = keras.layers.Bidirectional(FastLSTM(6, return_sequences=True))(inputs)
    x = FastRNN(LSTMCell(6, use_peephole=True), return_sequences=True)(x)
    model = keras.Model(inputs, FastLSTM(6)(x))
    model.predict(np.ones((2, 4, 5)), verbose=0)  # The fast way, which must not be exported.
    onnx, litert = str(tmp_path / "model.onnx"), str(tmp_path / "model.tflite")
    model.export(onnx, "onnx", verbose=False)
    model.export(litert, "litert", verbose=False)
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    runner = Interpreter(litert).get_signature_runner()
    for size in (1, 3):
        xs = np.random.default_rng(size).normal(size=(size, 4, 5)).astype(np.float32)
        (by_onnx,) = session.run(None, {session.get_inputs()[0].name: xs})
        (by_litert,) = runner(**{next(iter(runner.get_input_details())): xs}).values()
        for found in (by_onnx, by_litert):
            np.testing.assert_allclose(found, model(xs), rtol=0, atol=1e-5)


@needs("litert")
def test_int8_is_smaller_and_nearly_the_same(tmp_path):
    keras.utils.set_random_seed(0)
    model = create_model(Config(), MNIST)
    formats.write(model, CLASSIFICATION, tmp_path, ["litert"])
    exact, rounded = (tmp_path / file for file in formats.FILES["litert"])
    assert rounded.stat().st_size < 0.5 * exact.stat().st_size
    images = digits.read().test.inputs.astype(np.float32)
    expected, answered = (formats.load(path)(images) for path in (exact, rounded))
    off = np.abs(answered["probabilities"] - expected["probabilities"]).max()
    assert 1e-5 < off < 0.01
    assert np.mean(answered["classes"] == expected["classes"]) > 0.97


@needs("onnx", "litert")
def test_a_model_of_half_precision_computes_in_float32(tmp_path):
    half = random_model(compute_dtype="bfloat16", model="bidirectional_basic_rnn")
    policies = [layer.dtype_policy.name for layer in half._flatten_layers()]
    formats.write(half, CLASSIFICATION, tmp_path, ["onnx", "litert"])
    assert [layer.dtype_policy.name for layer in half._flatten_layers()] == policies
    model = random_model(model="bidirectional_basic_rnn")
    for file in ("model.onnx", "model.tflite"):
        assert_answers_as(model, tmp_path / file)


@needs("onnx", "litert")
@pytest.mark.parametrize("name", ["onnx", "litert"])
def test_a_graph_with_nvidias_kernels_is_written_in_no_format(name, tmp_path, monkeypatch):
    # Keras asks this before it chooses a kernel.
    rnn = sys.modules["keras.src.backend.tensorflow.rnn"]
    monkeypatch.setattr(rnn, "_is_gpu_available", lambda: True)
    monkeypatch.setattr(fast_rnn, "_has_gpu", lambda: True)
    model = random_model()
    formats.write(model, CLASSIFICATION, tmp_path, [name])
    (layer,) = (layer for layer in model.layers if isinstance(layer, FastLSTM))
    layer.use_cudnn = True
    formats.write(model, CLASSIFICATION, tmp_path, [name])
    assert layer.use_cudnn is True
    monkeypatch.setattr(
        serving_function, "override_attributes", lambda *_, **settings: contextlib.nullcontext()
    )
    with pytest.raises(UserError, match="cannot be written as model"):
        formats.write(model, CLASSIFICATION, tmp_path / "other", [name])


@needs("onnx")
@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (lambda path: lambda rows: {"probabilities": np.zeros((3, 7))}, "off by"),
        (lambda path: lambda rows: {"probabilities": np.full((3, 7), np.nan)}, "off by nan"),
    ],
)
def test_a_file_that_answers_otherwise_leaves_nothing_behind(broken, error, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "load", broken)
    with pytest.raises(UserError, match=rf"basic_rnn .* model.onnx \(.*{error}.*leave onnx out"):
        export(
            random_model(model="basic_rnn"), CLASSIFICATION, tmp_path, {}, ["saved_model", "onnx"]
        )
    assert list(tmp_path.iterdir()) == []


@needs("onnx", "litert")
def test_the_program_trains_and_exports_all_formats(run_main, tmp_path):
    small = ["--model=basic_rnn", "--units=5", "--steps=2", "--name=first"]
    formatted = f"--export_formats={','.join(ALL)}"
    assert run_main(*small).status == 0
    # One with fewer formats is not what is asked for.
    resumed = run_main("--resume", "--run=runs/first", formatted)
    assert "SavedModel: saved_models/basic_rnn/2" in resumed.stdout
    again = run_main("--resume", "--run=runs/first", formatted)
    assert "SavedModel: saved_models/basic_rnn/2" in again.stdout
    exported = run_main("--mode=export", "--run=runs/first", "--export_formats=saved_model,onnx")
    assert exported.stdout.splitlines()[-1] == "done: SavedModel: saved_models/basic_rnn/3"
    files = {
        version: {path.name for path in (tmp_path / f"saved_models/basic_rnn/{version}").iterdir()}
        for version in "123"
    }
    beside = {file for name in ALL[1:] for file in formats.FILES[name]}
    assert files["1"] == files["2"] - beside == files["3"] - {"model.onnx"}
    assert "model_card.json" in files["1"]
    card = tmp_path / "saved_models/basic_rnn/2/model_card.json"
    assert json.loads(card.read_text())["run"] == "first"


@pytest.mark.parametrize("mode", [[], ["--mode=export", "--run=runs/none"]])
def test_a_missing_package_is_told_before_any_work(mode, run_main, tmp_path, monkeypatch):
    monkeypatch.setitem(formats._PACKAGES, "onnx", ["a_package_no_one_has"])
    result = run_main("--export_formats=saved_model,onnx", *mode)
    assert result.status == 1
    assert_one_line_error(
        result,
        "--export_formats=saved_model,onnx: the package a_package_no_one_has is not installed",
        "pip install -r requirements-formats.txt",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            ["saved_model", "tflite"],
            "--export_formats=saved_model,tflite: 'tflite' is not a format",
        ),
        (["onnx"], "saved_model is missing"),
        ([], "--export_formats=: saved_model is missing"),
    ],
)
def test_unknown_formats_are_told(given, problem):
    with pytest.raises(UserError, match=rf"{problem}; expected saved_model.* any of onnx, litert"):
        check_formats(given)
