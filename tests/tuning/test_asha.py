"""Successive halving promotes the best third of each rung, and never waits for a trial."""

import random

import pytest

from tuning.asha import Asha
from tuning.oracle import Oracle
from tuning.space import parse_space

SPACE = parse_space("units:8..999,dropout:0..0.5")


@pytest.mark.parametrize(
    ("epochs", "rungs"), [(1, {1}), (2, {1, 2}), (9, {1, 3, 9}), (10, {1, 2, 4, 10})]
)
def test_rungs_are_thirds_of_the_epochs(epochs, rungs):
    asha = Asha(SPACE, 0, epochs)
    drawn = []
    for number in range(99):
        drawn.append(asha.ask().epochs)
        asha.tell(number, 0.5)
    assert set(drawn) == rungs


def test_without_scores_it_draws_at_random_for_the_lowest_rung():
    asha, at_random = Asha(SPACE, 3, epochs=9), Oracle("random", SPACE, 3)
    for _ in range(10):
        draw = asha.ask()
        assert (draw.values, draw.epochs) == (at_random.ask().values, 1)


@pytest.mark.parametrize("offset", [0, -431])  # A log-likelihood is negative.
def test_a_promotion_takes_a_draw_from_the_best_third_of_its_rung_once(offset):
    order, asha = random.Random(0), Asha(SPACE, 0, epochs=9)
    draws, scores, running, promoted = [], {}, [], []
    for _ in range(60):
        draw = asha.ask()
        if draw.epochs > 1:
            (number,) = (
                n
                for n, earlier in enumerate(draws)
                if (earlier.values, 3 * earlier.epochs) == (draw.values, draw.epochs)
            )
            promoted.append(number)
            rung = {n: s for n, s in scores.items() if draws[n].epochs == draws[number].epochs}
            rank = sorted(rung.values(), reverse=True).index(rung[number])
            assert rank < len(rung) // 3
        running.append(len(draws))
        draws.append(draw)
        while len(running) > order.randrange(5):  # They end in any order.
            number = running.pop(order.randrange(len(running)))
            scores[number] = offset + order.random()
            asha.tell(number, scores[number])
    assert len(promoted) == len(set(promoted)) > 10
    assert {draw.epochs for draw in draws} == {1, 3, 9}


def test_a_skipped_draw_is_not_in_any_rung():
    asha, draws = Asha(SPACE, 0, epochs=3), []
    for number, score in enumerate((None, None, 0.5, 0.4)):
        draws.append(asha.ask())
        assert draws[-1].epochs == 1
        asha.tell(number, score, skipped=score is None)
    assert asha.ask().epochs == 1
    asha.tell(4, 0.3)
    promoted = asha.ask()
    assert (promoted.values, promoted.epochs) == (draws[2].values, 3)


@pytest.mark.parametrize("score", [0.1, -0.1, -431.0])
def test_a_failed_draw_is_not_promoted(score):
    asha, draws = Asha(SPACE, 0, epochs=3), []
    for number in range(6):
        draws.append(asha.ask())
        assert draws[-1].epochs == 1
        asha.tell(number, None if number < 5 else score)
    promoted = asha.ask()
    assert (promoted.values, promoted.epochs) == (draws[5].values, 3)
    assert asha.ask().epochs == 1  # Two of six could be promoted, but only one has a score.
