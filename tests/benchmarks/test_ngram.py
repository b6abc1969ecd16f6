import math

import numpy as np
import pytest

from benchmarks.ngram import cross_entropy

TRAIN = np.random.default_rng(0).integers(0, 4, 60)  # The symbol 4 is never seen.


def total(test, order):
    return (len(test) - 1) * cross_entropy(TRAIN, test, order, size=5)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_probabilities_of_the_symbols_after_a_history_sum_to_1(order):
    for history in ([1], [3, 0], [2, 2, 1], [0, 4, 1]):
        before = total(history, order) if len(history) > 1 else 0
        after = [total([*history, symbol], order) for symbol in range(5)]
        assert sum(math.exp(before - nats) for nats in after) == pytest.approx(1)


def test_a_bigram_model_gives_the_probability_that_is_computed_by_hand():
    # In "0 0 1 0", 0 comes three times and 1 once; after 0 come 0 and 1, once each.
    p0 = (3 + 2 * 1 / 3) / (4 + 2)
    p00 = (1 + 2 * p0) / (2 + 2)
    assert cross_entropy([0, 0, 1, 0], [0, 0], 2, size=3) == pytest.approx(-math.log(p00))
