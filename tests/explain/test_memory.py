"""The programs that draw the figures of `docs/memory.md`."""

import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from explain import clipping, flow, lags
from tests.conftest import PROJECT, random_model, random_split


def run(module, *flags, code=0):
    command = [sys.executable, "-m", f"explain.{module}", *flags]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_clipping_changes_nothing_until_a_gradient_is_too_long():
    settings = "basic_rnn", 5, 12, 30, 0.05
    _, norms = clipping.train(*settings, None, 0)
    never = clipping.train(*settings, float(1.01 * norms.max()), 0)
    np.testing.assert_array_equal(never, clipping.train(*settings, None, 0))
    often = clipping.train(*settings, float(0.5 * norms[0]), 0)
    assert often[0][0] == never[0][0]  # Before the first update nothing is clipped yet,
    assert often[1][0] == never[1][0]  # and the norm is that of the whole gradient.
    assert often[0][1] != never[0][1]


def test_a_clipped_step_is_as_long_as_it_may_be():
    settings = "basic_rnn", 5, 12, 2
    (first, whole), (norm, _) = clipping.train(*settings, 0.1, None, 0)
    # A gradient clipped to a tenth of its norm, at ten times the rate, is the same step.
    (again, clipped), _ = clipping.train(*settings, 1.0, float(0.1 * norm), 0)
    assert again == first
    assert clipped == pytest.approx(whole, rel=1e-5)


def test_a_training_that_explodes_is_drawn_batch_by_batch_and_ends_in_a_cross():
    short = np.full((2, 300), np.nan)
    short[:, :30] = np.logspace(0, 20, 30)
    long = np.random.default_rng(0).random((2, 300)) + 0.1
    figure = clipping.draw({"short": short, "long": long}, 1.0)
    assert "thin: each batch; thick: the median of the last 50" in figure.get_suptitle()
    for axes in figure.axes:
        lines = {line.get_label(): line for line in axes.lines}
        np.testing.assert_array_equal(lines["short"].get_ydata(), short[0, :30])
        assert lines["long"].get_ydata()[-1] == np.median(
            long[0 if axes is figure.axes[0] else 1, -50:]
        )
        cross = lines["short: no number any more"].get_ydata()
        assert cross == axes.get_ylim()[1] == 1e4


@pytest.mark.slow
def test_trainings_with_and_without_clipping_are_drawn(tmp_path):
    flags = ["--updates=3", "--lag=4", "--units=3"]
    done = run("clipping", f"--picture={tmp_path}/a.png", *flags)
    assert "clipped: mean squared error" in done.stdout
    assert matplotlib.image.imread(tmp_path / "a.png").std() > 0.05


@pytest.mark.parametrize(
    ("scan", "expected"), [("rows", 8), ("columns", 11), ("pixels", 28 * 7 + 11)]
)
def test_the_first_step_with_ink_is_that_of_most_images(scan, expected):
    split = random_split(4, 4, seed=0)
    split.inputs[:] = 0
    split.inputs[0, 2, 3] = split.inputs[1, 7, 9] = 1
    split.inputs[2:, 7, 10] = 255  # The third and the fourth image.
    assert flow.first_ink(random_model(scan=scan), split) == expected


@pytest.mark.slow
def test_the_gradients_of_several_networks_are_drawn_in_one_figure(tmp_path):
    runs = []
    for model in ("basic_rnn", "bidirectional_gru"):
        flags = [f"--model={model}", "--dataset=digits", "--steps=2", "--units=3"]
        folders = [f"--runs_dir={tmp_path}", f"--name={model}", f"--saved_models_dir={tmp_path}/sm"]
        subprocess.run([sys.executable, PROJECT / "main.py", *flags, *folders], check=True)
        runs.append(f"{tmp_path}/{model}")
    both = f"--runs={','.join(runs)}"
    done = run("flow", both, f"--picture={tmp_path}/a.png", "--images=20")
    rows = [line.split(" | ")[0] for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows[2:] == ["| basic_rnn", "| bidirectional_gru"]
    assert matplotlib.image.imread(tmp_path / "a.png").std() > 0.05


def test_no_cell_hides_another_that_errs_as_much_and_what_exploded_has_a_cross():
    errors = {
        "custom_lstm": ["0.5", "1.0"],
        "peephole_lstm": ["0.5", "1.0"],
        "irnn": ["0.2", "nan"],
    }
    rows = [
        {"task": "adding", "cell": cell, "lag": lag, "error": error}
        for cell, of_cell in errors.items()
        for lag, error in zip(["10", "100"], of_cell, strict=True)
    ]
    figure = lags.draw(rows)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    one, other = lines["custom_lstm"], lines["peephole_lstm"]
    np.testing.assert_array_equal(one.get_ydata(), other.get_ydata())
    assert (np.abs(one.get_xdata() / other.get_xdata() - 1) > 0.04).all()
    assert one.get_marker() != other.get_marker()
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    (cross,) = [line for line in crosses if len(line.get_xdata())]
    assert cross.get_xdata() == lines["irnn"].get_xdata()[1]
    assert "no number" in lines


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)  # TensorFlow is imported first.


@pytest.mark.parametrize(
    ("module", "flag", "expected"),
    [
        ("flow", "--images=3", "--runs: received 0 folders of runs; expected 1 to 7"),
        ("products", "--picture=a.txt", "expected a name that ends in .png, .svg or .pdf"),
        (
            "products",
            "--picture=none/a.png",
            "the folder none does not exist; expected an existing folder: create it",
        ),
        slow("clipping", "--cell=lstm", "--cell=lstm: expected one of basic_rnn, "),
        slow(
            "lags", "--cells=gru,lstm", "--cells: received lstm; expected names among basic_rnn, "
        ),
        slow("lags", "--lags=10,5", "--lags: received 5; expected integers, each at least 10"),
        slow("lags", "--lags=", "--lags: received none; expected integers, each at least 10"),
    ],
)
def test_a_users_mistake_is_reported_in_one_line(module, flag, expected):
    done = run(module, flag, code=1)
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
