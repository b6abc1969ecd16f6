"""A loss that explodes is stopped and explained."""

import keras
import numpy as np
import pytest

from configs import Config, UserError
from models import create_model
from tasks import task_of
from training import callbacks, runs
from training.distributed.distribution import Distribution
from training.divergence import Diverged, explain
from training.progress import Progress
from training.run import Run
from training.session import Session
from training.train import compile_model, train

# Steps of this size throw the weights so far that the loss explodes at once.
TOO_FAST = Config(
    **{"model": "irnn", "units": 5, "optimizer": "adam", "learning_rate": 1000},
    **{"batch_size": 10, "epochs": 9, "schedule": "constant"},
)


def test_a_loss_that_explodes_ends_the_run_with_its_step_and_keeps_a_good_checkpoint(
    data, tmp_path
):
    with pytest.raises(
        UserError, match=r"^diverged at step 3: the loss .* is .*, the gradient's norm .* after "
    ) as e:
        train(TOO_FAST, tmp_path / "run", data)
    again = f"(python main.py --resume --detect_anomaly --run={tmp_path}/run names the layer)"
    for text in ("checkpoint of step 0 is kept", "--clip_norm=1", "below 1000", again):
        assert text in str(e.value)
    assert "logits" not in str(e.value)
    (path,) = Run(tmp_path / "run").checkpoints_path.iterdir()
    with np.load(path) as archive:
        assert all(np.isfinite(archive[n]).all() for n in archive.files if n != "progress")


@pytest.mark.slow
def test_a_run_that_diverged_is_listed_as_such_until_it_goes_on(data, tmp_path, monkeypatch):
    with pytest.raises(UserError) as error:
        train(TOO_FAST, tmp_path / "run", data)
    assert runs.table(tmp_path).endswith("  diverged at step 3")
    assert Run(tmp_path / "run").diverged_path.read_text() == str(error.value)

    def interrupt(callback, batch, logs):
        raise InterruptedError

    monkeypatch.setattr(callbacks.CheckDivergence, "on_train_batch_end", interrupt)
    with pytest.raises(InterruptedError):
        train(TOO_FAST, tmp_path / "run", data, resume=True)
    assert "interrupted: " in runs.table(tmp_path)


@pytest.fixture
def session(data, tmp_path):
    run, task = Run.create(tmp_path / "run", TOO_FAST), task_of(data.spec, TOO_FAST)
    return Session(run, TOO_FAST, data, task, Distribution(), "random")


@pytest.fixture
def called(session, data):
    """The callbacks of a training in the last but one step of an epoch of 4."""
    model = create_model(TOO_FAST, data.spec)
    compile_model(model, session.task, 36, 4)
    progress = Progress(session, model)
    progress.restore()
    called = keras.callbacks.CallbackList(
        callbacks.create_callbacks(progress, lambda: None), model=model, steps=4
    )
    called.on_train_begin()
    called.on_epoch_begin(0)
    for step in range(3):
        model.optimizer.iterations.assign(step + 1)
        called.on_train_batch_end(step, {"loss": 2.0})
    model.optimizer.iterations.assign(4)
    return called


def test_a_loss_that_explodes_late_in_an_epoch_is_seen_in_spite_of_its_mean(called):
    with pytest.raises(Diverged, match=r"the loss is 1\.\d*e\+03"):
        called.on_train_batch_end(3, {"loss": 250.0})  # Of 37 images the last 7 are new.


@pytest.mark.parametrize("lost", ["weight", "velocity", "validation"])
def test_nothing_is_written_of_an_epoch_that_diverged(lost, called, session):
    model = called.callbacks[-1].model
    variables = {"weight": model.variables, "velocity": model.optimizer.variables}
    if lost in variables:
        variables[lost][-1].assign(variables[lost][-1] * np.nan)
    with pytest.raises(Diverged):
        called.on_epoch_end(0, {"loss": 2.0, "val_loss": np.nan if lost == "validation" else 2.0})
    assert not session.run.model_path.exists()
    assert not session.run.history_path.exists()


@pytest.mark.parametrize(
    ("weight", "value", "told"),
    [
        (0, np.nan, "the first layer whose output is not finite is recurrent_1"),
        (-1, np.inf, "the first layer whose output is not finite is logits"),
        (-2, 1e20, "the gradient of recurrent_1's .* is largest"),
    ],
)
def test_detect_anomaly_names_the_layer_it_began_in(weight, value, told, data):
    config = Config(**vars(TOO_FAST) | {"detect_anomaly": True})
    model, task = create_model(config, data.spec), task_of(data.spec, config)
    compile_model(model, task, 36, 4)
    variable = model.trainable_variables[weight]
    variable.assign(
        value * np.linspace(1, 2, num=int(np.prod(variable.shape))).reshape(variable.shape)
    )
    batches = data.train.batches(10, config.seed).take(36)
    session = Session(Run("runs/fast"), config, data, task, Distribution(), "random")
    error = explain(Diverged("the loss is nan"), model, session, batches)
    with pytest.raises(UserError, match=told):
        raise error
