import dataclasses

import pytest

from configs import Config, UserError
from datasets import digits, lags
from models import create_model
from tests.conftest import MNIST, assert_one_line_error
from training import memory
from training.memory import OutOfMemory, min_parameters, require_memory, telling_memory
from training.run import Run
from training.train import train
from tuning.budget import measure
from tuning.execution import run_trial
from tuning.trial import Trial

MODELS = next(f for f in dataclasses.fields(Config) if f.name == "model").metadata["choices"]


@pytest.mark.parametrize("model", [*MODELS[::9], "gru", "cifg_lstm", "bidirectional_lstm"])
def test_the_estimate_of_parameters_is_a_tight_lower_bound(model):
    config = Config(model=model, units=40, layers=2)
    count = create_model(config, MNIST).count_params()
    assert count / 4 < min_parameters(config) <= count


@pytest.mark.parametrize(
    "values",
    [
        {"model": "lstm_1997", "block_size": 40},
        {"model": "lstm", "dataset": "adding", "length": 300},
        {"model": "bidirectional_gru", "dataset": "first_row"},
    ],
)
def test_the_estimate_is_a_lower_bound_for_blocks_and_for_sequences(values):
    config = Config(units=40, **values)
    spec = lags.read(config, digits.read).spec if "dataset" in values else MNIST
    assert min_parameters(config) <= create_model(config, spec).count_params()


@pytest.mark.parametrize("scan", ["columns", "rows_and_columns", "pixels"])
@pytest.mark.parametrize("head", ["both", "backward", "last"])
def test_the_estimate_is_a_lower_bound_for_every_scan_and_head(scan, head):
    config = Config(model="bidirectional_lstm", units=9, scan=scan, head=head)
    assert min_parameters(config) <= create_model(config, MNIST).count_params()


@pytest.mark.parametrize(
    "values",
    [
        {"units": 100_000_000},
        {"units": 10**30},
        {"units": 60_000, "layers": 20},
        {"units": 10_000, "batch_size": 10**9, "scan": "pixels"},
    ],
)
def test_a_model_larger_than_all_memory_is_refused(values):
    with pytest.raises(OutOfMemory, match=r"--units=\d+.* free; expected .* choose smaller --unit"):
        require_memory(Config(**values), images=60_000)


def test_the_batch_size_is_bounded_by_the_number_of_images(monkeypatch):
    monkeypatch.setattr(memory, "memory_bytes", lambda: 2**30)
    require_memory(Config(batch_size=10**12), images=1000)
    with pytest.raises(OutOfMemory, match="choose smaller --units or --batch_size"):
        require_memory(Config(batch_size=10**12), images=10**6)


def test_the_memory_of_this_machine_is_known():
    assert 2**27 < memory.memory_bytes() < 2**50


def test_only_errors_about_memory_become_out_of_memory():
    import tensorflow as tf

    for error in (
        MemoryError(),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
        ValueError("Unable to allocate 3 TiB: array is too big"),
    ):
        raised = pytest.raises(OutOfMemory, match="too large for this machine")
        with raised, telling_memory(Config()):
            raise error
    with pytest.raises(ValueError, match="shape"), telling_memory(Config()):
        raise ValueError("a shape")


@pytest.mark.parametrize("values", [["--units=100000000"], ["--layers=100", "--units=50000"]])
def test_a_model_that_cannot_fit_is_refused_and_leaves_no_run(values, run_main, tmp_path):
    result = run_main(*values)
    assert_one_line_error(result, values[0], "GB")
    assert list(tmp_path.iterdir()) == []


def test_a_run_out_of_memory_before_its_first_step_is_removed(run_main, tmp_path, monkeypatch):
    def fit(*arguments):
        raise MemoryError("out of memory")

    monkeypatch.setattr("training.train._fit", fit)
    result = run_main("--units=4", "--name=first", "--epochs=1")
    assert_one_line_error(result, "--units=4", "too large for this machine")
    assert not (tmp_path / "runs/first").exists()


def test_a_process_killed_while_it_builds_its_model_leaves_no_run(data, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*arguments):
        raise Killed

    for part in ("compile_model", "create_model"):
        monkeypatch.setattr(f"training.train.{part}", kill)
        with pytest.raises(Killed):
            train(Config(units=4), tmp_path / "run", data)
        assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused_before_the_model_is_built_and_after(
    data, tmp_path, monkeypatch
):
    def create_model(*arguments):
        Run.create(tmp_path / "run", Config())  # As another process could.
        raise MemoryError

    monkeypatch.setattr("training.train.create_model", create_model)
    with pytest.raises(OutOfMemory):
        train(Config(units=4), tmp_path / "run", data)
    assert Run(tmp_path / "run").exists()  # The run of the other process is not removed.
    with pytest.raises(UserError, match="run exists; expected the name of a new run"):
        train(Config(units=4), tmp_path / "run", data)


def test_a_trial_out_of_memory_fails(data, tmp_path):
    config = Config(units=10**8)
    trial = run_trial(Trial(0, "running", {"units": 10**8}), config, tmp_path, data)
    assert trial.status == "failed"
    assert "--units=100000000" in trial.reason
    assert [path.name for path in tmp_path.iterdir()] == ["output.txt"]
    with pytest.raises(OutOfMemory):
        measure(config, MNIST, max_parameters=100)


def test_a_saved_model_that_does_not_fit_is_not_reported_as_damaged(tmp_path, monkeypatch):
    def load_model(path):
        raise MemoryError

    monkeypatch.setattr("keras.models.load_model", load_model)
    run = Run.create(tmp_path / "run", Config())
    run.model_path.touch()
    with pytest.raises(OutOfMemory, match=r"model.keras does not fit into memory; expected"):
        run.load_model()


@pytest.mark.slow
def test_a_run_out_of_memory_later_is_kept(run_main, tmp_path, monkeypatch):
    def record(*arguments, **options):
        raise MemoryError("out of memory")

    monkeypatch.setattr("training.train.record", record)
    result = run_main("--units=4", "--name=first", "--steps=1")
    assert_one_line_error(result, "--units=4", "the last checkpoint is kept")
    assert (tmp_path / "runs/first/flags.txt").is_file()
