"""A run with clipped gradients, and one without."""

import csv

import matplotlib.image
import numpy as np

from benchmarks import clipping
from training.run import Run

TINY = ["--length=10", "--steps=8", "--units=4", "--batch_size=5", "--train_size=10"]


def losses(folder):
    with open(folder / "history.csv") as file:
        return [float(epoch["loss"]) for epoch in csv.DictReader(file)]


def test_both_runs_learn_from_the_same_sequences_and_are_made_once(run_benchmark, tmp_path):
    flags = [*TINY, "--clip_norm=0.01", f"--picture={tmp_path}/a.png", f"--results_dir={tmp_path}"]
    printed = run_benchmark("clipping", *flags, "--learning_rate=0.01", dataset=())
    assert "clip_norm=0.01: " in printed
    assert "no clipping: " in printed
    assert matplotlib.image.imread(tmp_path / "a.png").std() > 0.05
    clipped, whole = losses(tmp_path / "clip_norm=0.01"), losses(tmp_path / "no_clipping")
    assert len(clipped) == len(whole) == 4
    assert whole[-1] < clipped[-1]  # A gradient clipped to 0.01 takes much smaller steps.
    again = run_benchmark("clipping", *flags, "--learning_rate=0.01", dataset=())
    assert "dataset: " not in again


def test_the_step_in_which_a_run_diverges_ends_its_curve(run_benchmark, tmp_path):
    flags = [*TINY, "--model=irnn", "--learning_rate=300", "--clip_norm=1e-6"]
    flags += [f"--picture={tmp_path}/a.svg", f"--results_dir={tmp_path}"]
    printed = run_benchmark("clipping", *flags, dataset=())
    assert "no clipping: diverged at step " in printed
    run = Run(tmp_path / "no_clipping")
    steps, values = clipping.curve(run, run.diverged_path.read_text())
    whole = len(losses(run.folder)) if run.history_path.is_file() else 0
    assert len(steps) == len(values) == whole + 1
    assert f"diverged at step {steps[-1]}:" in printed
    assert not values[-1] < 1000
    steps, values = clipping.curve(Run(tmp_path / "clip_norm=1e-06"), None)
    np.testing.assert_array_equal(steps, [2, 4, 6, 8])
    assert values.tolist() == losses(tmp_path / "clip_norm=1e-06")


def test_a_run_that_diverged_has_a_cross_and_its_step_in_the_legend():
    curves = {
        "clip_norm=1": (np.arange(5, 101, 5), np.linspace(1, 0.1, 20)),
        "no clipping": (np.array([5, 7]), np.array([2.0, 1e4])),
    }
    (axes,) = clipping.draw(curves, ["no clipping"]).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["clip_norm=1", "no clipping", "no clipping: diverged at step 7"]
    (cross,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert (*cross.get_xdata(), *cross.get_ydata()) == (7, 1e4)
