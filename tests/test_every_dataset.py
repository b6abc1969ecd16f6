"""Every generated dataset, and so every kind of answer, goes through the whole program."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import datasets
from configs import Config, UserError
from configs.option import value_type
from configs.scopes import EVERY_STEP, SCOPES, kind_of
from datasets import digits, lags
from export import formats
from export.saved_model import export
from models import create_model
from tasks import task_of
from tests.conftest import PROJECT, assert_one_line_error
from tests.export.test_formats import needs
from tests.serving.conftest import Server
from tests.training.test_resume import interrupt_before
from training import callbacks, checkpoint, runs
from training.evaluate import evaluate_run
from training.run import Run
from training.train import train
from tuning.search import Search, run_search
from tuning.space import parse_space

MODELS = {
    **{"adding": "lstm", "temporal_order": "basic_rnn", "first_row": "basic_rnn"},
    **{"reber": "basic_rnn", "blocks": "history_compressor", "copy": "ntm"},
}
NAMES = tuple(MODELS)
ANSWERS = {
    **{"adding": "number", "temporal_order": "class", "first_row": "bits"},
    **{"reber": "next_symbols", "blocks": "step_bits", "copy": "step_bits"},
}
AT_THE_END = tuple(name for name in NAMES if ANSWERS[name] not in EVERY_STEP)
# 25 sequences in batches of 10 make 3 steps an epoch.
SMALL = {"length": 12, "units": 5, "train_size": 25, "batch_size": 10, "epochs": 2}
RANDOM = {"dropout": 0.2, "ema": 0.8, "warmup": 0.2}
FLAGS = tuple(f"--{name}={value}" for name, value in SMALL.items())


def config_of(name, **values):
    settings = {"dataset": name, "model": MODELS[name], "mnist_dir": None, **SMALL}
    return Config(**settings | values)


def random_of(name):
    """`RANDOM`; a history compressor does not have dropout.

    With other numbers of steps between checkpoints, its results would differ by rounding.
    """
    instead = {"dropout": 0.0, "checkpoint_every": 1}
    return RANDOM | (instead if MODELS[name] == "history_compressor" else {})


def data_of(name, **values):
    """The dataset of a name; `first_row` is made of the embedded digits."""
    return lags.read(config_of(name, **values), digits.read)


def sequences_of(name, count, length):
    """Sequences of the dataset, of any length."""
    return data_of(name, length=length).test.inputs[:count, :length]


def task_named(name, **values):
    return task_of(lags._SPECS[name], config_of(name, **values))


def random_model(name, **values):
    model = create_model(config_of(name, **values), lags._SPECS[name])
    random = np.random.default_rng(1)
    model.set_weights([random.normal(scale=0.5, size=w.shape) for w in model.weights])
    return model


def predictions_of(name, model, sequences):
    """What the live model predicts, in NumPy, from its outputs."""
    outputs = np.asarray(model(sequences), np.float64)
    if ANSWERS[name] == "number":
        return {"values": outputs}
    if ANSWERS[name] == "next_symbols":
        return {"probabilities": 1 / (1 + np.exp(-outputs))}
    if ANSWERS[name] in ("bits", "step_bits"):
        probabilities = 1 / (1 + np.exp(-outputs))
        return {"probabilities": probabilities, "bits": probabilities > 0.5}
    shares = np.exp(outputs)
    probabilities = shares / shares.sum(axis=-1, keepdims=True)
    return {"probabilities": probabilities, "classes": probabilities.argmax(axis=-1)}


@pytest.fixture
def no_network(monkeypatch):
    """Let `first_row` be made of the embedded digits, as on a machine without a network."""

    def unavailable(name, *arguments):
        raise datasets.downloads.Unavailable(name, "there is no network")

    monkeypatch.setattr(datasets.tfds_images, "read", unavailable)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of every dataset by name."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: train(config_of(name, **random_of(name)), folder / name, data_of(name))
        for name in NAMES
    }


def result(run):
    """The weights, the history and the metrics of a run, without its times."""
    metrics = run.metrics()
    del metrics["training"]["seconds"], metrics["training"]["sequences_per_second"]
    del metrics["wall_seconds"]
    return [w.tobytes() for w in run.load_model().get_weights()], run.history(), metrics


MOMENTS = {
    "within the first epoch": ((callbacks.WriteCheckpoints, "on_train_batch_end"), 2),
    "after an epoch": ((Run, "save_history"), 1),
    "within the second epoch": ((checkpoint, "save"), 3),
    "after the evaluation": ((Run, "save_metrics"), 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_run_killed_again_and_again_ends_with_the_same_bits(name, trained, tmp_path, monkeypatch):
    folder = tmp_path / name
    config = config_of(name, **random_of(name) | {"checkpoint_every": 1})
    for method, call in MOMENTS.values():
        with monkeypatch.context() as patch:
            interrupt_before(patch, method, call)
            with pytest.raises(InterruptedError):
                train(config, folder, data_of(name), resume=True)
    resumed = train(config, folder, data_of(name), resume=True)
    assert result(resumed) == result(trained[name])


@pytest.mark.parametrize("name", NAMES)
def test_the_record_of_a_run_says_what_was_trained(name, trained):
    run = trained[name]
    metrics = run.metrics()
    # Each epoch of a stream begins at another step, so that it has fewer sequences.
    taken = (4, 40) if kind_of(name).stream else (6, 50)
    assert (metrics["training"]["steps"], metrics["training"]["sequences"]) == taken
    assert metrics["dataset"]["name"] == metrics["dataset"]["requested"] == name
    assert metrics["test"]["sequences"] == 2560
    score = task_named(name).metric
    for epoch in run.history():
        assert set(epoch) == {"loss", score, "val_loss", f"val_{score}", "learning_rate"} & {*epoch}
        assert {"loss", score, "val_loss", f"val_{score}"} <= set(epoch)
    pictures = {path.stem for path in run.folder.glob("*.png")}
    assert pictures == {"curves", "confusion" if ANSWERS[name] == "class" else "answers"}


@pytest.mark.parametrize("name", NAMES)
def test_evaluate_gives_the_numbers_of_the_training(name, trained, run_main, no_network):
    run = trained[name]
    done = run_main("--mode=evaluate", f"--run={run.folder}", f"--dataset={name}")
    assert done.stdout.splitlines()[-1] == (
        f"done: {run.metrics()['summary']}, see {run.folder}/evaluations/{name}.json"
    )
    evaluated = json.loads((run.folder / f"evaluations/{name}.json").read_text())
    assert evaluated == run.metrics()["test"]


def test_sequences_of_other_lengths_are_judged_with_a_memory_of_another_size(trained, run_main):
    run = trained["copy"]
    asked = ["--dataset=copy", "--length=5", "--min_length=5", "--memory_slots=9"]
    done = run_main("--mode=evaluate", f"--run={run.folder}", *asked)
    path = run.folder / "evaluations/copy-length-5-min_length-5-memory_slots-9.json"
    assert done.stdout.endswith(f"see {path}\n"), done.stderr
    values = {"length": 5, "min_length": 5, "memory_slots": 9}
    model = create_model(config_of("copy", **values), lags._SPECS["copy"])
    model.set_weights(run.load_model().get_weights())
    test = data_of("copy", length=5, min_length=5).test
    expected = task_named("copy").evaluate(model, test).metrics()
    assert json.loads(path.read_text()) == pytest.approx(expected, abs=1e-5)
    refused = run_main("--mode=evaluate", f"--run={run.folder}", *asked, "--memory_width=3")
    assert_one_line_error(refused, "--memory_width=3", "cannot be changed (only --dataset, ")


def test_a_run_is_not_evaluated_on_other_sequences(trained):
    for name, other in [("adding", "first_row"), ("first_row", "temporal_order")]:
        with pytest.raises(UserError, match=rf"--dataset={other}: .*expected a dataset with the"):
            evaluate_run(trained[name], config_of(other), data_of(other))


def test_all_runs_are_listed_with_their_scores(trained, run_main):
    folder = trained["adding"].folder.parent
    lines = run_main("--mode=list", f"--runs_dir={folder}").stdout.splitlines()[1:]
    assert sorted(line.split()[:4] for line in lines) == sorted(
        [name, f"{MODELS[name]}-5", name, trained[name].metrics()["score"]] for name in NAMES
    )


def test_runs_are_compared_if_their_scores_are_the_same(trained, run_main):
    folder = trained["adding"].folder.parent
    for name, other in [("adding", "first_row"), ("temporal_order", "adding")]:
        refused = run_main("--mode=compare", f"--runs={name},{other}", f"--runs_dir={folder}")
        assert_one_line_error(refused, f"{folder}/{name}", f"{folder}/{other}", "different scores")
    for name in NAMES:
        assert runs.compare([trained[name].folder], folder).read_bytes()[1:4] == b"PNG"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_program_trains_and_exports_it(name, run_main, tmp_path, no_network):
    small = [f"--dataset={name}", "--model=basic_rnn", *FLAGS, "--steps=1", "--log_every=1"]
    done = run_main(*small, "--name=run")
    assert (done.status, "Traceback" in done.stderr) == (0, False)
    assert "SavedModel: saved_models/basic_rnn/1" in done.stdout
    flags = (tmp_path / "runs/run/flags.txt").read_text()
    assert f"--dataset={name}\n" in flags
    assert "--length=12\n" in flags
    again = run_main("--mode=export", "--run=runs/run")
    assert again.stdout.splitlines()[-1] == "done: SavedModel: saved_models/basic_rnn/2"


# By a name: a dataset, and a model that may differ from that of `trained`.
EXPORTED = {
    "adding": ("adding", {}),
    "temporal_order": ("temporal_order", {}),
    "first_row": ("first_row", {}),
    "reber": ("reber", {}),
    "fully_recurrent": ("blocks", {"model": "fully_recurrent"}),
    "blocks": ("blocks", {}),
    "copy": ("copy", {}),
    "layers": ("adding", {"model": "bidirectional_gru", "layers": 2}),
    "last": ("temporal_order", {"model": "bidirectional_gru", "head": "last"}),
}
MORE_EXPORTED = {
    f"{name}-{number}": (name, {"model": "bidirectional_gru", **values})
    for name in AT_THE_END
    for number, values in enumerate([{"head": "backward"}, {"layers": 2, "head": "last"}])
}

# Loads models in a process that has only TensorFlow and no accelerator.
_STRANGER = """
import os, sys, importlib.util
os.environ["CUDA_VISIBLE_DEVICES"] = ""
for name in ("models", "export", "configs", "training", "tasks"):
    assert importlib.util.find_spec(name) is None, name
import numpy as np, tensorflow as tf
answers, inputs = {}, np.load("inputs.npz")
for name in sys.argv[1:]:
    signatures = tf.saved_model.load(f"saved_models/{name}/1").signatures
    answers[f"{name}/signatures"] = sorted(signatures)
    given = signatures["serving_default"].structured_input_signature[1]
    answers[f"{name}/shape"] = [size or -1 for size in given["sequences"].shape]
    for length in ("12", "5"):
        for signature in ("serving_default", "trace"):
            values = signatures[signature](sequences=tf.constant(inputs[f"{name}/{length}"]))
            for key, value in values.items():
                answers[f"{name}/{length}/{signature}/{key}"] = value.numpy()
np.savez("answers.npz", **answers)
"""
LENGTHS = (12, 5)


def ask_stranger(exported, folder):
    """Export models; what a process without this project makes of them."""
    models, inputs = {}, {}
    features = {
        "adding": 2,
        "temporal_order": 8,
        "first_row": 28,
        "reber": 7,
        "delayed_xor": 2,
        "blocks": 52,
        "copy": 9,
    }
    for key, (name, values) in exported.items():
        models[key] = random_model(name, **values)
        export(models[key], task_named(name, **values), folder / "saved_models" / key, card={})
        for length in LENGTHS:
            shape = (3, length, features[name])
            inputs[f"{key}/{length}"] = np.random.default_rng(length).random(shape, np.float32)
    np.savez(folder / "inputs.npz", **inputs)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-c", _STRANGER, *exported]
    subprocess.run(command, cwd=folder, check=True, env=environment)
    return models, inputs, np.load(folder / "answers.npz")


def assert_answers(key, name, models, inputs, answers):
    """A process without this project got the live model's predictions, and those of every step."""
    task, model = task_named(name), models[key]
    assert answers[f"{key}/signatures"].tolist() == ["serving_default", "trace"]
    assert answers[f"{key}/shape"].tolist() == [-1, -1, model.input_shape[-1]]
    for length in LENGTHS:
        sequences = inputs[f"{key}/{length}"]
        for output, expected in predictions_of(name, model, sequences).items():
            found = answers[f"{key}/{length}/serving_default/{output}"]
            assert found.dtype == (np.int64 if output in ("bits", "classes") else np.float32)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        steps = answers[f"{key}/{length}/trace/{task.output}"]
        for step in (1, 3, length):
            expected = predictions_of(name, model, sequences[:, :step])[task.output]
            if name not in AT_THE_END:
                expected = expected[:, -1]
            np.testing.assert_allclose(steps[:, step - 1], expected, rtol=0, atol=1e-5)
        states = [f for f in answers.files if f.startswith(f"{key}/{length}/trace/")]
        assert any(file.endswith("hidden") for file in states)
        for file in states:
            assert answers[file].shape[:2] == (3, length)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return ask_stranger(EXPORTED, tmp_path_factory.mktemp("stranger"))


@pytest.mark.slow
@pytest.mark.parametrize("key", EXPORTED)
def test_a_process_without_this_project_reads_sequences_of_any_length(key, stranger):
    assert_answers(key, EXPORTED[key][0], *stranger)


@pytest.mark.slow
def test_every_bidirectional_model_is_exported_for_every_answer(tmp_path):
    asked = ask_stranger(MORE_EXPORTED, tmp_path)
    for key, (name, _) in MORE_EXPORTED.items():
        assert_answers(key, name, *asked)


@pytest.mark.slow
def test_the_server_answers_for_sequences(tmp_path):
    models = {name: random_model(name, model="basic_rnn") for name in NAMES}
    for name, model in models.items():
        export(model, task_named(name), tmp_path / name, card={"run": name})
    server = Server(tmp_path)
    try:
        server.wait_until(server.is_ready)
        for name, model in models.items():
            for length in (12, 7):
                sequences = sequences_of(name, 2, 12)[:, :length]
                answer = server.predict(name, instances=sequences.tolist()).json()
                expected = predictions_of(name, model, sequences)
                for number, found in enumerate(answer["predictions"]):
                    if not isinstance(found, dict):
                        found = {task_named(name).output: found}
                    assert set(found) == set(expected)
                    for output, values in expected.items():
                        np.testing.assert_allclose(found[output], values[number], atol=1e-5)
            refused = server.predict(name, instances=sequences[..., :1].tolist())
            assert refused.status_code == 400
    finally:
        assert server.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_tuner_searches_on_it(name, tmp_path):
    config = config_of(name, model="basic_rnn", epochs=1)
    search = Search(config, parse_space("units:3|4"), "grid", max_latency_ms=1000)
    _, best = run_search(search, tmp_path / "tune", data_of(name))
    with open(tmp_path / "tune/trials.csv", newline="") as file:
        trials = list(csv.DictReader(file))
    assert [(row["units"], row["status"]) for row in trials] == [
        ("3", "completed"),
        ("4", "completed"),
    ]
    assert best.score == max(float(row["score"]) for row in trials)


@needs("onnx")
@pytest.mark.parametrize("name", NAMES)
def test_onnx_gives_the_live_models_predictions_for_any_length(name, tmp_path):
    model = random_model(name, model="basic_rnn")
    formats.write(model, task_named(name), tmp_path, ["onnx"])
    predict = formats.load(tmp_path / "model.onnx")
    for size, length in [(3, 12), (1, 7), (17, 40)]:
        sequences = np.random.default_rng(size).random((size, length, model.input_shape[-1]))
        found = predict(sequences.astype(np.float32))
        expected = predictions_of(name, model, sequences)
        assert set(found) == set(expected)
        for output, values in expected.items():
            np.testing.assert_allclose(found[output], values, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_litert_is_refused_before_the_training(name, run_main, tmp_path, monkeypatch):
    monkeypatch.setitem(formats._PACKAGES, "litert", [])
    refused = run_main(f"--dataset={name}", *FLAGS, "--export_formats=saved_model,litert")
    assert_one_line_error(
        refused, "--export_formats=saved_model,litert: litert needs a fixed number of steps"
    )
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match=r"litert needs a fixed number of steps.*leave litert out"):
        export(random_model(name), task_named(name), tmp_path, {}, ["saved_model", "litert"])
    assert list(tmp_path.iterdir()) == []


def other_value(field):
    """A valid value of a field of `Config` that is not its default."""
    if field.metadata["choices"]:
        return next(c for c in field.metadata["choices"] if c != field.default)
    if field.metadata["parse"]:
        return {"curriculum": "10,100", "repeats": "2"}[field.name]
    return {bool: True, float: 0.5, int: 13, str: "somewhere"}[value_type(field)]


def out_of_scope():
    """Every dataset with the first field of each scope of `Config` in which it is not."""
    first = {field.metadata["scope"]: field for field in reversed(dataclasses.fields(Config))}
    for name in (*NAMES, "digits"):
        for scope, field in first.items():
            if scope and SCOPES[scope].flag == "dataset" and not SCOPES[scope].contains(name):
                yield name, field


@pytest.mark.parametrize(
    ("name", "field"), [pytest.param(n, f, id=f"{n}-{f.name}") for n, f in out_of_scope()]
)
def test_a_flag_of_other_datasets_is_one_clear_error(name, field, run_main, tmp_path):
    value = other_value(field)
    refused = run_main(f"--dataset={name}", f"--{field.name}={value}")
    scope = SCOPES[field.metadata["scope"]]
    assert_one_line_error(
        refused,
        f"--{field.name}={value}: --dataset={name} {scope.otherwise}; expected {scope.words}",
    )
    assert list(tmp_path.iterdir()) == []


# The program; `first_row` is made of the embedded digits without asking for the network.
_PROGRAM = """
import sys
sys.path.insert(0, {project!r})
import datasets
from datasets import digits
datasets._read_images = lambda name, config: digits.read()
import main
main.run_script(main.main)
"""


# One that draws its sequences, and one that carries the states of a stream.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["first_row", "blocks"])
def test_a_run_killed_by_sigkill_ends_with_the_same_bits(name, tmp_path):
    program = _PROGRAM.format(project=str(PROJECT))
    flags = [f"--dataset={name}", "--model=basic_rnn", *FLAGS, "--epochs=90", "--dropout=0.2"]
    if kind_of(name).stream:
        flags.append("--steps_per_batch=10")  # It also makes the validation short.
    command = [sys.executable, "-c", program, *flags, "--checkpoint_every=1", "--resume"]
    command += ["--name=run", "--log_every=1"]

    def start(folder):
        folder.mkdir(exist_ok=True)
        return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait() == 0
    for steps in (20, 71, 150):
        process = start(killed)
        path = killed / "runs/run/checkpoints"
        while process.poll() is None and not any(int(p.stem) >= steps for p in path.glob("0*.npz")):
            time.sleep(0.005)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not Run(killed / "runs/run").metrics()
    assert start(killed).wait() == 0
    assert result(Run(killed / "runs/run")) == result(Run(whole / "runs/run"))
    assert (killed / "saved_models/basic_rnn/1/saved_model.pb").is_file()


# Two devices of one processor. A process of its own, since TensorFlow has its devices for good.
_MIRRORED = """
import sys
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.test_every_dataset import config_of, data_of
from training.distributed.distribution import Distribution
from training.train import train
name, folder = sys.argv[1:]
train(config_of(name), folder, data_of(name), distribution=Distribution("mirrored"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adding", "first_row", "reber"])
def test_two_devices_train_to_the_weights_of_one(name, tmp_path):
    one = train(config_of(name), tmp_path / "one", data_of(name))
    command = [sys.executable, "-c", _MIRRORED, name, tmp_path / "two"]
    subprocess.run(command, cwd=PROJECT, check=True)
    two = Run(tmp_path / "two")
    assert two.metrics()["training"]["replicas"] == 2
    for w, v in zip(one.load_model().weights, two.load_model().weights, strict=True):
        np.testing.assert_allclose(w, v, rtol=0, atol=1e-5)
    for epoch, same_epoch in zip(one.history(), two.history(), strict=True):
        assert epoch == pytest.approx(same_epoch, abs=1e-4)
