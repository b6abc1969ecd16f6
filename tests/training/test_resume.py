"""A run that was interrupted goes on, to the same bits as one that was not."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from configs import Config, Interrupted, UserError
from models import create_model
from tasks import task_of
from tests.conftest import PROJECT
from training import callbacks, checkpoint
from training.files import ASIDE, atomic_folder
from training.run import Run
from training.train import compile_model, train

# Random numbers, an optimizer with a memory, averages; `test_kills` adds distorted images. 37
# training images in batches of 10 make 4 steps an epoch.
EVERYTHING = Config(
    model="basic_rnn",
    units=5,
    epochs=3,
    batch_size=10,
    dropout=0.2,
    recurrent_dropout=0.2,
    pixel_dropout=0.1,
    label_smoothing=0.1,
    ema=0.8,
    warmup=0.2,
    checkpoint_every=2,
)


def result(run):
    """What a run has come to: weights, history, metrics but for its times."""
    metrics = run.metrics()
    del metrics["training"]["seconds"], metrics["training"]["images_per_second"]
    del metrics["wall_seconds"]
    return [w.tobytes() for w in run.load_model().get_weights()], run.history(), metrics


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    return train(EVERYTHING, tmp_path_factory.mktemp("uninterrupted") / "run", data)


def interrupt_before(monkeypatch, method, call):
    """Have the n-th call of a method fail, as if the process had been killed."""
    owner, name = method
    genuine, calls = getattr(owner, name), []

    def perhaps(*arguments, **options):
        calls.append(name)
        if len(calls) == call:
            raise InterruptedError
        return genuine(*arguments, **options)

    monkeypatch.setattr(owner, name, perhaps)


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_with_the_same_bits(
    uninterrupted, data, tmp_path, monkeypatch
):
    for method, call in [
        ((callbacks.WriteCheckpoints, "on_train_batch_end"), 2),
        ((Run, "save_history"), 1),
        ((checkpoint, "save"), 5),
        ((Run, "save_metrics"), 1),
    ]:
        with monkeypatch.context() as patch:
            interrupt_before(patch, method, call)
            with pytest.raises(InterruptedError):
                train(EVERYTHING, tmp_path / "run", data, resume=True)
    assert result(train(EVERYTHING, tmp_path / "run", data, resume=True)) == result(uninterrupted)


@pytest.mark.slow
def test_a_signal_leaves_a_checkpoint_of_its_step(uninterrupted, data, tmp_path, monkeypatch):
    genuine = callbacks.WriteCheckpoints.on_train_batch_end

    def send(callback, batch, logs):
        if callback.progress.steps_taken == step:
            os.kill(os.getpid(), signal.SIGTERM)
        genuine(callback, batch, logs)

    config = Config(**vars(EVERYTHING) | {"checkpoint_every": 1})
    before = signal.getsignal(signal.SIGTERM)
    for step in (1, 4, 7):  # In the middle of an epoch and at its end.
        with monkeypatch.context() as patch:
            patch.setattr(callbacks.WriteCheckpoints, "on_train_batch_end", send)
            with pytest.raises(Interrupted, match=f"after {step} of 12 steps; to go on: ") as stop:
                train(config, tmp_path / "run", data, resume=True)
        assert stop.value.signal == signal.SIGTERM
        assert f"python main.py --resume --run={tmp_path}/run" in str(stop.value)
        assert signal.getsignal(signal.SIGTERM) == before
        assert max((tmp_path / "run/checkpoints").iterdir()).name == f"{step:09d}.npz"
    resumed = result(train(config, tmp_path / "run", data, resume=True))
    assert resumed[:2] == result(uninterrupted)[:2]


@pytest.mark.slow
def test_a_signal_after_the_last_step_says_how_to_go_on_and_what_is_left_is_done_then(
    uninterrupted, interrupted, data, monkeypatch
):
    genuine = callbacks.WriteCheckpoints.on_epoch_end

    def send_at_the_last_step(callback, epoch, logs):
        if callback.progress.is_finished:
            os.kill(os.getpid(), signal.SIGTERM)
        genuine(callback, epoch, logs)

    def send(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal did not end it at once")

    for name, replacement in [
        ("training.callbacks.WriteCheckpoints.on_epoch_end", send_at_the_last_step),
        ("tasks.classification.Classification.evaluate", send),
        ("training.run.Run.save_metrics", send),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(name, replacement)
            again = f"python main.py --resume --run={interrupted.folder}"
            with pytest.raises(Interrupted, match=f"after 12 of 12 steps; to go on: {again}$"):
                train(EVERYTHING, interrupted.folder, data, resume=True)
        assert not interrupted.metrics()
        assert (interrupted.checkpoints_path / "000000012.npz").is_file()
    assert result(train(EVERYTHING, interrupted.folder, data, resume=True)) == result(uninterrupted)


def test_a_run_whose_explanation_was_killed_goes_on(interrupted, data):
    left = interrupted.folder / f"{ASIDE}explanation"
    left.mkdir()
    (left / "gates.png").touch()
    (interrupted.folder / f"{ASIDE}1-model.keras").touch()
    with atomic_folder(interrupted.folder / "explanation") as at_work:
        train(EVERYTHING, interrupted.folder, data, resume=True)
        assert list(interrupted.folder.rglob(f"{ASIDE}*")) == [at_work]
    assert interrupted.metrics()


def test_what_was_imported_cannot_be_resumed(interrupted, data):
    interrupted.save_model(create_model(EVERYTHING, data.spec))
    shutil.rmtree(interrupted.checkpoints_path)
    with pytest.raises(
        UserError, match=r"a model.keras but not a checkpoint, .* expected a checkpoint"
    ):
        train(EVERYTHING, interrupted.folder, data, resume=True)


@pytest.mark.slow
def test_early_stopping_and_the_tutorials_prints_survive_too(data, tmp_path, monkeypatch, capsys):
    config = Config(
        **{"model": "basic_rnn", "units": 5, "epochs": 40, "batch_size": 10, "learning_rate": 0.1},
        **{"early_stopping_patience": 2, "log_every": 3, "checkpoint_every": 1},
    )
    uninterrupted = train(config, tmp_path / "uninterrupted", data)
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    for call in (6, 4):  # In the middle of an epoch and at its end.
        with monkeypatch.context() as patch:
            interrupt_before(patch, (checkpoint, "save"), call)
            with pytest.raises(InterruptedError):
                train(config, tmp_path / "run", data, resume=True)
    resumed = train(config, tmp_path / "run", data, resume=True)
    assert result(resumed) == result(uninterrupted)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert list(dict.fromkeys(lines)) == printed


def test_resuming_a_finished_run_leaves_it_as_it_is(uninterrupted, data):
    before = {p: p.read_bytes() for p in uninterrupted.folder.rglob("*") if p.is_file()}
    train(EVERYTHING, uninterrupted.folder, data, resume=True)
    assert {p: p.read_bytes() for p in uninterrupted.folder.rglob("*") if p.is_file()} == before


@pytest.fixture(scope="module")
def interrupted_folder(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    with pytest.MonkeyPatch.context() as patch:
        interrupt_before(patch, (checkpoint, "save"), 5)
        with pytest.raises(InterruptedError):
            train(EVERYTHING, folder, data)
    return folder


@pytest.fixture
def interrupted(interrupted_folder, tmp_path):
    """A run with two checkpoints, of steps 4 and 6."""
    run = Run(shutil.copytree(interrupted_folder, tmp_path / "run"))
    assert [p.stem for p in sorted(run.checkpoints_path.iterdir())] == ["000000004", "000000006"]
    return run


@pytest.fixture(scope="module")
def untrained(data):
    """The model of `EVERYTHING`, ready for a checkpoint."""
    model = create_model(EVERYTHING, data.spec)
    compile_model(model, task_of(data.spec, EVERYTHING), 12, 4)
    return model


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "garbage"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    damage, interrupted, untrained, capsys
):
    path = interrupted.checkpoints_path / "000000006.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    half = content[: len(content) // 3]
    path.write_bytes(
        {"truncated": half, "empty": b"", "flipped": content, "garbage": b"?" * 999}[damage]
    )
    progress = checkpoint.restore(interrupted, untrained)
    assert f"{path} is damaged" in capsys.readouterr().err
    assert int(untrained.optimizer.iterations) == 4
    assert not path.exists()  # So that it does not count as the one before the next.
    assert len(progress["history"]) == 1


def test_a_checkpoint_with_any_flipped_bit_is_refused_or_means_the_same(interrupted, untrained):
    newest, before = sorted(interrupted.checkpoints_path.iterdir(), reverse=True)
    progress = checkpoint.restore(interrupted, untrained)
    variables = [*untrained.variables, *untrained.optimizer.variables]
    genuine, state = newest.read_bytes(), [v.numpy().tobytes() for v in variables]
    before.unlink()
    refused, draw = 0, random.Random(0)
    for _ in range(200):
        content = bytearray(genuine)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        newest.write_bytes(content)
        try:
            assert checkpoint.restore(interrupted, untrained) == progress
            assert [v.numpy().tobytes() for v in variables] == state
        except UserError:
            refused += 1
    assert refused > 100


def test_checkpoints_that_are_all_damaged_are_named(interrupted, data):
    for path in interrupted.checkpoints_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"000000006.npz, .*000000004.npz are damaged; expected"):
        train(EVERYTHING, interrupted.folder, data, resume=True)


def test_other_images_or_another_model_are_refused(interrupted, data):
    other = type(data)(**vars(data) | {"test": data.train})
    with pytest.raises(UserError, match=r"these data have the SHA-256 .*; expected those"):
        train(EVERYTHING, interrupted.folder, other, resume=True)
    wider = Config(**vars(EVERYTHING) | {"units": 6})
    with pytest.raises(UserError, match="made by another model"):
        train(wider, interrupted.folder, data, resume=True)


def test_a_full_disk_leaves_the_last_checkpoint(data, tmp_path, monkeypatch):
    genuine, calls = np.savez, []

    def save_until_full(file, **arrays):
        calls.append(1)
        if len(calls) == 3:
            file.write(b"half a checkpoint")
            raise OSError(errno.ENOSPC, "No space left on device")
        genuine(file, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", save_until_full)
        with pytest.raises(OSError, match=r"No space left on device: '.*/checkpoints/000000004"):
            train(EVERYTHING, tmp_path / "run", data)
    names = sorted(p.name for p in (tmp_path / "run/checkpoints").iterdir())
    assert names == ["000000000.npz", "000000002.npz"]


def test_a_second_process_on_a_run_is_refused(interrupted, data):
    with interrupted.locked():
        command = "import sys; from training.run import Run; Run(sys.argv[1]).locked().__enter__()"
        other = subprocess.run(
            [sys.executable, "-c", command, interrupted.folder],
            cwd=PROJECT,
            capture_output=True,
            text=True,
        )
        assert "another process is training in it" in other.stderr
        assert interrupted.is_running()
    assert not interrupted.is_running()
