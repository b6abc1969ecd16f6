"""A model of text goes through the whole program, and writes."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import datasets
from commands.generate import generate
from configs import Config, UserError
from datasets.vocabulary import Vocabulary
from export.saved_model import export
from export.writing import write_text
from models import create_model
from tasks import task_of
from tests.conftest import PROJECT, assert_one_line_error
from tests.serving.conftest import Server
from tests.test_every_dataset import MOMENTS
from tests.training.test_resume import interrupt_before
from training.run import Run
from training.train import train

SMALL = {"units": 6, "batch_size": 4, "steps_per_batch": 10, "epochs": 2, "model": "gru"}
RANDOM = {"layers": 2, "dropout": 0.2, "recurrent_dropout": 0.1, "ema": 0.8, "embedding_size": 3}
FLAGS = tuple(f"--{name}={value}" for name, value in SMALL.items())
SETTINGS = {"length": 23, "temperature": 0.9, "top_k": 0, "seed": 5}


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    """A text of 900 characters: random words of few letters, in lines."""
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("abcdeé"), random.integers(1, 6))) for _ in range(20)]
    text = " ".join(random.choice(words, 400)).replace(" a", "\na")[:900]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(text, encoding="utf-8")
    return path


def config_of(text_file, **values):
    return Config(dataset="text", text_file=str(text_file), **SMALL | values)


def random_model(text_file, **values):
    config = config_of(text_file, **values)
    spec = datasets.load(config).spec
    model = create_model(config, spec)
    random = np.random.default_rng(1)
    model.set_weights([random.normal(scale=0.5, size=w.shape) for w in model.weights])
    return model, task_of(spec, config)


@pytest.fixture(scope="module")
def trained(text_file, tmp_path_factory):
    return train(config_of(text_file, **RANDOM), tmp_path_factory.mktemp("runs") / "whole")


def result(run):
    """The weights, the history and the test metrics of a run."""
    weights = [w.tobytes() for w in run.load_model().get_weights()]
    return weights, run.history(), run.metrics()["test"], run.vocabulary()


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_interrupted_with_states_in_it_ends_with_the_same_bits(
    moment, trained, text_file, tmp_path, monkeypatch
):
    config = config_of(text_file, **RANDOM, checkpoint_every=1)
    with monkeypatch.context() as patch:
        interrupt_before(patch, *MOMENTS[moment])
        with pytest.raises(InterruptedError):
            train(config, tmp_path / "run", resume=True)
    resumed = train(config, tmp_path / "run", resume=True)
    assert result(resumed) == result(trained)


@pytest.mark.slow
def test_the_states_of_an_epoch_go_from_batch_to_batch(text_file, tmp_path):
    """With a rate of nearly 0, the loss of an epoch is that of long tracks, not of short pieces."""
    config = config_of(text_file, epochs=1, learning_rate=1e-12, schedule="constant")
    data = datasets.load(config)
    run = train(config, tmp_path / "run", data)
    task, model = task_of(data.spec, config), run.load_model()
    inputs, targets = (
        np.concatenate(parts, axis=1)
        for parts in zip(
            *(
                batch
                for batch in data.train.batches(4, config.seed)
                .take(data.train.steps_per_epoch(4))
                .as_numpy_iterator()
            ),
            strict=True,
        )
    )
    long = task.judge(model.predict_on_batch(inputs), targets).loss
    pieces = inputs.reshape(-1, 10), targets.reshape(-1, 10)
    short = task.judge(model.predict_on_batch(pieces[0]), pieces[1]).loss
    assert run.history()[0]["loss"] == pytest.approx(long, rel=1e-6)
    assert abs(long - short) > 1e-5


@pytest.mark.slow
def test_the_validation_of_an_epoch_begins_with_states_of_0(text_file, tmp_path):
    config = config_of(text_file, epochs=1)
    data = datasets.load(config)
    run = train(config, tmp_path / "run", data)
    length = (len(data.validation.symbols) - 1) // 4
    assert (len(data.validation.symbols) - 1) % 4 == 1  # One track is longer.
    starts = [0, length + 1, 2 * length + 1, 3 * length + 1]
    nats = []
    for start, size in zip(starts, [length + 1, length, length, length], strict=True):
        symbols = data.validation.symbols[start : start + size + 1][None]
        outputs = run.load_model().predict_on_batch(symbols[:, :-1])
        nats.extend(task_of(data.spec, config).judge(outputs, symbols[:, 1:]).nats)
    # Keras weighs batches by their tracks, and the last one has a single step.
    assert run.history()[0]["val_loss"] == pytest.approx(np.mean(nats), rel=0.1)


def test_the_record_has_the_vocabulary_and_the_perplexity(trained, text_file):
    symbols = Vocabulary.of(text_file.read_text()[:720], "characters").symbols
    assert trained.vocabulary() == symbols
    metrics = trained.metrics()
    assert metrics["test"]["characters"] == 89
    assert metrics["score"] == f"perplexity {metrics['test']['perplexity']:.4g}"
    assert metrics["test"]["perplexity"] == pytest.approx(np.exp(metrics["test"]["loss"]))
    assert metrics["dataset"]["spec"]["vocabulary"] == len(symbols)
    assert {path.stem for path in trained.folder.glob("*.png")} == {"curves", "surprise"}


def test_evaluate_list_and_compare_show_the_perplexity(trained, run_main):
    dataset = "--dataset=text"
    done = run_main("--mode=evaluate", f"--run={trained.folder}", dataset)
    assert done.stdout.splitlines()[-1] == (
        f"done: {trained.metrics()['summary']}, see {trained.folder}/evaluations/text.json"
    )
    evaluated = json.loads((trained.folder / "evaluations/text.json").read_text())
    assert evaluated == trained.metrics()["test"]
    folder = trained.folder.parent
    _, line = run_main("--mode=list", f"--runs_dir={folder}").stdout.splitlines()
    assert trained.metrics()["score"] in line
    done = run_main("--mode=compare", "--runs=whole", f"--runs_dir={folder}", dataset)
    assert done.status == 0


@pytest.mark.parametrize("model", ["lstm", pytest.param("peephole_lstm", marks=pytest.mark.slow)])
def test_python_the_saved_model_and_the_program_write_the_same_text(
    model, text_file, tmp_path, run_main, capfd
):
    import tensorflow as tf

    config = config_of(text_file, model=model, epochs=1)
    run = train(config, tmp_path / "runs/run")
    expected = "".join(write_text(run, "abé", **SETTINGS, part=4))
    assert len(expected) == 23

    flags = [f"--{name}={value}" for name, value in SETTINGS.items()]
    capfd.readouterr()  # What the training said.
    done = run_main("--mode=generate", "--run=run", "--prompt=abé", "--dataset=text", *flags)
    assert done.stdout == f"abé{expected}\n"

    task = task_of(run.spec(run.load_model()), config)
    path = export(run.load_model(), task, tmp_path / "exported", card={})
    signatures = tf.saved_model.load(str(path)).signatures
    written = signatures["generate"](
        prompt=tf.constant(["abé", "b"]),
        length=tf.constant(23),
        temperature=tf.constant(0.9),
        top_k=tf.constant(0),
        seed=tf.constant(5),
    )
    assert written["text"].numpy()[0].decode() == expected


# Loads a model in a process that has only TensorFlow.
_STRANGER = """
import importlib.util, numpy as np
for name in ("models", "export", "configs", "training", "tasks"):
    assert importlib.util.find_spec(name) is None, name
import tensorflow as tf
signatures = tf.saved_model.load("exported/1").signatures
assert sorted(signatures) == ["decode", "generate", "serving_default", "step", "trace"]
texts = tf.constant(["abé ab?", "d"])
answers = {f"default/{k}": v for k, v in signatures["serving_default"](text=texts).items()}
answers |= {f"trace/{k}": v for k, v in signatures["trace"](text=texts).items()}
ids = answers["trace/ids"][:1]
states = {f"state_{n}": tf.zeros((1, 6)) for n in range(2)}
for n in range(ids.shape[1]):
    states = signatures["step"](ids=ids[:, n], **states)
    answers[f"step/{n}"] = states.pop("probabilities")
np.savez("answers.npz", **answers)
"""


@pytest.mark.slow
def test_a_process_without_this_project_reads_texts(text_file, tmp_path):
    model, task = random_model(text_file, layers=2)
    export(model, task, tmp_path / "exported", card={})
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-c", _STRANGER]
    subprocess.run(command, cwd=tmp_path, check=True, env=environment)
    found = np.load(tmp_path / "answers.npz")

    ids = Vocabulary(task.spec.vocabulary).encode("abé ab?")
    assert ids[-1] == 0
    np.testing.assert_array_equal(found["trace/ids"], [ids, [*ids[:0], *_padded("d", task, 7)]])
    outputs = model.predict_on_batch(ids[None])
    probabilities = np.exp(outputs[0]) / np.exp(outputs[0]).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found["trace/probabilities"][0], probabilities, atol=1e-5)
    np.testing.assert_allclose(found["default/probabilities"][0], probabilities[-1], atol=1e-5)
    for n, expected in enumerate(probabilities):
        np.testing.assert_allclose(found[f"step/{n}"][0], expected, atol=1e-5)
    bits = -np.log2(probabilities[np.arange(6), ids[1:]])
    np.testing.assert_allclose(found["trace/bits"][0], [0, *bits], atol=1e-4)
    assert not found["trace/bits"][1].any()
    np.testing.assert_allclose(found["default/perplexity"], [2 ** bits.mean(), 1], rtol=1e-4)
    assert found["trace/forward_1_hidden"].shape == (2, 7, 6)


def _padded(text, task, steps):
    ids = Vocabulary(task.spec.vocabulary).encode(text)
    return [*ids, *[-1] * (steps - len(ids))]


@pytest.mark.slow
def test_the_server_answers_for_texts_and_writes_what_python_writes(text_file, tmp_path):
    config = config_of(text_file, model="lstm", epochs=1)
    run = train(config, tmp_path / "runs/run")
    task = task_of(run.spec(run.load_model()), config)
    export(run.load_model(), task, tmp_path / "lstm", card={})
    server = Server(tmp_path)
    try:
        server.wait_until(server.is_ready)
        answer = server.predict("lstm", instances=["abé", "d"]).json()["predictions"]
        names = ["perplexity", "probabilities", "state_0", "state_1"]
        assert [sorted(each) for each in answer] == [names] * 2
        assert sum(answer[0]["probabilities"]) == pytest.approx(1, abs=1e-5)
        inputs = {"prompt": ["abé"], **SETTINGS}
        written = server.predict("lstm", signature_name="generate", inputs=inputs).json()
        assert written["outputs"] == ["".join(write_text(run, "abé", **SETTINGS, part=7))]
    finally:
        assert server.stop() == 0


@pytest.mark.slow
def test_a_run_killed_by_sigkill_ends_with_the_same_bits(text_file, tmp_path):
    command = [sys.executable, PROJECT / "main.py", "--dataset=text", f"--text_file={text_file}"]
    command += [*FLAGS, "--epochs=20", "--dropout=0.2", "--checkpoint_every=1", "--resume"]

    def start(folder):
        folder.mkdir(exist_ok=True)
        return subprocess.Popen(
            [*command, "--name=run"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait() == 0
    for steps in (20, 71, 150):
        process = start(killed)
        path = killed / "runs/run/checkpoints"
        while process.poll() is None and not any(int(p.stem) >= steps for p in path.glob("0*.npz")):
            time.sleep(0.005)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert start(killed).wait() == 0
    assert result(Run(killed / "runs/run")) == result(Run(whole / "runs/run"))


def test_plateau_quarters_the_rate_after_each_epoch_that_is_not_the_best(text_file, tmp_path):
    from training.callbacks import DecayOnPlateau

    class Recorded:
        history = [{"val_loss": loss} for loss in (3.0, 2.0, 2.1, 2.0, 1.5)]

        class session:
            config = config_of(text_file, schedule="plateau", learning_rate=8.0)

    class Model:
        class optimizer:
            learning_rate = None

    callback = DecayOnPlateau(Recorded)
    callback.set_model(Model)
    callback.on_epoch_begin(5)
    assert Model.optimizer.learning_rate == 8.0 / 16  # 2.1 and the second 2.0.


@pytest.mark.slow
def test_plateau_is_the_same_after_an_interruption(text_file, tmp_path, monkeypatch):
    config = config_of(
        text_file, optimizer="sgd", learning_rate=30.0, schedule="plateau", clip_norm=1.0, epochs=5
    )
    whole = train(config, tmp_path / "whole")
    losses = [logs["val_loss"] for logs in whole.history()]
    assert any(loss >= min(losses[:n]) for n, loss in enumerate(losses) if n)
    with monkeypatch.context() as patch:
        interrupt_before(patch, (Run, "save_history"), 4)
        with pytest.raises(InterruptedError):
            train(config, tmp_path / "run")
    assert result(train(config, tmp_path / "run", resume=True)) == result(whole)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model=bidirectional_gru"], ["--model=bidirectional_gru", "--model=gru"]),
        (["--tie_embeddings"], ["--embedding_size=0", "expected --embedding_size=6"]),
        (["--schedule=plateau", "--validation_size=0"], ["--schedule=plateau", "no validation"]),
        (["--distribute=mirrored"], ["--distribute=mirrored", "carries its states"]),
        (["--export_formats=saved_model,onnx"], ["--export_formats=saved_model,onnx", "text"]),
        (["--rotation=3"], ["--rotation=3", "does not read images"]),
    ],
)
def test_a_mistake_with_a_text_is_one_line(flags, words, text_file, run_main, tmp_path):
    text = ["--dataset=text", f"--text_file={text_file}"]
    assert_one_line_error(run_main(*text, *FLAGS, *flags, "--name=run"), *words)
    assert not (tmp_path / "runs/run").exists()


def test_only_a_run_of_text_can_write(tmp_path):
    run = Run.create(tmp_path / "digits", Config(dataset="digits"))

    class flags:
        run, runs_dir = str(tmp_path / "digits"), "runs"

    with pytest.raises(UserError, match="--dataset=digits, which is not a text; expected a run of"):
        generate(flags)
    assert run.vocabulary() == ()
