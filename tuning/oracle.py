"""What is tried next: KerasTuner's oracles, made reproducible.

An oracle of KerasTuner decides by its random numbers and by the scores so far. Here the numbers
of each draw are a function of the seed and the draw's place, and nothing is written: an oracle that
is told the same draws and scores again is the same oracle, whenever and wherever it was ended.
"""

import contextlib
import dataclasses
import functools
import math
import random
import warnings

import keras_tuner
import numpy as np
from keras_tuner import oracles
from threadpoolctl import threadpool_limits

from tuning.space import Range

_ORACLES = {
    "random": oracles.RandomSearchOracle,
    "bayesian": oracles.BayesianOptimizationOracle,
    "hyperband": oracles.HyperbandOracle,
    "grid": oracles.GridSearchOracle,
}


@dataclasses.dataclass(frozen=True)
class Draw:
    """What an oracle wants to be tried.

    Attributes:
        values: A value of each parameter by name.
        epochs: For how many epochs to train; `None` for as many as the config says.
        promoted_from: The number of the draw that had the same values and fewer epochs, or `None`.
    """

    values: dict
    epochs: int | None = None
    promoted_from: int | None = None


class Oracle:
    """Draws values one after another, whether or not the scores of those before are known yet.

    Which of them are known when it draws is all that matters, not in what order they became so.

    Args:
        tuner: `"random"`, `"bayesian"`, `"hyperband"` (L. Li et al., Hyperband, JMLR 2018,
            http://jmlr.org/papers/v18/16-558.html) or `"grid"`.
        space: A tuple of `Range` and `Choice`.
        seed: An integer that decides all draws. (KerasTuner's own 0 would mean any.)
        epochs: The epochs of a trial at most, of which Hyperband gives most trials fewer.
        endless: Whether Hyperband begins anew after a sweep. Else it ends with the one it is in.
    """

    def __init__(self, tuner, space, seed, epochs=1, endless=False):
        options = {"max_epochs": epochs, "hyperband_iterations": None}
        self._oracle = _reproducible(_ORACLES[tuner])(
            objective=keras_tuner.Objective("score", "max"),
            hyperparameters=hyperparameters(space),
            seed=random.Random(seed).randrange(1, 2**32),
            max_consecutive_failed_trials=None,  # Which are the search's business.
            **options if tuner == "hyperband" else {"max_trials": None},
        )
        self._oracle.verbose = 0
        self._oracle.space, self._oracle.endless = space, endless
        self._blind = tuner in ("random", "grid")
        self._trials, self._failed = [], []

    def ask(self, recorded=None):
        """Draw.

        Args:
            recorded: The values that this draw had when it was made before.

        Returns:
            A `Draw`, the next by number; or `None` if there is nothing to be tried until more
            scores are known, and if all are, nothing at all.
        """
        for trial in self._failed:
            trial.score = self._worst()
        self._oracle.recorded = recorded
        with _quietly():
            trial = self._oracle.create_trial(str(len(self._trials)))
        if trial.status != "RUNNING":
            return None
        self._trials.append(trial)
        if self._blind:  # Without this a grid would wait for scores that it does not look at.
            self._end(trial, 0.0)
        values = dict(trial.hyperparameters.values)
        parent = values.get("tuner/trial_id")
        return Draw(
            {parameter.name: values[parameter.name] for parameter in self._oracle.space},
            values.get("tuner/epochs"),
            None if parent is None else int(parent),
        )

    def tell(self, number, score, leaves_its_place=False):
        """Say what a draw has come to.

        Args:
            number: The number of the draw, from 0.
            score: Its score, the more the better; `None` if it has none. Then it counts as worse
                than all that have, so that what fails is avoided.
            leaves_its_place: Whether Hyperband shall draw another one in place of it.
        """
        if self._blind:
            return
        trial = self._trials[number]
        self._end(trial, self._worst() if score is None else score)
        if score is None:
            self._failed.append(trial)
        if leaves_its_place and isinstance(self._oracle, oracles.HyperbandOracle):
            for bracket in self._oracle._brackets:
                for members in bracket["rounds"]:
                    members[:] = [m for m in members if m["id"] != trial.trial_id]

    def _worst(self):
        """A score that is just worse than all scores so far."""
        others = [t.score for t in self._trials if t.score is not None and t not in self._failed]
        return math.nextafter(min(others, default=0.0), -math.inf)

    def _end(self, trial, score):
        trial.status = "COMPLETED"
        with _quietly():
            self._oracle.update_trial(trial.trial_id, {"score": score})
            self._oracle.end_trial(trial)


def hyperparameters(space):
    """A search space as KerasTuner's `HyperParameters`."""
    values = keras_tuner.HyperParameters()
    for parameter in space:
        if not isinstance(parameter, Range):
            values.Choice(parameter.name, list(parameter.values))
            continue
        define = values.Int if isinstance(parameter.low, int) else values.Float
        sampling = "log" if parameter.log else "linear"
        define(parameter.name, parameter.low, parameter.high, sampling=sampling)
    return values


@functools.cache
def _reproducible(base):
    """A class of oracles whose draws are a function of the seed and of what they were told."""

    class Reproducible(base):
        recorded = None

        def populate_space(self, trial_id):
            bayesian = base is oracles.BayesianOptimizationOracle
            if base is oracles.HyperbandOracle and not self.endless:
                # What is recorded may be of sweeps that were begun when it was.
                sweeps = self._current_iteration + 1
                self.hyperband_iterations = None if self.recorded else sweeps
            if self.recorded and bayesian:
                # Its draw would take seconds, and has no effect but the values.
                return {"status": "RUNNING", "values": self.recorded}
            numbers = random.Random(f"{self.seed} {len(self.trials)}")
            self._seed_state = numbers.randrange(2**32)
            self._random_state = np.random.RandomState(numbers.randrange(2**32))
            # A Gaussian process of some tens of points is fastest on a single processor.
            with threadpool_limits(1) if bayesian else contextlib.nullcontext():
                if bayesian and self.ongoing_trials:
                    self._expect_scores()
                response = super().populate_space(trial_id)
            if response["status"] == "RUNNING":
                response["values"] |= self.recorded or _clipped(response["values"], self.space)
            return response

        def _expect_scores(self):
            # What it expects of the draws under way follows from the scores it knows, rather than
            # from those it knew when it drew before.
            self.gpr, trials = self._make_gpr(), self.trials
            self.trials = {i: t for i, t in trials.items() if t.status == "COMPLETED"}
            if self.trials:
                self.gpr.fit(*self._vectorize_trials())
            self.trials = trials

        def save(self):
            """Leave no file: what was drawn and scored is recorded by the search."""

        def _save_trial(self, trial):
            """Leave no file."""

    return Reproducible


def _clipped(values, space):
    """Values within their ranges, which rounding errors, and KerasTuner's for integers, leave."""
    ranges = [parameter for parameter in space if isinstance(parameter, Range)]
    return {parameter.name: parameter.clip(values[parameter.name]) for parameter in ranges}


def _quietly():
    """Without KerasTuner's warnings of its use of old names, and scikit-learn's of flat optima."""
    return warnings.catch_warnings(action="ignore")
