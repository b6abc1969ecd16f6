"""The programs that draw the figures of `docs/memory.md`, and their errors."""

import subprocess
import sys

import matplotlib.image
import pytest

from benchmarks import flow
from tests.conftest import PROJECT, random_model, random_split


@pytest.mark.parametrize(
    ("scan", "expected"), [("rows", 8), ("columns", 11), ("pixels", 28 * 7 + 11)]
)
def test_the_first_step_with_ink_is_that_of_most_images(scan, expected):
    split = random_split(4, 4, seed=0)
    split.inputs[:] = 0
    split.inputs[0, 2, 3] = split.inputs[1, 7, 9] = 1
    split.inputs[2:, 7, 10] = 255  # The third and the fourth image.
    assert flow.first_ink(random_model(scan=scan), split) == expected


def test_the_gradients_of_several_networks_are_drawn_in_one_figure(run_benchmark, tmp_path):
    runs = []
    for model in ("basic_rnn", "bidirectional_gru"):
        flags = [f"--model={model}", "--dataset=digits", "--steps=2", "--units=3"]
        folders = [f"--runs_dir={tmp_path}", f"--name={model}", f"--saved_models_dir={tmp_path}/sm"]
        subprocess.run([sys.executable, PROJECT / "main.py", *flags, *folders], check=True)
        runs.append(f"{tmp_path}/{model}")
    flags = [f"--runs={','.join(runs)}", f"--picture={tmp_path}/a.png", "--images=20"]
    printed = run_benchmark("flow", *flags, dataset=())
    rows = [line.split(" | ")[0] for line in printed.splitlines() if line.startswith("| ")]
    assert rows[2:] == ["| basic_rnn", "| bidirectional_gru"]
    assert matplotlib.image.imread(tmp_path / "a.png").std() > 0.05


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
        ("clipping", "--model=lstn", "--model=lstn: expected one of "),
        ("lags", "--tasks=adding,mnist", "--tasks: received mnist; expected names among adding, "),
        ("lags", "--cells=gru,lstn", "--model=lstn: expected one of "),
        ("lags", "--lags=10,5", "--length=5: --dataset=temporal_order has sequences of 10 steps"),
        ("lags", "--lags=x", "--lags: received x; expected integers"),
        ("lags", "--lags=", "--lags: the list is empty; expected values separated by commas"),
        ("lags", "--model=gru", "--model=gru: this program compares several; expected --cells"),
    ],
)
def test_a_users_mistake_is_reported_in_one_line(module, flag, expected, run_benchmark):
    with pytest.raises(subprocess.CalledProcessError) as error:
        run_benchmark(module, flag, dataset=())
    assert error.value.returncode == 1
    assert expected in error.value.stderr
    assert "Traceback" not in error.value.stderr
