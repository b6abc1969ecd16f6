"""The long-lag tasks, beside their definitions spelled out."""

import numpy as np
import pytest

from datasets.lags import TASKS
from tests.conftest import random_split

IMAGES = random_split(9, 3, seed=0).inputs.copy()
IMAGES[:, :4] = 0  # Digits do not begin in the first row.


def generate(task, lag):
    return TASKS[task].generate(lag, 200, np.random.default_rng(1), IMAGES)


@pytest.mark.parametrize("lag", [10, 37, 300])
def test_adding_asks_for_the_sum_of_the_two_that_are_marked(lag):
    sequences, targets = generate("adding", lag)
    assert sequences.shape == (200, lag, 2)
    assert targets.shape == (200, 1)
    for (values, marks), (target,) in zip(sequences.swapaxes(1, 2), targets, strict=True):
        first, second = np.flatnonzero(marks)
        assert first < lag // 2 <= second
        assert target == pytest.approx(values[first] + values[second])


@pytest.mark.parametrize("lag", [10, 37, 300])
def test_temporal_order_asks_for_the_two_symbols_that_mean_something_in_turn(lag):
    sequences, targets = generate("temporal_order", lag)
    assert sequences.shape == (200, lag, 8)
    assert (sequences.sum(axis=-1) == 1).all()
    for symbols, target in zip(sequences.argmax(axis=-1), targets, strict=True):
        assert (symbols[0], symbols[-1]) == (6, 7)
        first, second = (symbol - 4 for symbol in symbols if symbol in (4, 5))
        assert target == 2 * first + second
    assert set(targets) == {0, 1, 2, 3}


def test_first_row_asks_for_the_row_that_came_first():
    sequences, targets = generate("first_row", 30)
    assert sequences.shape == (200, 58, 28)
    assert sequences[:, 0].max(axis=-1).min() > 0.5
    np.testing.assert_array_equal(targets, sequences[:, 0] > 0.5)
    assert not sequences[:, 28:].any()
    shown = {sequence[:20].tobytes() for sequence in sequences}
    assert shown <= {(image[4:24] / 255).astype("float32").tobytes() for image in IMAGES}


def test_the_errors_are_none_for_the_right_answers_and_known_for_the_best_guess():
    _, sums = generate("adding", 100)
    assert TASKS["adding"].error(sums, sums) == 0
    assert TASKS["adding"].error(np.ones_like(sums), sums) == pytest.approx(1 / 6, rel=0.3)
    _, classes = generate("temporal_order", 100)
    assert TASKS["temporal_order"].error(np.eye(4)[classes], classes) == 0
    assert TASKS["temporal_order"].error(np.eye(4)[classes - 1], classes) == 1
    _, rows = generate("first_row", 10)
    assert TASKS["first_row"].error(rows - 0.5, rows) == 0
    assert TASKS["first_row"].error(-np.ones_like(rows), rows) == 1
