"""The printed output of a search."""

import shlex
import shutil
import sys

from tuning.trial import best_of


class Table:
    """Prints one line for each draw. On a terminal the last line shows the running trials.

    Args:
        score: The `Score` of the search.
        stream: Where to print.
    """

    def __init__(self, score, stream=None):
        self._score = score
        self._stream = stream or sys.stdout
        self._is_terminal = self._stream.isatty()
        self._best = None
        self._running = {}

    def begin(self, trial):
        """Show that a `Trial` is running."""
        self._running[trial.number] = trial
        self._show_running()

    def end(self, trial):
        """Print the result of a `Trial`."""
        if trial.status == "completed" and (not self._best or trial.score > self._best.score):
            self._best = trial
        self._print(_line(trial, self._score) + ("  best so far" if trial is self._best else ""))
        self._running.pop(trial.number, None)
        self._show_running()

    def _show_running(self):
        """Show the best trial and the last one that began, without a line break."""
        if self._is_terminal and self._running:
            best = ""
            if self._best:
                best = f"best {self._score.show(self._best.score)} in {self._best.number}; "
            *others, last = self._running.values()
            more = f"  and {len(others)} more" if others else ""
            # The escape code below erases one line, so the text must not wrap.
            columns = max(shutil.get_terminal_size().columns - 1, 0)
            self._print((best + _line(last, self._score) + more)[:columns], end="")

    def _print(self, line, end="\n"):
        erase_line = "\r\x1b[2K" if self._is_terminal else ""
        self._stream.write(erase_line + line + end)
        self._stream.flush()


def print_summary(results, best):
    """Print the end of a search.

    Args:
        results: The `Results` of a search.
        best: Its best `Trial`.
    """
    if "model" in best.values:
        print(f"the best of each model:\n{best_of_each('model', results.read(), results.score)}")
    folder = results.folder
    pictures = sorted(path.name for path in folder.glob("*.png"))
    print(f"pictures: {shlex.quote(str(folder))}/{', '.join(pictures)}")
    print(f"to repeat the best: {results.best_command()}")
    print(f"done: {results.score.describe(best.score)} in trial {best.number}, see {folder}")


def best_of_each(name, trials, score):
    """The best completed `Trial` for each value of a parameter, one a line, the best first."""
    values = dict.fromkeys(trial.values[name] for trial in trials)
    groups = [[t for t in trials if t.values[name] == value] for value in values]
    best = [trial for trial in map(best_of, groups) if trial]
    return "\n".join(_line(trial, score) for trial in sorted(best, key=lambda trial: -trial.score))


def _line(trial, score):
    """One line: number, status, score, seconds, parameters, values, reason."""
    shown = score.show(trial.score) if trial.scores else ""
    seconds = f"{trial.seconds:,.0f} s" if trial.seconds is not None else ""
    parameters = f"{trial.parameters:,}" if trial.parameters is not None else ""
    values = " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in trial.values.items()
    )
    columns = f"{trial.number:4d}  {trial.status:9}  {shown:>7}  {seconds:>7}  {parameters:>9}  "
    return columns + values + (f"  ({trial.reason})" if trial.reason else "")
