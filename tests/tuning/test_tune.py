"""The program `tune.py`: its error messages, its flag files, and searches killed by SIGKILL."""

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.conftest import PROJECT, Result, assert_one_line_error
from training.run import Run

TUNE = (sys.executable, str(PROJECT / "tune.py"))
FLAG_FILES = sorted((PROJECT / "configs/tune").glob("*.flags"))
# The program in a process that cannot import TensorFlow.
WITHOUT_TENSORFLOW = """
import runpy, sys
sys.modules["tensorflow"] = None
sys.argv[0] = "tune.py"
runpy.run_path({path!r}, run_name="__main__")
"""


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], ["--search", "NAME:LOW..HIGH"]),
        (["--search=unts:8..64", "--max_trials=3"], ["unts is unknown", "did you mean units?"]),
        (
            ["--search=units:8..64", "--tuner=baysian"],
            ["--tuner=baysian", "did you mean bayesian?"],
        ),
        (
            ["--search=units:8..64", "--max_trials=0"],
            ["--max_trials=0: expected a positive integer"],
        ),
        (["--search=units:8..64"], ["--tuner=random", "--max_trials=NUMBER"]),
    ],
)
def test_an_error_is_reported_in_one_line_before_tensorflow_is_imported(flags, expected, tmp_path):
    program = WITHOUT_TENSORFLOW.format(path=TUNE[1])
    command = [sys.executable, "-c", program, "--dataset=digits", *flags]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert_one_line_error(Result(done.returncode, done.stdout, done.stderr), *expected)


def test_each_flag_file_is_a_search_with_its_name_and_contains_its_command():
    program = (
        "import json, sys, tune\n"
        "for path in sys.argv[1:]:\n"
        "    tune.FLAGS.unparse_flags()\n"
        "    tune.FLAGS(['', f'--flagfile={path}'])\n"
        "    search = tune.search_from_flags()\n"
        "    print(json.dumps([tune.FLAGS.name, search.flags()]))\n"
    )
    paths = [path for path in FLAG_FILES if path.stem != "recipe"]
    command = [sys.executable, "-c", program, *(str(p.relative_to(PROJECT)) for p in paths)]
    printed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    for path, line in zip(paths, printed.stdout.splitlines(), strict=True):
        name, flags = json.loads(line)
        assert name == path.stem
        dataset = "python_manual" if name == "language" else "mnist"
        assert f"--dataset={dataset}\n" in flags
        command = f"python tune.py --flagfile={path.relative_to(PROJECT)}"
        assert command in path.read_text()


# Small networks, since starting takes most of the time. Dropout draws random numbers.
FLAGS = ("--dataset=digits", "--model=basic_rnn", "--dropout=0.2", "--name=it")
SEARCHES = {
    "random": ["--search=units:3..6,learning_rate:1e-3..1e-1:log", "--max_trials=3"],
    "bayesian": ["--tuner=bayesian", "--search=learning_rate:1e-3..1e-1:log", "--max_trials=4"],
    "hyperband": ["--tuner=hyperband", "--search=units:3..64", "--epochs=3"],
    "asha": ["--tuner=asha", "--search=units:3..64", "--epochs=3", "--max_trials=4"],
    "grid": ["--tuner=grid", "--search=units:3|4,batch_size:64|128"],
}

_KILLS = 3


def start_tune(folder, *flags):
    folder.mkdir(exist_ok=True)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    epochs = ["--epochs=2", "--checkpoint_every=3"]
    return subprocess.Popen([*TUNE, *FLAGS, *epochs, *flags], cwd=folder, **pipes)


def rows_without_times(folder):
    """The rows of the folder's `trials.csv` without the times, and without running trials."""
    path = folder / "runs/tune-it/trials.csv"
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return [row | {"seconds": None} for row in rows if row["status"] != "running"]


@pytest.mark.slow
@pytest.mark.parametrize("tuner", SEARCHES)
def test_a_search_killed_many_times_has_the_same_trials(tuner, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start_tune(whole, *SEARCHES[tuner])
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    expected = rows_without_times(whole)
    assert len(expected) >= 3

    draw, kept, trials = random.Random(tuner), [], killed / "runs/tune-it/trials"
    for kill in range(_KILLS):
        process = start_tune(killed, *SEARCHES[tuner])
        # The first kill is during the start, the others a moment after a new checkpoint.
        before, wait = {*trials.rglob("*.npz")}, draw.randrange(1, 4)
        while kill and process.poll() is None and len({*trials.rglob("*.npz")} - before) < wait:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 2) if kill else draw.uniform(0, 12))
        process.kill()
        _, stderr = process.communicate()
        if process.returncode == 0:  # The search ended before the kill.
            assert kill == 2
            break
        assert process.returncode == -signal.SIGKILL, stderr
        if trials.is_dir():
            now = rows_without_times(killed)
            print(f"{tuner}, kill {kill}: {len(now)} of {len(expected)} trials are finished")
            assert now[: len(kept)] == kept  # Finished trials stay.
            kept = now
    process = start_tune(killed, *SEARCHES[tuner])
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert rows_without_times(killed) == expected
    assert not list(killed.rglob(".incomplete-*"))
    for name in ("best.flags", "search.flags"):
        assert (killed / f"runs/tune-it/{name}").read_text() == (
            whole / f"runs/tune-it/{name}"
        ).read_text()
    for run in sorted((whole / "runs/tune-it/trials").glob("*/seed-*")):
        assert_same_weights(run, killed / run.relative_to(whole))
    if tuner == "random":
        main = [sys.executable, PROJECT / "main.py", "--name=best"]
        flag_file = "--flagfile=runs/tune-it/best.flags"
        subprocess.run([*main, flag_file], cwd=whole, check=True, stdout=subprocess.DEVNULL)
        (number,) = re.findall(r"Trial (\d+) of", (whole / "runs/tune-it/best.flags").read_text())
        trial = whole / f"runs/tune-it/trials/{int(number):04d}/seed-0"
        assert_same_weights(trial, whole / "runs/best")


def assert_same_weights(one, other):
    one, other = (Run(folder).load_model().get_weights() for folder in (one, other))
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_sigterm_stops_a_search_after_a_checkpoint_with_the_conventional_status(tmp_path):
    flags = ["--search=units:3|4", "--tuner=grid", "--epochs=9999"]
    process = start_tune(tmp_path, *flags)
    while not list(tmp_path.rglob("000000[1-9]*.npz")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    last = stderr.splitlines()[-1]
    assert re.match(r"interrupted after \d+ of 109,989 steps of trial 0; to go on: ", last)
    assert last.endswith("python tune.py --flagfile=runs/tune-it/search.flags")
    (row,) = csv.DictReader((tmp_path / "runs/tune-it/trials.csv").read_text().splitlines())
    assert row["status"] == "running"


@pytest.mark.slow
def test_a_trial_whose_loss_diverges_has_failed(tmp_path):
    flags = ["--search=learning_rate:0.01|1000", "--tuner=grid", "--optimizer=sgd", "--units=4"]
    process = start_tune(tmp_path, *flags, "--model=irnn")
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    good, bad = rows_without_times(tmp_path)
    assert (good["status"], bad["status"]) == ("completed", "failed")
    assert re.match(r"diverged at step \d+: the loss .* the gradient's norm", bad["reason"])
