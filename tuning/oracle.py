"""KerasTuner's oracles, made reproducible.

An oracle of KerasTuner chooses the next values from its random numbers and from the scores so far.
Here the random numbers of each draw depend only on the seed and on the index of the draw, and an
oracle writes no files. To restore an oracle, ask and tell a new one the same draws and scores.
"""

import dataclasses
import math
import random
import warnings

import keras_tuner
import numpy as np
from keras_tuner import oracles
from threadpoolctl import threadpool_limits

from tuning.space import Range


@dataclasses.dataclass(frozen=True)
class Draw:
    """The values that an oracle wants to try next.

    Attributes:
        values: A value of each parameter, by name.
        epochs: Number of epochs to train for; `None` for the number of the config.
    """

    values: dict
    epochs: int | None = None


class Oracle:
    """Draws values; the scores of earlier draws may still be missing.

    A draw depends on which scores are available, not on the order in which they arrived.

    Args:
        tuner: `"random"`, `"bayesian"`, `"hyperband"` (L. Li et al., Hyperband, JMLR 2018,
            http://jmlr.org/papers/v18/16-558.html) or `"grid"`.
        space: A tuple of `Range` and `Choice`.
        seed: An integer that decides all draws.
        epochs: Maximum number of epochs of a trial. Hyperband trains most trials for fewer.
        endless: Whether Hyperband starts again after all its brackets. Otherwise it ends with the
            iteration it is in.
    """

    def __init__(self, tuner, space, seed, epochs=1, endless=False):
        if tuner == "hyperband":
            self._oracle = _Hyperband(space, seed, epochs, endless)
        else:
            create = {"random": _Random, "bayesian": _Bayesian, "grid": _Grid}[tuner]
            self._oracle = create(space, seed, max_trials=None)
        self._space = space
        self._trials, self._failed = [], []

    def ask(self, recorded=None):
        """Draw the next values.

        Args:
            recorded: The values of this draw, if it was made before.

        Returns:
            A `Draw`. `None` if there is nothing to draw until more scores are available; if all
            scores are available, there is nothing left to draw.
        """
        for trial in self._failed:
            trial.score = self._worst_score()
        self._oracle.recorded = recorded
        with _without_warnings():
            trial = self._oracle.create_trial(str(len(self._trials)))
        if trial.status != "RUNNING":
            return None
        self._trials.append(trial)
        if not self._oracle.uses_scores:
            self._end(trial, 0.0)  # Otherwise a grid would wait for scores.
        values = trial.hyperparameters.values
        drawn = {parameter.name: values[parameter.name] for parameter in self._space}
        return Draw(drawn, values.get("tuner/epochs"))

    def tell(self, number, score, skipped=False):
        """Report the result of a draw.

        Args:
            number: Index of the draw, from 0.
            score: Its score, higher is better. `None` counts as worse than all other scores, so
                that the oracle avoids values that fail.
            skipped: Whether it was not trained. Hyperband then draws another one in its bracket.
        """
        if not self._oracle.uses_scores:
            return
        trial = self._trials[number]
        self._end(trial, self._worst_score() if score is None else score)
        if score is None:
            self._failed.append(trial)
        if skipped and isinstance(self._oracle, _Hyperband):
            self._oracle.remove(trial)

    def _worst_score(self):
        """The largest number below all scores so far."""
        others = [t.score for t in self._trials if t.score is not None and t not in self._failed]
        return math.nextafter(min(others, default=0.0), -math.inf)

    def _end(self, trial, score):
        trial.status = "COMPLETED"
        with _without_warnings():
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


class _Reproducible:
    """Makes the draws of a KerasTuner oracle depend only on the seed and on what it was told.

    Attributes:
        uses_scores: Whether the draws depend on scores.
        recorded: The values of the next draw, if it was made before; or `None`.
    """

    uses_scores = True
    recorded = None

    def __init__(self, space, seed, **options):
        super().__init__(
            objective=keras_tuner.Objective("score", "max"),
            hyperparameters=hyperparameters(space),
            seed=random.Random(seed).randrange(1, 2**32),  # KerasTuner replaces a seed of 0.
            max_consecutive_failed_trials=None,  # The search counts failures itself.
            **options,
        )
        self.verbose = 0
        self._space = space

    def populate_space(self, trial_id):
        numbers = random.Random(f"{self.seed} {len(self.trials)}")
        self._seed_state = numbers.randrange(2**32)
        self._random_state = np.random.RandomState(numbers.randrange(2**32))
        response = super().populate_space(trial_id)
        if response["status"] == "RUNNING":
            response["values"] |= self.recorded or _clip(response["values"], self._space)
        return response

    def save(self):
        """Write no file: the search records draws and scores itself."""

    def _save_trial(self, trial):
        """Write no file."""


class _Random(_Reproducible, oracles.RandomSearchOracle):
    uses_scores = False


class _Grid(_Reproducible, oracles.GridSearchOracle):
    uses_scores = False


class _Bayesian(_Reproducible, oracles.BayesianOptimizationOracle):
    def populate_space(self, trial_id):
        if self.recorded:
            # A draw takes seconds and changes nothing in the oracle.
            return {"status": "RUNNING", "values": self.recorded}
        # One thread is the fastest for a Gaussian process of some tens of points.
        with threadpool_limits(1):
            if self.ongoing_trials:
                self._fit_completed()
            return super().populate_space(trial_id)

    def _fit_completed(self):
        """Fit a new Gaussian process, which KerasTuner asks for the scores of running trials.

        KerasTuner would ask the one of the previous draw, so a draw would depend on which scores
        were available at that time.
        """
        self.gpr, trials = self._make_gpr(), self.trials
        self.trials = {i: t for i, t in trials.items() if t.status == "COMPLETED"}
        if self.trials:
            self.gpr.fit(*self._vectorize_trials())
        self.trials = trials


class _Hyperband(_Reproducible, oracles.HyperbandOracle):
    def __init__(self, space, seed, epochs, endless):
        super().__init__(space, seed, max_epochs=epochs, hyperband_iterations=None)
        self._endless = endless

    def populate_space(self, trial_id):
        if not self._endless:
            # Recorded draws may be of a search with --max_trials, which had more iterations.
            self.hyperband_iterations = None if self.recorded else self._current_iteration + 1
        return super().populate_space(trial_id)

    def remove(self, trial):
        """Remove a trial from its bracket, which then draws another one."""
        for bracket in self._brackets:
            for members in bracket["rounds"]:
                members[:] = [m for m in members if m["id"] != trial.trial_id]


def _clip(values, space):
    """Clip values to their ranges: KerasTuner exceeds them by rounding, integers by one."""
    ranges = [parameter for parameter in space if isinstance(parameter, Range)]
    return {parameter.name: parameter.clip(values[parameter.name]) for parameter in ranges}


def _without_warnings():
    """Ignore KerasTuner's deprecation warnings, and scikit-learn's about flat optima."""
    return warnings.catch_warnings(action="ignore")
