import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import datasets
from configs import Config, UserError
from datasets.dataset import images_spec
from tasks import task_of
from tests.conftest import CLASSIFICATION
from training.run import Run
from tuning import execution
from tuning.budget import measure
from tuning.execution import run_trial
from tuning.trial import Trial

CONFIG = Config(model="basic_rnn", units=4, epochs=1, batch_size=37, dataset="random")
SPEC = images_spec(classes=7)
TRIAL = Trial(3, "running", {"units": 4}, epochs=1)


def test_a_trial_is_a_run_that_is_scored_on_the_validation_images_and_never_sees_the_test_images(
    data, tmp_path, capsys
):
    class Unseen:
        """A `Split` that cannot be read."""

    validation_only = dataclasses.replace(data, test=Unseen())
    trial = run_trial(TRIAL, CONFIG, tmp_path / "0003", validation_only)
    run = Run(tmp_path / "0003/seed-0")
    assert run.config() == CONFIG
    # 28 inputs, 4 units and a bias each; 4 inputs and a bias of 7 classes.
    count = 4 * (28 + 4 + 1) + 7 * (4 + 1)
    assert (trial.status, trial.number, trial.parameters) == ("completed", 3, count)
    assert trial.score == CLASSIFICATION.evaluate(run.load_model(), data.validation).accuracy
    assert trial.score == pytest.approx(run.history()[-1]["val_accuracy"])
    assert trial.scores == (trial.score,)
    assert "validation images in place of test" in run.metrics()["dataset"]["source"]
    assert capsys.readouterr().out == ""
    assert "1/1" in (tmp_path / "0003/output.txt").read_text()
    # After a kill the result is the same, and nothing is trained again.
    assert run_trial(TRIAL, CONFIG, tmp_path / "0003", validation_only) == trial


@pytest.mark.slow
def test_a_model_of_text_is_scored_by_its_log_likelihood_on_the_validation_part(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "text.txt").write_text("".join(random.choice(list("ab \n"), 600)))
    config = Config(
        dataset="text",
        text_file=str(tmp_path / "text.txt"),
        model="basic_rnn",
        units=4,
        batch_size=4,
        steps_per_batch=10,
        epochs=1,
    )
    data = datasets.load(config)
    trial = run_trial(TRIAL, config, tmp_path / "0003", data)
    run = Run(tmp_path / "0003/seed-0")
    task = task_of(data.spec, config)
    assert trial.score == pytest.approx(task.evaluate(run.load_model(), data.validation).score)
    assert trial.score == -run.metrics()["test"]["loss"] < 0
    assert "validation sequences in place of test" in run.metrics()["dataset"]["source"]
    assert measure(config, data.spec, max_latency_ms=1e6)[1] > 0


def test_the_score_of_several_executions_is_their_mean(data, tmp_path, monkeypatch):
    class FakeRun:
        def __init__(self, config, folder, data, resume):
            assert resume
            self.accuracy = config.seed / 10
            assert folder.name == f"seed-{config.seed}"

        def metrics(self):
            test = {"score": self.accuracy}
            return {"parameters": 182, "test": test, "training": {"seconds": 1.5}}

    monkeypatch.setattr(execution, "train", FakeRun)
    config = dataclasses.replace(CONFIG, seed=4)
    trial = run_trial(TRIAL, config, tmp_path, data, executions=3)
    assert trial.scores == (0.4, 0.5, 0.6)
    assert trial.score == pytest.approx(0.5)
    assert trial.seconds == 4.5


@pytest.mark.parametrize(
    "error",
    [
        UserError("the loss is nan;\nexpected another"),
        MemoryError(),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"),
    ],
)
def test_an_error_that_the_values_caused_is_the_reason(error, data, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(execution, "train", fail)
    trial = run_trial(TRIAL, CONFIG, tmp_path, data)
    assert trial.status == "failed"
    assert trial.score is None
    assert trial.reason in (
        *("the loss is nan; expected another", "MemoryError", "OOM when allocating"),
    )


def test_a_full_disk_ends_the_search(data, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(execution, "train", fail)
    with pytest.raises(OSError, match="No space"):
        run_trial(TRIAL, CONFIG, tmp_path, data)


def test_parameters_are_counted_exactly_before_training():
    # 28 inputs, 4 units and a bias each; 4 inputs and a bias of 7 classes.
    count = 4 * (28 + 4 + 1) + 7 * (4 + 1)
    assert measure(CONFIG, SPEC, max_parameters=count) == (count, None, None)
    parameters, latency, excess = measure(CONFIG, SPEC, max_parameters=count - 1)
    assert (parameters, latency) == (count, None)
    assert excess == f"{count} parameters are more than --max_parameters={count - 1}"


def test_the_latency_is_the_median_time_for_one_image(monkeypatch):
    _, latency, excess = measure(CONFIG, SPEC, max_latency_ms=1e-6)
    assert latency > 0.001
    assert excess == f"{latency:.3g} ms are more than --max_latency_ms=1e-06"
    ticks = iter(np.arange(1e6) * 0.0005)
    monkeypatch.setattr("tuning.budget.time.perf_counter", lambda: next(ticks))
    _, latency, excess = measure(CONFIG, SPEC, max_latency_ms=0.51)
    assert latency == pytest.approx(0.5)
    assert excess is None
