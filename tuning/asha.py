"""Successive halving that waits for nobody."""

import math

from tuning.oracle import Draw, Oracle

FACTOR = 3  # Of so many one is promoted, to so many times the epochs: as Hyperband does here.


class Asha:
    """Draws at random for few epochs, and again for more what is among the best so far.

    L. Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020
    (https://arxiv.org/abs/1810.05934), algorithm 2. Whenever there is room for a trial, the best
    that has not been promoted yet is, if it is in the upper third of its rung; else there is a new
    draw in the lowest. Asked and told as an `Oracle`.

    Args:
        space: A tuple of `Range` and `Choice`.
        seed: An integer that decides all draws.
        epochs: The epochs of a trial at most; those of the rungs below are thirds of it.
    """

    def __init__(self, space, seed, epochs):
        self._random = Oracle("random", space, seed)
        powers = range(math.ceil(math.log(epochs, FACTOR)), -1, -1)
        self._epochs = sorted({max(1, math.ceil(epochs / FACTOR**power)) for power in powers})
        self._draws = []
        self._scores = [{} for _ in self._epochs]  # Of each rung, by the number of the draw.
        self._promoted = set()

    def ask(self, recorded=None):
        """As `Oracle.ask`."""
        draw = self._promote() or self._draw(recorded)
        if draw:
            self._draws.append(draw)
        return draw

    def tell(self, number, score, leaves_its_place=False):
        """As `Oracle.tell`; what leaves its place is in no rung."""
        if not leaves_its_place:
            rung = self._epochs.index(self._draws[number].epochs)
            self._scores[rung][number] = -math.inf if score is None else score

    def _promote(self):
        for rung in range(len(self._epochs) - 2, -1, -1):
            scores = self._scores[rung]
            best = sorted(scores, key=lambda number: (-scores[number], number))
            for number in best[: len(scores) // FACTOR]:
                if number not in self._promoted and scores[number] > -math.inf:
                    self._promoted.add(number)
                    return Draw(self._draws[number].values, self._epochs[rung + 1], number)
        return None

    def _draw(self, recorded):
        draw = self._random.ask(recorded)
        return draw and Draw(draw.values, self._epochs[0])
