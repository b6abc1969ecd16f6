"""Errors on tasks with long time lags."""

import json
import subprocess

import numpy as np
import pytest

from benchmarks import lags
from training.run import Run

TINY = ["--lags=10", "--steps=2", "--units=4", "--cells=basic_rnn,gru"]
TINY += ["--tasks=adding,temporal_order"]


def test_each_run_is_made_once_and_its_test_error_is_in_the_table(run_benchmark, tmp_path):
    flags = [*TINY, f"--results_dir={tmp_path}"]
    tables = run_benchmark("lags", *flags, dataset=()).partition("\n\n")[2]
    metrics = {path.parent.name: path.read_text() for path in tmp_path.glob("*/metrics.json")}
    test = {name: json.loads(text)["test"] for name, text in metrics.items()}
    assert f"| gru | {test['adding-gru-10']['mean_squared_error']:.4f} |" in tables
    assert f"| gru | {1 - test['temporal_order-gru-10']['accuracy']:.4f} |" in tables
    assert len(metrics) == 2 * 2
    files = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert files == {"lags.png", "lags.svg"}
    # A run that diverged is not repeated either.
    (tmp_path / "adding-gru-10/diverged.txt").write_text("diverged at step 1: the loss is nan")
    again = run_benchmark("lags", *flags, dataset=())
    assert "dataset: " not in again
    assert "| gru | nan |" in again.partition("| adding: ")[2]
    assert metrics == {
        path.parent.name: path.read_text() for path in tmp_path.glob("*/metrics.json")
    }
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run_benchmark("lags", *flags, "--steps=3", dataset=())
    assert "basic_rnn-10 was made with other flags; expected a new" in refused.value.stderr


def test_a_run_that_diverges_is_not_a_number(run_benchmark, tmp_path):
    flags = ["--lags=10", "--steps=20", "--cells=irnn", "--tasks=adding", "--clip_norm=1e9"]
    flags += ["--optimizer=sgd", "--learning_rate=1000", "--batch_size=5"]
    printed = run_benchmark("lags", *flags, f"--results_dir={tmp_path}", dataset=())
    assert "| irnn | nan |" in printed
    assert Run(tmp_path / "adding-irnn-10").diverged_path.is_file()


def test_the_errors_are_those_of_the_metrics():
    metrics = {"loss": 0.25, "score": 0.75}
    errors = {task: error(metrics) for task, (_, error) in lags.ERRORS.items()}
    assert errors == {"adding": 0.25, "temporal_order": 0.25, "first_row": 0.25}


def test_equal_errors_do_not_hide_each_other_and_a_run_that_diverged_has_a_cross():
    values = {
        "custom_lstm": [0.5, 1.0],
        "peephole_lstm": [0.5, 1.0],
        "irnn": [0.2, np.nan],
    }
    errors = {
        ("adding", cell, lag): error
        for cell, of_cell in values.items()
        for lag, error in zip([10, 100], of_cell, strict=True)
    }
    axes = lags.draw(errors).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    one, other = lines["custom_lstm"], lines["peephole_lstm"]
    np.testing.assert_array_equal(one.get_ydata(), other.get_ydata())
    assert (np.abs(one.get_xdata() / other.get_xdata() - 1) > 0.04).all()
    assert one.get_marker() != other.get_marker()
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    (cross,) = [line for line in crosses if len(line.get_xdata())]
    assert cross.get_xdata() == lines["irnn"].get_xdata()[1]
    assert "diverged" in lines
