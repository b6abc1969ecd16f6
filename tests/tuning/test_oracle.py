"""What is drawn next depends on the seed and the scores so far, and on nothing else."""

import random

import numpy as np
import pytest

from tuning.oracle import Oracle, hyperparameters
from tuning.space import parse_space

SPACE = parse_space("units:8..64:8,model:lstm|gru|irnn,batch_size:16..32:log")
DROPOUT = parse_space("dropout:0..0.5")
# A Gaussian process of more takes seconds to draw from.
NUMBERS = {"random": 12, "bayesian": 5, "hyperband": 23, "grid": 12}


def space_of(tuner):
    return {"bayesian": DROPOUT, "grid": SPACE[:2]}.get(tuner, SPACE)


def score_of(draw):
    """A score that prefers some values, and distinguishes epochs."""
    numbers = [v if not isinstance(v, str) else len(v) for v in draw.values.values()]
    return float(np.tanh(sum(numbers) / 100) + (draw.epochs or 0) / 50)


def draws(tuner, count, recorded=(), seed=0, at_once=1, failed=()):
    """Draws of which so many are under way at a time, and end out of order."""
    oracle, drawn, under_way = Oracle(tuner, space_of(tuner), seed, epochs=9), [], []
    while len(drawn) < count:
        draw = None
        if len(under_way) < at_once:
            draw = oracle.ask(recorded[len(drawn)].values if len(drawn) < len(recorded) else None)
        if draw:
            under_way.append(len(drawn))
            drawn.append(draw)
        elif under_way:
            number = under_way.pop(len(drawn) % len(under_way))
            oracle.tell(number, None if number in failed else score_of(drawn[number]))
        else:
            break
    return drawn


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("tuner", NUMBERS)
def test_an_oracle_that_is_told_what_was_draws_on_as_if_it_had_never_ended(tuner, at_once):
    # Side by side the first draw that knows enough to learn from comes later.
    count = NUMBERS[tuner] + (tuner == "bayesian" and at_once - 1)
    options = {"at_once": at_once, "failed": (1, 4)}
    whole = draws(tuner, count, **options)
    assert len(whole) == count
    cuts = (2, count - 1) if tuner == "bayesian" else range(0, count, 3)
    for cut in cuts:
        random.seed(cut)  # Whatever else was drawn meanwhile.
        np.random.seed(cut)
        assert draws(tuner, count, recorded=whole[:cut], **options) == whole


@pytest.mark.parametrize("tuner", ["random", "grid"])
def test_what_does_not_depend_on_scores_is_drawn_before_they_are_known(tuner):
    assert draws(tuner, 12, at_once=5) == draws(tuner, 12)


@pytest.mark.parametrize("tuner", NUMBERS)
def test_what_is_recorded_counts_whatever_would_be_drawn_now(tuner):
    (drawn,) = draws(tuner, 1)
    recorded = {"units": 16, "model": "irnn", "batch_size": 17, "dropout": 0.123}
    recorded = {name: recorded[name] for name in drawn.values}
    assert drawn.values != recorded
    assert Oracle(tuner, space_of(tuner), 0, epochs=9).ask(recorded).values == recorded


@pytest.mark.parametrize("tuner", ["random", "hyperband"])
def test_each_seed_draws_otherwise_and_0_is_a_seed(tuner):
    first, again, other = (draws(tuner, 6, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert all(one.values != two.values for one, two in zip(first, other, strict=True))


def test_the_bayesian_oracle_learns_from_the_scores():
    def after(sign):
        oracle = Oracle("bayesian", DROPOUT, seed=0)
        for number in range(4):
            draw = oracle.ask()
            oracle.tell(number, sign * draw.values["dropout"])
        return draw.values["dropout"]

    assert after(1) > 0.45
    assert after(-1) < 0.15


def test_a_grid_is_drawn_once_from_end_to_end():
    drawn = [tuple(draw.values.values()) for draw in draws("grid", 99)]
    assert len(drawn) == len(set(drawn)) == 8 * 3


def test_hyperband_promotes_the_best_to_more_epochs():
    drawn = draws("hyperband", 99)
    assert [draw.epochs for draw in drawn[:13]] == 9 * [1] + 3 * [3] + [9]
    best = sorted(range(9), key=lambda n: -score_of(drawn[n]))[:3]
    assert [draw.promoted_from for draw in drawn[9:12]] == best
    for draw in drawn[9:12]:
        assert draw.values == drawn[draw.promoted_from].values


def test_hyperband_draws_another_in_place_of_what_costs_too_much():
    oracle = Oracle("hyperband", SPACE, seed=0, epochs=9)
    for number in range(9 + 3):
        assert oracle.ask().epochs == 1
        oracle.tell(number, None if number % 3 == 0 and number else 0.5, number % 3 == 0 and number)
    assert oracle.ask().epochs == 3


def test_what_has_no_score_counts_as_the_worst_and_is_not_promoted():
    oracle, failed = Oracle("hyperband", SPACE, seed=0, epochs=9), (0, 4, 5)
    for number in range(9):
        oracle.ask()
        oracle.tell(number, None if number in failed else 0.5)
    promoted = []
    for number in range(9, 12):
        promoted.append(oracle.ask().promoted_from)
        oracle.tell(number, 0.6)
    assert not set(promoted) & set(failed)


def test_no_draw_leaves_its_range():
    # At the upper end of its scale KerasTuner's logarithmic integers are one too many.
    assert hyperparameters(SPACE).space[2].prob_to_value(1.0) == 33
    oracle = Oracle("bayesian", SPACE[2:], seed=0)
    drawn = []
    for number in range(5):
        drawn.append(oracle.ask().values["batch_size"])
        oracle.tell(number, float(drawn[-1]))  # The more the better.
    assert max(drawn) == 32


def test_an_exhausted_space_ends_the_draws():
    oracle = Oracle("random", SPACE[1:2], seed=0)
    drawn = []
    while draw := oracle.ask():
        drawn.append(draw.values["model"])
    assert sorted(drawn) == ["gru", "irnn", "lstm"]
