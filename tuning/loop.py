"""The draws of a search, one after another, and what becomes of each."""

import collections
import dataclasses
import math

from configs import Interrupted, UserError
from tuning.asha import Asha
from tuning.budget import measure
from tuning.execution import FAILURES
from tuning.oracle import Oracle
from tuning.table import Table
from tuning.trial import Trial, best_of

MOST_FAILURES, MOST_REJECTED = 3, 100  # In a row. A grid, which has an end, may reject more.


class Loop:
    """Draws, has workers train, and records, as many trials at once as there are workers.

    Nothing is known but what `trials.csv` holds: at which draw which scores were known is part of
    it, so that a tuner that is asked and told the same again draws on from there.

    Args:
        search: The `Search`.
        results: Its `Results`.
        trials: The `Trial`s recorded so far, to which new ones are added.
        spec: The `Spec` of the dataset.
        workers: What trains, such as `execution.InProcess`.
    """

    def __init__(self, search, results, trials, spec, workers):
        config = search.config
        if search.tuner == "asha":
            self._oracle = Asha(search.space, config.seed, config.epochs)
        else:
            options = search.space, config.seed, config.epochs, search.max_trials is not None
            self._oracle = Oracle(search.tuner, *options)
        self._search, self._results, self._trials = search, results, trials
        self._most_rejected = math.inf if search.tuner == "grid" else MOST_REJECTED
        self._spec, self._workers = spec, workers
        self._first = {}  # By what was drawn, the number of its first draw.
        self._begun = collections.deque()  # Trials that are to go on.
        self._table, self._rejected, self._kinds = Table(), 0, []

    def run(self, stop):
        """Go on until there is nothing to draw, and nothing under way.

        Args:
            stop: A function that gives the number of the signal that asked to stop, or `None`.
        """
        self._repeat()
        while True:
            if stop():
                for trial in self._workers.stop():
                    self._end(trial)
                raise Interrupted(stop(), self._so_far())
            if self._workers.under_way < self._workers.at_once and (trial := self._next()):
                if trial.status == "running":
                    self._table.begin(trial)
                    config = self._search.config_of(trial)
                    folder = self._results.trial_path(trial.number)
                    self._workers.start(trial, config, folder)
            elif self._workers.under_way:
                for trial in self._workers.wait():
                    if trial.status == "running":
                        self._table.end(trial)
                        self._begun.append(self._trials[trial.number])
                    else:
                        self._end(trial)
            else:
                self._say_why_it_ends()
                return

    def _repeat(self):
        """Ask and tell what was asked and told before the search was ended."""
        for trial in self._trials:
            self._tell(known_at=trial.number)
            if not self._oracle.ask(trial.values):
                raise UserError(
                    f"{self._results.trials_path}: the tuner ends before draw {trial.number} of "
                    "the file; expected a file that this version of the program wrote: search "
                    "again under another --name"
                )
            self._note(trial)
            if trial.status == "running":
                self._begun.append(trial)
        self._tell(known_at=len(self._trials))

    def _tell(self, known_at):
        for trial in self._trials:
            if trial.known_at == known_at:
                self._settle(trial)

    def _next(self):
        """The `Trial` of the next draw; `None` if there is none, or none yet."""
        if self._begun:
            return self._begun.popleft()
        most = self._search.max_trials
        if self._rejected == self._most_rejected or (most is not None and self._count() >= most):
            return None
        draw = self._oracle.ask()
        if not draw:
            return None
        trial = self._prepare(len(self._trials), draw)
        self._note(trial)
        self._results.save(self._trials, trial)
        if trial.known_at is not None:
            self._settle(trial)
            self._check_failures(trial)
        return trial

    def _count(self):
        """How many trials have been trained or are under way."""
        return sum(t.status in ("completed", "failed", "running") for t in self._trials)

    def _say_why_it_ends(self):
        """Say why there is nothing more to draw, unless it is as it was asked for."""
        most = self._search.max_trials
        if self._rejected == self._most_rejected:
            what = "cost too much or were drawn before"
            print(f"the search ends: {MOST_REJECTED} draws in a row {what}")
        elif most is not None and self._count() < most:
            print(
                f"the search ends after {self._count()} of --max_trials={most}: "
                f"--tuner={self._search.tuner} found nothing else to draw"
            )

    def _prepare(self, number, draw):
        """The `Trial` of a new `Draw`: running, unless something is against it."""
        search = self._search
        epochs = draw.epochs or search.config.epochs
        trial = Trial(number, "running", draw.values, epochs=epochs)
        at_once = {"known_at": number + 1}
        first = self._first.get(_what(trial))
        if first is not None:
            earlier = self._trials[first]
            if earlier.status == "running":
                at_once = {}
            trial = dataclasses.replace(trial, status="repeated", reason=f"the same as {first}")
            return dataclasses.replace(trial, score=earlier.score, **at_once)
        limits = search.max_parameters, search.max_latency_ms
        try:
            config = search.config_of(trial)
            if limits == (None, None):
                return trial  # To build its model takes longer than all else here.
            parameters, latency, excess = measure(config, self._spec, *limits)
        except FAILURES as error:
            return dataclasses.replace(trial.failed(error), **at_once)
        trial = dataclasses.replace(trial, parameters=parameters, latency_ms=latency)
        if excess:
            return dataclasses.replace(trial, status="rejected", reason=excess, **at_once)
        return trial

    def _note(self, trial):
        """Note a draw, new or recorded."""
        self._first.setdefault(_what(trial), trial.number)
        not_trained = trial.status in ("rejected", "repeated")
        self._rejected = self._rejected + 1 if not_trained else 0

    def _end(self, trial):
        """Record what has become of a `Trial` that was under way, and of those that repeat it."""
        known_at = len(self._trials)
        trial = dataclasses.replace(trial, known_at=known_at)
        if trial.status == "completed":
            self._results.save_hparams(trial)
            if best_of([*self._trials, trial]) is trial:
                config = self._search.config_of(trial)
                self._results.save_best(trial, config, self._workers.threads)
        same = [t for t in self._trials if t.known_at is None and _what(t) == _what(trial)]
        same = [
            dataclasses.replace(t, score=trial.score, known_at=known_at)
            for t in same
            if t.status == "repeated"
        ]
        for each in (trial, *same):
            self._settle(each)
            self._results.save(self._trials, each)
        self._check_failures(trial)

    def _settle(self, trial):
        """Let the tuner, and whoever looks on, know what has become of a `Trial`."""
        not_trained = trial.status in ("rejected", "repeated")
        self._oracle.tell(trial.number, trial.score, leaves_its_place=not_trained)
        self._table.end(trial)
        if not not_trained:
            self._kinds = [*self._kinds[1 - MOST_FAILURES :], trial.kind]

    def _check_failures(self, trial):
        if trial.status == "failed" and self._kinds == MOST_FAILURES * [trial.kind]:
            raise UserError(
                f"{MOST_FAILURES} trials in a row failed alike: {trial.reason}; all are kept in "
                f"{self._results.trials_path}; expected trials that can be trained: change "
                "--search "
                "under another --name, or go on after these with the same command"
            )

    def _so_far(self):
        under_way = [str(t.number) for t in self._trials if t.status == "running"]
        if under_way:
            trials = "trial" if len(under_way) == 1 else "trials"
            return f"interrupted in {trials} {', '.join(under_way)}"
        return f"interrupted after trial {len(self._trials) - 1}"


def _what(trial):
    """What was drawn: two such draws are the same."""
    return (trial.epochs, *trial.values.values())
