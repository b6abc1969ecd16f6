import csv
import dataclasses
import errno
import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

from configs import Config, UserError
from datasets.dataset import images_spec
from models import create_model
from tasks import task_of
from tasks.smoothed_crossentropy import SmoothedCrossentropy
from tests.conftest import CLASSIFICATION, MNIST
from training.evaluate import evaluate_run
from training.optimizers import create_optimizer
from training.run import Run
from training.train import compile_model, train

# 37 training images in batches of 10: 4 steps an epoch.
TINY = Config(model="basic_rnn", units=5, epochs=3, batch_size=10, learning_rate=0.01)


def weights(run):
    return run.load_model().get_weights()


def replace(**values):
    return Config(**vars(TINY) | values)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A finished run of 3 epochs, to be left as it is."""
    folder = tmp_path_factory.mktemp("finished") / "runs" / "first"
    return train(replace(dataset="auto"), folder, data)


@pytest.fixture(scope="module")
def still(data, tmp_path_factory):
    """The weights after a step so small that it leaves them where they began."""
    config = replace(optimizer="sgd", learning_rate=1e-12, steps=1)
    return weights(train(config, tmp_path_factory.mktemp("still") / "run", data))


def test_a_run_leaves_everything_it_promises(finished):
    run = finished
    names = {path.name for path in run.folder.iterdir()}
    assert names == {
        *("checkpoints", "flags.txt", "history.csv", "metrics.json", "model.keras"),
        *("curves.png", "confusion.png", "mistakes.png"),
    }
    with open(run.history_path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert {"accuracy", "loss", "val_accuracy", "val_loss"} < set(rows[0])
    for picture in run.folder.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_metrics_count_every_test_image_and_are_right(data, finished):
    metrics = json.loads((finished.folder / "metrics.json").read_text())
    logits = np.array(finished.load_model()(data.test.inputs))
    predictions = logits.argmax(axis=-1)
    test = metrics["test"]
    assert test["images"] == 23
    assert test["accuracy"] == np.mean(predictions == data.test.targets)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert test["loss"] == pytest.approx(
        -log_probabilities[range(23), data.test.targets].mean(), 1e-5
    )
    for row in test["per_class"]:
        of_class, said = data.test.targets == row["class"], predictions == row["class"]
        hits = np.sum(of_class & said)
        assert row["images"] == of_class.sum()
        assert row["recall"] == pytest.approx(hits / of_class.sum())
        assert row["precision"] == pytest.approx(hits / max(said.sum(), 1))
    assert np.sum(test["confusion"]) == 23
    assert metrics["training"]["steps"] == 12
    assert metrics["training"]["images"] == 3 * 37
    assert metrics["parameters"] == 5 * (28 + 5 + 1) + 7 * (5 + 1)
    assert metrics["dataset"] == {
        "requested": "auto",
        "name": "random",
        "source": "drawn at random",
        "spec": {**dataclasses.asdict(data.spec), "shape": [28, 28], "vocabulary": 0},
        "train": 37,
        "validation": 11,
        "test": 23,
        "sha256": data.checksum(),
    }
    assert metrics["versions"]["keras"] == keras.__version__


@pytest.mark.slow
def test_the_seed_decides_the_first_weights(still, data, tmp_path):
    config = replace(seed=1, learning_rate=1e-12, steps=1)
    for matrix, other in zip(still, weights(train(config, tmp_path / "run", data)), strict=True):
        if matrix.ndim == 2:
            assert np.abs(matrix - other).max() > 0.01


@pytest.mark.slow
def test_steps_replace_epochs_even_in_the_middle_of_one(data, tmp_path):
    run = train(replace(steps=6, epochs=50), tmp_path / "run", data)
    assert run.metrics()["training"]["steps"] == 6
    assert run.metrics()["training"]["images"] == 37 + 20


@pytest.mark.parametrize(
    ("values", "steps", "at_once"),
    [
        ({}, 860, 10),
        ({}, 424, 2),
        ({}, 7, 1),
        ({"log_every": 15}, 860, 5),
        ({"scan": "pixels"}, 860, 1),
    ],
)
def test_steps_are_taken_together_as_long_as_they_come_out_even(values, steps, at_once):
    model = create_model(TINY, MNIST)
    compile_model(model, task_of(MNIST, replace(**values)), steps, 430)
    assert model.steps_per_execution == at_once


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon", "nadam", "rmsprop", "sgd"])
def test_every_optimizer_changes_every_weight(optimizer):
    model = create_model(replace(model="peephole_lstm"), MNIST)
    before = model.get_weights()
    gradients = [np.random.default_rng(0).normal(size=w.shape).astype("f4") for w in before]
    create_optimizer(replace(optimizer=optimizer), 10).apply(gradients, model.trainable_variables)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.all(np.isfinite(new))
        assert np.all(old != new)


def test_muon_turns_matrices_alone_and_leaves_the_head_to_adam():
    model = create_model(replace(model="peephole_lstm"), MNIST)
    before = [variable.numpy() for variable in model.trainable_variables]
    # Of rank one, for a step that is orthogonal is nothing like it.
    gradients = [np.ones_like(value) for value in before]
    rate = 0.001
    optimizer = create_optimizer(replace(optimizer="muon", learning_rate=rate), 10)
    optimizer.apply(gradients, model.trainable_variables)
    for old, variable in zip(before, model.trainable_variables, strict=True):
        by_adam = len(variable.shape) == 1 or variable.path.startswith("logits")
        assert np.allclose(old - variable.numpy(), rate, rtol=0.1) == by_adam


def test_clipping_bounds_the_step_by_the_global_norm(still, data, tmp_path):
    config = replace(optimizer="sgd", learning_rate=1.0, steps=1, clip_norm=0.01)
    clipped = weights(train(config, tmp_path / "clipped", data))
    changes = [new - old for old, new in zip(still, clipped, strict=True)]
    norm = np.sqrt(sum(np.sum(change**2) for change in changes))
    np.testing.assert_allclose(norm, 0.01, rtol=1e-3)


def test_the_learning_rate_rises_before_it_falls():
    rate = create_optimizer(replace(learning_rate=0.5, warmup=0.25), 40)._learning_rate
    assert [float(rate(step)) for step in (0, 5, 10)] == pytest.approx([0, 0.25, 0.5])
    assert [float(rate(step)) for step in (20, 25, 40)] == pytest.approx([0.375, 0.25, 0])


def test_weight_decay_takes_off_matrices_and_leaves_biases_and_peepholes():
    model = create_model(replace(model="peephole_lstm"), MNIST)
    for variable in model.trainable_variables:
        variable.assign(variable + 1)
    before = [variable.numpy() for variable in model.trainable_variables]
    optimizer = create_optimizer(
        replace(optimizer="sgd", learning_rate=0.5, schedule="constant", weight_decay=0.25), 10
    )
    optimizer.apply([0 * value for value in before], model.trainable_variables)
    for old, variable in zip(before, model.trainable_variables, strict=True):
        left = 1 - 0.5 * 0.25 if len(variable.shape) == 2 else 1
        np.testing.assert_allclose(variable.numpy(), left * old, rtol=1e-6)


def test_a_warm_up_of_nearly_all_steps_leaves_one_to_fall():
    rate = create_optimizer(replace(warmup=0.9), 4)._learning_rate
    assert float(rate(4)) == 0


@pytest.mark.parametrize("decay", [0.0, 0.25])
def test_weight_decay_reaches_all_that_muon_leaves_to_adam(decay):
    optimizer = create_optimizer(replace(optimizer="muon", weight_decay=decay), 10)
    assert optimizer.weight_decay == optimizer.adam_weight_decay == decay


@pytest.mark.parametrize("smoothing", [0, 0.3])
def test_the_loss_is_the_cross_entropy_with_smoothed_labels(smoothing):
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(4, 7)), np.array([2, 0, 6, 2])
    targets = (1 - smoothing) * np.eye(7)[labels] + smoothing / 7
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -(targets * log_probabilities).sum(axis=1).mean()
    loss = SmoothedCrossentropy.from_config(SmoothedCrossentropy(smoothing).get_config())
    assert float(loss(labels, logits)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_early_stopping_keeps_the_weights_with_the_best_validation_loss(data, tmp_path):
    config = replace(epochs=40, learning_rate=0.1, early_stopping_patience=2)
    run = train(config, tmp_path / "run", data)
    with open(run.history_path, newline="") as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    assert len(losses) < 40
    assert len(losses) == np.argmin(losses) + 1 + 2
    assert CLASSIFICATION.evaluate(run.load_model(), data.validation).loss == pytest.approx(
        min(losses), rel=1e-4
    )


@pytest.mark.slow
def test_training_on_all_images_needs_no_validation_and_logs_to_tensorboard(data, tmp_path):
    everything = dataclasses.replace(data, validation=data.validation[:0])
    run = train(replace(tensorboard=True, epochs=1), tmp_path / "run", everything)
    assert run.metrics()["dataset"]["validation"] == 0
    assert list(run.tensorboard_path.rglob("events.out.tfevents.*"))


@pytest.mark.slow
def test_the_tutorials_prints_show_the_accuracy_of_the_steps_since_the_last(data, tmp_path, capsys):
    # At a learning rate of next to nothing the accuracy of 3 steps can be computed afterwards.
    # An epoch has 4 steps: the second line spans two of them.
    config = replace(learning_rate=1e-12, log_every=3, epochs=2)
    run = train(config, tmp_path / "run", data)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert [int(line.split()[1]) for line in lines] == [3, 6]

    model, right = run.load_model(), []
    for images, labels in data.train.batches(10, config.seed).take(8).as_numpy_iterator():
        right.append(np.argmax(model(images), axis=-1) == labels)
    for line, three in zip(lines, [(0, 1, 2), (3, 4, 5)], strict=True):
        expected = np.mean(np.concatenate([right[step] for step in three]))
        assert float(line.split()[-1].rstrip("%")) == pytest.approx(100 * expected, abs=0.01)


def test_an_existing_folder_is_refused_and_left_as_it_is(data, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="exists; expected the name of a new run"):
        train(TINY, folder, data)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_a_run_is_evaluated_on_another_dataset_whatever_its_split(finished, data, tmp_path):
    run = Run(pathlib.Path(shutil.copytree(finished.folder, tmp_path / "run")))
    other = dataclasses.replace(data, name="other/images", test=data.train)
    evaluation, path = evaluate_run(run, replace(validation_size=11), other)
    assert path == tmp_path / "run/evaluations/other-images.json"
    assert json.loads(path.read_text()) == evaluation.metrics()
    assert len(evaluation.labels) == 37


@pytest.mark.parametrize("classes", [6, 8])
def test_another_number_of_classes_is_refused(classes, finished, data):
    other = dataclasses.replace(data, spec=images_spec(classes))
    with pytest.raises(
        UserError,
        match=f"--dataset=random: it has images, {classes} classes, .* images, 7 classes; expected",
    ):
        evaluate_run(finished, TINY, other)


def test_a_disk_that_fills_up_leaves_the_last_whole_model(data, tmp_path, monkeypatch):
    save, calls = keras.Model.save, []

    def save_until_full(model, path):
        calls.append(path)
        if len(calls) == 2:
            path.write_bytes(b"half a model")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(model, path)

    monkeypatch.setattr(keras.Model, "save", save_until_full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/run/model\.keras'"):
        train(TINY, tmp_path / "run", data)
    run = Run.open(tmp_path / "run")
    assert run.load_model().count_params() == 212  # As of the first epoch.
    names = {"checkpoints", "flags.txt", "history.csv", "model.keras"}
    assert {path.name for path in run.folder.iterdir()} == names


def test_evaluation_does_not_depend_on_the_order_of_the_images(finished, data):
    model = finished.load_model()
    forward, backward = (
        CLASSIFICATION.evaluate(model, data.test),
        CLASSIFICATION.evaluate(model, data.test[::-1]),
    )
    assert forward.accuracy == backward.accuracy
    assert forward.loss == pytest.approx(backward.loss, 1e-6)


def test_a_failed_write_leaves_the_old_file(data, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", TINY)
    run.save_metrics({"accuracy": 0.5})
    with pytest.raises(TypeError):
        run.save_metrics({"accuracy": object()})
    assert run.metrics() == {"accuracy": 0.5}
    assert {path.name for path in run.folder.iterdir()} == {"flags.txt", "metrics.json"}
