"""Successive halving promotes the best thirds, and never waits."""

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


def test_without_scores_it_draws_on_at_random_for_the_fewest_epochs():
    asha, at_random = Asha(SPACE, 3, epochs=9), Oracle("random", SPACE, 3)
    for _ in range(10):
        draw = asha.ask()
        assert (draw.values, draw.epochs) == (at_random.ask().values, 1)


def test_each_promotion_is_of_the_best_not_promoted_yet_of_a_third():
    order, asha = random.Random(0), Asha(SPACE, 0, epochs=9)
    draws, scores, under_way = [], {}, []
    for _ in range(60):
        draw = asha.ask()
        if draw.promoted_from is not None:
            before = draws[draw.promoted_from]
            assert (before.values, 3 * before.epochs) == (draw.values, draw.epochs)
            rung = {n: s for n, s in scores.items() if draws[n].epochs == before.epochs}
            rank = sorted(rung.values(), reverse=True).index(rung[draw.promoted_from])
            assert rank < len(rung) // 3
        under_way.append(len(draws))
        draws.append(draw)
        while len(under_way) > order.randrange(5):  # They end in any order.
            number = under_way.pop(order.randrange(len(under_way)))
            scores[number] = order.random()
            asha.tell(number, scores[number])
    promoted = [draw.promoted_from for draw in draws if draw.promoted_from is not None]
    assert len(promoted) == len(set(promoted)) > 10
    assert {draw.epochs for draw in draws} == {1, 3, 9}


def test_what_costs_too_much_is_in_no_rung():
    asha = Asha(SPACE, 0, epochs=3)
    for number, score in enumerate((None, None, 0.5, 0.4)):
        assert asha.ask().epochs == 1
        asha.tell(number, score, leaves_its_place=score is None)
    assert asha.ask().epochs == 1
    asha.tell(4, 0.3)
    assert asha.ask().promoted_from == 2


def test_what_fails_is_not_promoted():
    asha = Asha(SPACE, 0, epochs=3)
    for number in range(6):
        assert asha.ask().epochs == 1
        asha.tell(number, None if number < 5 else 0.1)
    assert asha.ask().promoted_from == 5
    assert asha.ask().promoted_from is None  # Of six there might be two.
