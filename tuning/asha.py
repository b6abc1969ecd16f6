"""Asynchronous successive halving."""

import math

from tuning.oracle import Draw, Oracle

FACTOR = 3  # As in our Hyperband: one of 3 draws is promoted, to 3 times as many epochs.


class Asha:
    """Draws at random for few epochs and promotes the best draws to more epochs.

    L. Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020
    (https://arxiv.org/abs/1810.05934), algorithm 2. A rung is a number of epochs. `ask` promotes
    the best draw that is in the upper third of its rung and was not promoted before. If there is
    none, it makes a new draw in the lowest rung. It never waits for a running trial.

    The methods are those of `Oracle`.

    Args:
        space: A tuple of `Range` and `Choice`.
        seed: An integer that decides all draws.
        epochs: The number of epochs of the highest rung. Each lower rung has a third of them.
    """

    def __init__(self, space, seed, epochs):
        self._random = Oracle("random", space, seed)
        powers = range(math.ceil(math.log(epochs, FACTOR)), -1, -1)
        self._epochs = sorted({max(1, math.ceil(epochs / FACTOR**power)) for power in powers})
        self._draws = []
        self._scores = [{} for _ in self._epochs]  # For each rung: index of the draw -> score.
        self._promoted = set()

    def ask(self, recorded=None):
        """See `Oracle.ask`."""
        draw = self._promote() or self._draw(recorded)
        if draw:
            self._draws.append(draw)
        return draw

    def tell(self, number, score, skipped=False):
        """See `Oracle.tell`. A skipped draw is not in any rung."""
        if not skipped:
            rung = self._epochs.index(self._draws[number].epochs)
            self._scores[rung][number] = -math.inf if score is None else score

    def _promote(self):
        for rung in range(len(self._epochs) - 2, -1, -1):
            scores = self._scores[rung]
            best = sorted(scores, key=lambda number: (-scores[number], number))
            for number in best[: len(scores) // FACTOR]:
                if number not in self._promoted and scores[number] > -math.inf:
                    self._promoted.add(number)
                    return Draw(self._draws[number].values, self._epochs[rung + 1])
        return None

    def _draw(self, recorded):
        draw = self._random.ask(recorded)
        return draw and Draw(draw.values, self._epochs[0])
