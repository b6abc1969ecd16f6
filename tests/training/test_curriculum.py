"""A run whose sequences grow, interrupted and not."""

import dataclasses
import itertools

import pytest

from configs import Config, UserError
from datasets import lags
from models import unroll
from tests.conftest import assert_one_line_error
from tests.training.test_resume import interrupt_before
from training import callbacks, checkpoint
from training.run import Run
from training.train import train

# 25 sequences in batches of 10 make three steps an epoch; two epochs of each length.
CONFIG = Config(
    dataset="adding",
    length=12,
    curriculum="10,11,12",
    model="basic_rnn",
    units=5,
    train_size=25,
    batch_size=10,
    epochs=6,
    recurrent_dropout=0.2,
    ema=0.8,
    checkpoint_every=1,
)


def load(config=CONFIG):
    return lags.read(config, digits=None)


def result(run):
    return [w.tobytes() for w in run.load_model().get_weights()], run.history()


@pytest.fixture
def unrolled(monkeypatch):
    """The number of steps of the sequences in each graph that has the fast path."""
    traced, call = [], unroll.Unroll.__call__

    def record(self, sequences, *args, **kwargs):
        traced.append(sequences.shape[1])
        return call(self, sequences, *args, **kwargs)

    monkeypatch.setattr(unroll.Unroll, "__call__", record)
    return traced


def test_every_part_has_its_length_and_the_fast_path(tmp_path, unrolled):
    """A run of a single length takes the same first steps."""
    settings = {"recurrent_dropout": 0.0, "ema": None, "schedule": "constant", "epochs": 3}
    grown = dataclasses.replace(CONFIG, **settings)
    short = dataclasses.replace(grown, length=10, curriculum=None, epochs=1)
    run = train(grown, tmp_path / "grown", load(grown))
    # The sequences for validation have 12 steps, and those for training 10, 11 and 12.
    assert [steps for steps, _ in itertools.groupby(unrolled)] == [10, 12, 11, 12]
    assert run.metrics()["training"]["sequences"] == 75
    (first, *_), (alone,) = run.history(), train(short, tmp_path / "short", load(short)).history()
    assert first["loss"] == alone["loss"]


@pytest.mark.slow
def test_a_run_that_is_killed_in_every_part_ends_with_the_same_bits(tmp_path, monkeypatch):
    whole = train(CONFIG, tmp_path / "whole", load())
    kills = [
        ((callbacks.WriteCheckpoints, "on_train_batch_end"), 2),
        ((checkpoint, "save"), 5),
        ((Run, "save_history"), 1),
        ((callbacks.WriteCheckpoints, "on_train_batch_end"), 5),
        ((checkpoint, "save"), 4),
    ]
    for method, call in kills:
        with monkeypatch.context() as patch:
            interrupt_before(patch, method, call)
            with pytest.raises(InterruptedError):
                train(CONFIG, tmp_path / "killed", load(), resume=True)
    killed = train(CONFIG, tmp_path / "killed", load(), resume=True)
    assert result(killed) == result(whole)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--curriculum=300,100,1000", "--length=1000"),
            "--curriculum=300,100,1000: 100 comes after 300; expected lengths that grow, up to "
            "--length=1000",
        ),
        (
            ("--curriculum=100,100",),
            "--curriculum=100,100: 100 comes after 100; expected lengths that grow, up to "
            "--length=100",
        ),
        (
            ("--curriculum=100,300",),
            "--curriculum=100,300: the last length differs from --length=100; expected lengths "
            "that grow, up to --length=100",
        ),
        (
            ("--curriculum=0,100",),
            "--curriculum=0,100: expected integers, at least 1, with commas between them",
        ),
        (
            ("--curriculum=5,100", "--dataset=temporal_order"),
            "--curriculum=5,100: --dataset=temporal_order has sequences of 10 steps or more; "
            "expected at least 10",
        ),
        (
            ("--curriculum=short,100",),
            "--curriculum=short,100: expected integers, at least 1, with commas between them",
        ),
        (
            ("--curriculum=",),
            "--curriculum=: expected integers, at least 1, with commas between them",
        ),
        (
            ("--curriculum=10,100", "--epochs=1"),
            "--curriculum=10,100: the run has 1 epochs for 2 lengths; expected at least 2 epochs: "
            "a smaller --train_size makes an epoch shorter",
        ),
    ],
)
def test_a_curriculum_that_cannot_be_is_one_clear_error(flags, message, run_main, tmp_path):
    assert_one_line_error(run_main("--dataset=adding", *flags), message)
    assert list(tmp_path.iterdir()) == []


def test_one_length_is_a_curriculum_too():
    with pytest.raises(UserError, match="--curriculum=100: --dataset=mnist is not a set of "):
        Config(dataset="mnist", curriculum="100")
    assert load(Config(dataset="adding", curriculum="100")).train.shape_changes == ()
