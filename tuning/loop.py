"""The loop of a search: draw, train, record."""

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

MAX_FAILURES = 3  # In a row and for the same reason.
MAX_SKIPPED = 100  # In a row. A grid has no such limit, since it ends by itself.


class Loop:
    """Draws trials, has workers train as many as they can at a time, and records the results.

    All state is in `trials.csv`, including which scores were available at each draw. On a start the
    tuner is asked and told the same again, in the same order, and continues from there.

    Args:
        search: The `Search`.
        results: Its `Results`.
        trials: The list of recorded `Trial`s, to which new ones are added.
        spec: The `Spec` of the dataset.
        workers: The workers, such as `execution.InProcess`.
    """

    def __init__(self, search, results, trials, spec, workers):
        config = search.config
        if search.tuner == "asha":
            self._oracle = Asha(search.space, config.seed, config.epochs)
        else:
            options = search.space, config.seed, config.epochs, search.max_trials is not None
            self._oracle = Oracle(search.tuner, *options)
        self._search, self._results, self._trials = search, results, trials
        self._max_skipped = math.inf if search.tuner == "grid" else MAX_SKIPPED
        self._spec, self._workers = spec, workers
        self._first_draws = {}  # `_key` of a trial -> index of the first draw with this key.
        self._to_resume = collections.deque()  # Trials that began, but are not running.
        self._table = Table(results.score)
        self._skipped = 0  # Draws in a row that were not trained.
        self._last_reasons = []  # `reason_pattern` of the last trained trials.

    def run(self, stop):
        """Run until there is nothing left to draw and no trial is running.

        Args:
            stop: A function that returns the number of the received stop signal, or `None`.
        """
        self._replay()
        while True:
            if stop():
                for trial in self._workers.stop():
                    self._end(trial)
                raise Interrupted(stop(), self._describe_interruption())
            if self._workers.running < self._workers.max_running and (trial := self._next()):
                if trial.status == "running":
                    self._table.begin(trial)
                    config = self._search.config_of(trial)
                    folder = self._results.trial_path(trial.number)
                    self._workers.start(trial, config, folder)
            elif self._workers.running:
                for trial in self._workers.wait():
                    if trial.status == "running":
                        self._table.end(trial)
                        self._to_resume.append(self._trials[trial.number])
                    else:
                        self._end(trial)
            else:
                self._print_why_it_ends()
                return

    def _replay(self):
        """Ask and tell the tuner the recorded draws and scores, in their order."""
        for trial in self._trials:
            self._tell_known(at=trial.number)
            if not self._oracle.ask(trial.values):
                raise UserError(
                    f"{self._results.trials_path}: the tuner ends before draw {trial.number} of "
                    "the file; expected a file that this version of the program wrote: search "
                    "again under another --name"
                )
            self._register(trial)
            if trial.status == "running":
                self._to_resume.append(trial)
        self._tell_known(at=len(self._trials))

    def _tell_known(self, at):
        for trial in self._trials:
            if trial.known_at == at:
                self._tell(trial)

    def _next(self):
        """The next `Trial`; `None` if there is none, or none before more scores are available."""
        if self._to_resume:
            return self._to_resume.popleft()
        max_trials = self._search.max_trials
        if max_trials is not None and self._count() >= max_trials:
            return None
        if self._skipped == self._max_skipped:
            return None
        draw = self._oracle.ask()
        if not draw:
            return None
        trial = self._prepare(len(self._trials), draw)
        self._register(trial)
        self._results.save(self._trials, trial)
        if trial.known_at is not None:
            self._tell(trial)
            self._check_failures(trial)
        return trial

    def _count(self):
        """The number of trials that were trained or are running."""
        return sum(t.status in ("completed", "failed", "running") for t in self._trials)

    def _print_why_it_ends(self):
        """Print why the search ends, unless it has all trials that were asked for."""
        max_trials = self._search.max_trials
        if self._skipped == self._max_skipped:
            print(
                f"the search ends: {MAX_SKIPPED} draws in a row were over the budget or repeated "
                "an earlier draw"
            )
        elif max_trials is not None and self._count() < max_trials:
            print(
                f"the search ends after {self._count()} of --max_trials={max_trials}: "
                f"--tuner={self._search.tuner} found no other combination of values"
            )

    def _prepare(self, number, draw):
        """A `Trial` for a new `Draw`: `running`, or not to be trained for a reason."""
        search = self._search
        epochs = draw.epochs or search.config.epochs
        trial = Trial(number, "running", draw.values, epochs=epochs)
        known_now = {"known_at": number + 1}
        first = self._first_draws.get(_key(trial))
        if first is not None:
            earlier = self._trials[first]
            known = {} if earlier.status == "running" else known_now
            reason = f"the same values as trial {first}"
            repeated = {"status": "repeated", "score": earlier.score, "reason": reason}
            return dataclasses.replace(trial, **repeated, **known)
        limits = search.max_parameters, search.max_latency_ms
        try:
            config = search.config_of(trial)
            if limits == (None, None):
                return trial  # Without limits no model is built here, since that is slow.
            parameters, latency, excess = measure(config, self._spec, *limits)
        except FAILURES as error:
            return dataclasses.replace(trial.failed(error), **known_now)
        trial = dataclasses.replace(trial, parameters=parameters, latency_ms=latency)
        if excess:
            return dataclasses.replace(trial, status="rejected", reason=excess, **known_now)
        return trial

    def _register(self, trial):
        """Remember a draw, new or recorded."""
        self._first_draws.setdefault(_key(trial), trial.number)
        self._skipped = self._skipped + 1 if _is_skipped(trial) else 0

    def _end(self, trial):
        """Record the result of a `Trial` that was running, and of the trials that repeat it."""
        known_at = len(self._trials)
        trial = dataclasses.replace(trial, known_at=known_at)
        if trial.status == "completed":
            self._results.save_hparams(trial)
            if best_of([*self._trials, trial]) is trial:
                config = self._search.config_of(trial)
                self._results.save_best(trial, config, self._workers.threads)
        repeats = [
            dataclasses.replace(t, score=trial.score, known_at=known_at)
            for t in self._trials
            if t.status == "repeated" and t.known_at is None and _key(t) == _key(trial)
        ]
        for each in (trial, *repeats):
            self._tell(each)
            self._results.save(self._trials, each)
        self._check_failures(trial)

    def _tell(self, trial):
        """Tell the tuner the result of a `Trial`, and print it."""
        self._oracle.tell(trial.number, trial.score, skipped=_is_skipped(trial))
        self._table.end(trial)
        if not _is_skipped(trial):
            self._last_reasons = [*self._last_reasons[1 - MAX_FAILURES :], trial.reason_pattern]

    def _check_failures(self, trial):
        if trial.status == "failed" and self._last_reasons == MAX_FAILURES * [trial.reason_pattern]:
            raise UserError(
                f"{MAX_FAILURES} trials in a row failed for the same reason: {trial.reason}; all "
                f"are recorded in {self._results.trials_path}; expected trials that can be "
                "trained: change --search under another --name, or go on after these with the "
                "same command"
            )

    def _describe_interruption(self):
        running = [str(t.number) for t in self._trials if t.status == "running"]
        if running:
            trials = "trial" if len(running) == 1 else "trials"
            return f"interrupted in {trials} {', '.join(running)}"
        return f"interrupted after trial {len(self._trials) - 1}"


def _key(trial):
    """Equal for two trials with the same values and epochs."""
    return (trial.epochs, *trial.values.values())


def _is_skipped(trial):
    """Whether a trial is not trained."""
    return trial.status in ("rejected", "repeated")
