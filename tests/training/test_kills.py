"""The program itself, killed with SIGKILL again and again while it trains, writes and exports."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import PROJECT
from training.run import Run

# 42 steps an epoch. Whatever a step depends on: random numbers of every kind, averages.
COMMAND = [
    *(sys.executable, PROJECT / "main.py", "--dataset=digits", "--units=16", "--batch_size=32"),
    *("--epochs=16", "--rotation=10", "--elastic=1", "--dropout=0.2", "--ema=0.9"),
    *("--model=bidirectional_gru", "--optimizer=muon", "--steps=655"),
    *("--checkpoint_every=7", "--resume", "--name=run"),
]
# The folders in which unfinished files and folders of these names are awaited, to kill just then.
CHECKPOINT = ("runs/run/checkpoints", "npz")
MODEL = ("runs/run", "model.keras")
PICTURE = ("runs/run", "png")
EXPORT = ("saved_models/bidirectional_gru", "")


def start(folder):
    return subprocess.Popen(COMMAND, cwd=folder, stdout=subprocess.DEVNULL)


def names(folder):
    return os.listdir(folder) if folder.is_dir() else []


def kill_while_it_writes(process, folder, ending):
    """Kill a process while it writes a file of this ending in a folder."""
    before = names(folder)  # What was left by a kill is none of this process's.
    while process.poll() is None:
        for name in set(names(folder)).difference(before):
            if name.startswith(".incomplete-") and name.endswith(ending):
                process.kill()
                return
        time.sleep(0.0002)


def kill_in_between(process, folder, seconds):
    """Kill a process so many seconds after its first new checkpoint."""
    before = set(names(folder / CHECKPOINT[0]))
    while process.poll() is None and set(names(folder / CHECKPOINT[0])) <= before:
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()


def left_by(folder):
    """The newest checkpoint, and what was left unfinished."""
    checkpoints = [name for name in names(folder / CHECKPOINT[0]) if not name.startswith(".")]
    unfinished = [str(path.relative_to(folder)) for path in folder.rglob(".incomplete-*")]
    return max(checkpoints, default="no checkpoint"), *unfinished


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_with_the_same_bits(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    assert start(whole).wait() == 0

    draw, kills, left, attempts = random.Random(0), [], [], 0
    # Each kill is awaited while something is written, or for up to a second after a checkpoint.
    kinds = [CHECKPOINT, None, MODEL, None] * 4 + [PICTURE, EXPORT] * 2
    while len(kills) < len(kinds):
        attempts += 1
        assert attempts <= 2 * len(kinds)
        process, kind = start(killed), kinds[len(kills)]
        if kind:
            kill_while_it_writes(process, killed / kind[0], kind[1])
        else:
            kill_in_between(process, killed, draw.uniform(0, 1))
        if process.wait() == -signal.SIGKILL:
            kills.append(kind)
            left.append(left_by(killed))
            print(f"kill {len(kills)}: {kind or 'in between'}, left {left[-1]}")
        elif kind in (PICTURE, EXPORT):  # It was faster: back to before that was written.
            (killed / "runs/run/metrics.json").unlink()
            shutil.rmtree(killed / "saved_models")
        else:  # It is finished: from the beginning.
            shutil.rmtree(killed / "runs")
            shutil.rmtree(killed / "saved_models")
    assert start(killed).wait() == 0
    assert sum(len(names) > 1 for names in left) >= 6  # Which were killed within a write.

    one, other = Run(whole / "runs/run"), Run(killed / "runs/run")
    assert one.history() == other.history()
    for w, k in zip(one.load_model().weights, other.load_model().weights, strict=True):
        np.testing.assert_array_equal(w, k)
    assert one.metrics()["test"] == other.metrics()["test"]
    assert not list(killed.rglob(".incomplete-*"))
    (version,) = (killed / "saved_models/bidirectional_gru").iterdir()
    rows = tf.random.stateless_uniform((9, 28, 28), (1, 2), 0, 255)
    served = [
        tf.saved_model.load(str(path)).signatures["serving_default"](rows=rows)["probabilities"]
        for path in (whole / "saved_models/bidirectional_gru/1", version)
    ]
    np.testing.assert_array_equal(*served)


def start_training(folder, *flags, **options):
    """The program in training, past its first step."""
    command = [
        *(sys.executable, PROJECT / "main.py", "--dataset=digits", "--units=16", "--epochs=999"),
        *("--log_every=3", "--batch_size=439", "--name=run", *flags),
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=folder, **pipes, **options)
    next((line for line in process.stdout if line.startswith("step")), None)
    return process


@pytest.mark.slow
def test_sigterm_ends_with_a_checkpoint_and_its_conventional_status(tmp_path):
    process = start_training(tmp_path)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert stderr.splitlines()[-1].endswith("to go on: python main.py --resume --run=runs/run")


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(tmp_path):
    process = start_training(tmp_path, "--scan=pixels", "--units=192", "--log_every=1")
    time.sleep(0.3)  # In the middle of a step, which takes seconds.
    process.send_signal(signal.SIGINT)
    time.sleep(1.1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    asked = time.perf_counter()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert time.perf_counter() - asked < 1
    assert "interrupted after" not in stderr
