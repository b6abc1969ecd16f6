"""The draws depend only on the seed and on the scores so far."""

import random

import numpy as np
import pytest

from tuning.oracle import Oracle, hyperparameters
from tuning.space import parse_space

SPACE = parse_space("units:8..64:8,model:lstm|gru|irnn,batch_size:16..32:log")
DROPOUT = parse_space("dropout:0..0.5")
# A Gaussian process of more points takes seconds for a draw.
COUNTS = {"random": 12, "bayesian": 5, "hyperband": 23, "grid": 12}


def space_of(tuner):
    return {"bayesian": DROPOUT, "grid": SPACE[:2]}.get(tuner, SPACE)


def score_of(draw):
    """A score that prefers some values, and distinguishes epochs."""
    numbers = [v if not isinstance(v, str) else len(v) for v in draw.values.values()]
    return float(np.tanh(sum(numbers) / 100) + (draw.epochs or 0) / 50)


def draws(tuner, count, recorded=(), seed=0, max_running=1, failed=(), offset=0):
    """The first `count` draws. Up to `max_running` run at the same time and end out of order.

    `offset` is added to each score.
    """
    oracle, drawn, running = Oracle(tuner, space_of(tuner), seed, epochs=9), [], []
    while len(drawn) < count:
        draw = None
        if len(running) < max_running:
            draw = oracle.ask(recorded[len(drawn)].values if len(drawn) < len(recorded) else None)
        if draw:
            running.append(len(drawn))
            drawn.append(draw)
        elif running:
            number = running.pop(len(drawn) % len(running))
            oracle.tell(number, None if number in failed else offset + score_of(drawn[number]))
        else:
            break
    return drawn


@pytest.mark.parametrize("max_running", [1, 2])
@pytest.mark.parametrize("tuner", COUNTS)
def test_an_oracle_that_is_told_its_history_continues_with_the_same_draws(tuner, max_running):
    # In parallel the first draw of the Gaussian process comes later.
    count = COUNTS[tuner] + (tuner == "bayesian" and max_running - 1)
    options = {"max_running": max_running, "failed": (1, 4)}
    whole = draws(tuner, count, **options)
    assert len(whole) == count
    cuts = (2, count - 1) if tuner == "bayesian" else range(0, count, 3)
    for cut in cuts:
        random.seed(cut)  # The global random states must not matter.
        np.random.seed(cut)
        assert draws(tuner, count, recorded=whole[:cut], **options) == whole


@pytest.mark.parametrize("tuner", ["random", "grid"])
def test_random_and_grid_do_not_wait_for_scores(tuner):
    assert draws(tuner, 12, max_running=5) == draws(tuner, 12)


@pytest.mark.parametrize("tuner", COUNTS)
def test_a_recorded_draw_replaces_a_new_one(tuner):
    (drawn,) = draws(tuner, 1)
    recorded = {"units": 16, "model": "irnn", "batch_size": 17, "dropout": 0.123}
    recorded = {name: recorded[name] for name in drawn.values}
    assert drawn.values != recorded
    assert Oracle(tuner, space_of(tuner), 0, epochs=9).ask(recorded).values == recorded


@pytest.mark.parametrize("tuner", ["random", "hyperband"])
def test_each_seed_has_other_draws_and_0_is_a_seed(tuner):
    first, again, other = (draws(tuner, 6, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert all(one.values != two.values for one, two in zip(first, other, strict=True))


@pytest.mark.parametrize("offset", [0, -431])  # A log-likelihood is negative.
def test_the_bayesian_oracle_learns_from_the_scores(offset):
    def after(sign):
        oracle = Oracle("bayesian", DROPOUT, seed=0)
        for number in range(4):
            draw = oracle.ask()
            oracle.tell(number, offset + sign * draw.values["dropout"])
        return draw.values["dropout"]

    assert after(1) > 0.45
    assert after(-1) < 0.15


def test_a_grid_draws_each_combination_once():
    drawn = [tuple(draw.values.values()) for draw in draws("grid", 99)]
    assert len(drawn) == len(set(drawn)) == 8 * 3


@pytest.mark.parametrize("offset", [0, -431])
def test_hyperband_promotes_the_best_to_more_epochs(offset):
    drawn = draws("hyperband", 99, offset=offset)
    assert [draw.epochs for draw in drawn[:13]] == 9 * [1] + 3 * [3] + [9]
    best = sorted(range(9), key=lambda n: -score_of(drawn[n]))[:3]
    assert [draw.values for draw in drawn[9:12]] == [drawn[number].values for number in best]


def test_hyperband_draws_another_in_place_of_a_skipped_one():
    oracle = Oracle("hyperband", SPACE, seed=0, epochs=9)
    for number in range(9 + 3):
        assert oracle.ask().epochs == 1
        skipped = number in (3, 6, 9)
        oracle.tell(number, None if skipped else 0.5, skipped)
    assert oracle.ask().epochs == 3


@pytest.mark.parametrize("score", [0.5, -0.5, -431.0])
def test_hyperband_does_not_promote_a_failed_draw(score):
    oracle, failed, drawn = Oracle("hyperband", SPACE, seed=0, epochs=9), (0, 4, 5), []
    for number in range(9):
        drawn.append(oracle.ask().values)
        oracle.tell(number, None if number in failed else score)
    for number in range(9, 12):
        promoted = oracle.ask()
        assert promoted.epochs == 3
        assert drawn.index(promoted.values) not in failed
        oracle.tell(number, score + 0.1)


def test_no_draw_leaves_its_range():
    # At the upper end of the scale KerasTuner's logarithmic integers are one too many.
    assert hyperparameters(SPACE).space[2].prob_to_value(1.0) == 33
    oracle = Oracle("bayesian", SPACE[2:], seed=0)
    drawn = []
    for number in range(5):
        drawn.append(oracle.ask().values["batch_size"])
        oracle.tell(number, float(drawn[-1]))  # Larger values have better scores.
    assert max(drawn) == 32


def test_an_exhausted_space_ends_the_draws():
    oracle = Oracle("random", SPACE[1:2], seed=0)
    drawn = []
    while draw := oracle.ask():
        drawn.append(draw.values["model"])
    assert sorted(drawn) == ["gru", "irnn", "lstm"]
