"""What a search shows while it runs."""

import shutil
import sys

from tuning.trial import best_of


class Table:
    """Prints a line for each draw; on a terminal, below them, what is under way.

    Args:
        stream: Where to print.
    """

    def __init__(self, stream=None):
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._best = None
        self._under_way = {}

    def begin(self, trial):
        """Say that a `Trial` is under way."""
        self._under_way[trial.number] = trial
        self._show_under_way()

    def end(self, trial):
        """Say what has become of a `Trial`."""
        if trial.status == "completed" and (not self._best or trial.score > self._best.score):
            self._best = trial
        self._print(_line(trial) + ("  best so far" if trial is self._best else ""))
        self._under_way.pop(trial.number, None)
        self._show_under_way()

    def _show_under_way(self):
        """The best so far and the trial that was begun last, in a line that is not ended."""
        if self._live and self._under_way:
            best = f"best {self._best.score:.2%} in {self._best.number}; " if self._best else ""
            *others, last = self._under_way.values()
            more = f"  and {len(others)} more" if others else ""
            # A line that is wrapped could not be wiped out whole, and would stay.
            columns = max(shutil.get_terminal_size().columns - 1, 0)
            self._print((best + _line(last) + more)[:columns], end="")

    def _print(self, line, end="\n"):
        # To the line's beginning, and what stands there wiped out.
        self._stream.write(("\r\x1b[2K" if self._live else "") + line + end)
        self._stream.flush()


def best_of_each(name, trials):
    """The best completed `Trial` of each value of a parameter, the best first, a line each."""
    values = dict.fromkeys(trial.values[name] for trial in trials)
    groups = [[t for t in trials if t.values[name] == value] for value in values]
    best = [trial for trial in map(best_of, groups) if trial]
    return "\n".join(_line(trial) for trial in sorted(best, key=lambda trial: -trial.score))


def _line(trial):
    """A `Trial` in a line: number, status, score, seconds, parameters, values, reason."""
    score = f"{trial.score:.2%}" if trial.scores else ""
    seconds = f"{trial.seconds:,.0f} s" if trial.seconds is not None else ""
    parameters = f"{trial.parameters:,}" if trial.parameters is not None else ""
    values = " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in trial.values.items()
    )
    words = f"{trial.number:4d}  {trial.status:9}  {score:>7}  {seconds:>7}  {parameters:>9}  "
    return words + values + (f"  ({trial.reason})" if trial.reason else "")
