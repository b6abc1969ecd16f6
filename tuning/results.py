"""The files of a search. No other module knows their paths and formats."""

import contextlib
import csv
import dataclasses
import os
import pathlib
import shlex
import shutil

from configs import Config, UserError, format_flags, names_of
from configs.flag_files import read_text
from configs.flags import with_new_name
from training.files import ASIDE, atomic_write, locking
from training.run import save_figure
from tuning.score import Score
from tuning.space import Choice
from tuning.trial import Trial, csv_line

# Flags that may change when a search is continued.
_CHANGEABLE = ("max_trials", "name", "runs_dir", *names_of(location=True))
# The columns of `trials.csv` and their types, without the scores and values.
_COLUMNS = {
    **{"number": int, "status": str, "score": float, "parameters": int, "latency_ms": float},
    **{"seconds": float, "epochs": int, "known_at": int, "reason": str},
}


@dataclasses.dataclass(frozen=True)
class Results:
    """The files of a search.

    Attributes:
        folder: `runs/tune-<name>/`.
        space: A tuple of `Range` and `Choice`.
        score: The `Score` of the search.

    Files: `search.flags` repeats the search. `trials.csv` has one line for each draw; an
    interrupted search continues from it. `trials/<number>/` has the runs of a trial. `best.flags`
    is the best trial as a flag file for `main.py`. `hparams/` is for TensorBoard. The figures are
    those of `tuning.figures`.
    """

    folder: pathlib.Path
    space: tuple
    score: Score

    def __post_init__(self):
        object.__setattr__(self, "folder", pathlib.Path(self.folder))

    @property
    def flags_path(self):
        return self.folder / "search.flags"

    @property
    def trials_path(self):
        return self.folder / "trials.csv"

    @property
    def best_path(self):
        return self.folder / "best.flags"

    def trial_path(self, number):
        """The folder of a trial."""
        return self.folder / "trials" / f"{number:04d}"

    @contextlib.contextmanager
    def locked(self):
        """Make the folder and lock it until the block or the process ends.

        Raises:
            UserError: If another process is searching in it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locking(self.folder) as locked:
            if not locked:
                raise UserError(
                    f"{self.folder}: another process is searching in it; expected a folder that no "
                    "other process uses: choose another with --name, or wait"
                )
            # Remove the unfinished files of a process that was killed.
            for path in list(self.folder.rglob(f"{ASIDE}*")):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            yield

    def begin(self, flags):
        """Write `search.flags`.

        Args:
            flags: The text of the flags of the search, one a line.

        Raises:
            UserError: If the folder holds a search with other flags.
        """
        if self.trials_path.exists() or self.flags_path.exists():
            saved = _parse_flags(read_text(self.flags_path)) if self.flags_path.exists() else {}
            given = _parse_flags(flags)
            for name in {**saved, **given}:
                if saved.get(name) != given.get(name) and name not in _CHANGEABLE:
                    raise UserError(
                        f"{self.folder} holds a search with --{name}={saved.get(name)}, not "
                        f"{given.get(name)}; expected the same flags, to go on with this search, "
                        "or another --name"
                    )
        name, runs_dir = self.folder.name.removeprefix("tune-"), self.folder.parent
        with atomic_write(self.flags_path) as path:
            text = (
                f"# python tune.py --flagfile={shlex.quote(str(self.flags_path))}\n{flags}"
                f"--name={name}\n--runs_dir={runs_dir}\n"
            )
            path.write_bytes(os.fsencode(text))

    def read(self):
        """Read the recorded `Trial`s, in order; `UserError` if `trials.csv` is damaged."""
        if not self.trials_path.is_file():
            return []
        try:
            with open(self.trials_path, encoding="utf-8", newline="") as file:
                trials = [self._trial(row) for row in csv.DictReader(file, strict=True)]
            if [trial.number for trial in trials] != list(range(len(trials))):
                raise ValueError("the numbers have gaps")
            if any(t.known_at is None for t in trials if t.status not in ("running", "repeated")):
                raise ValueError("known_at is missing")
            return trials
        except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
            raise UserError(
                f"{self.trials_path} is damaged ({error!r}); expected a line for each draw, as "
                "the search wrote it: restore the file, or search again under another --name"
            ) from error

    def _trial(self, row):
        values = {}
        for parameter in self.space:
            text = row.pop(parameter.name)
            if isinstance(parameter, Choice):
                values[parameter.name] = {str(v): v for v in parameter.values}[text]
            else:
                values[parameter.name] = type(parameter.low)(text)
        scores = tuple(map(float, row.pop("scores").split()))
        rest = {name: _COLUMNS[name](text) if text else None for name, text in row.items()}
        return Trial(values=values, scores=scores, **rest)

    def save(self, trials, trial):
        """Add or replace a `Trial` in the list `trials`, and write `trials.csv`."""
        trials[trial.number :] = [trial, *trials[trial.number + 1 :]]
        names = [parameter.name for parameter in self.space]
        *columns, last = _COLUMNS
        header = csv_line([*columns, "scores", *names, last])
        with atomic_write(self.trials_path) as path:
            lines = header + "".join(trial.line for trial in trials)
            path.write_text(lines, encoding="utf-8", errors="backslashreplace", newline="")

    def save_best(self, trial, config, environment):
        """Write `best.flags`.

        Args:
            trial: The best `Trial`.
            config: Its `Config`.
            environment: The environment variables that repeat it to the same bits, by name.
        """
        path = self.best_path
        variables = "".join(f"{name}={value} " for name, value in environment.items())
        with atomic_write(path) as temporary_path:
            text = (
                f"# Trial {trial.number} of {self.folder}: {self.score.describe(trial.score)}.\n"
                f"#   {variables}python main.py --flagfile={shlex.quote(str(path))}\n"
                f"{format_flags(config)}"
            )
            temporary_path.write_bytes(os.fsencode(text))

    def best_command(self):
        """The command that repeats the best trial, from the second line of `best.flags`."""
        _, command, *_ = os.fsdecode(self.best_path.read_bytes()).splitlines()
        return command.removeprefix("#   ")

    def save_hparams(self, trial):
        """Write a completed `Trial` for the HParams page of TensorBoard."""
        import tensorflow as tf
        from tensorboard.plugins.hparams import api

        folder = self.folder / "hparams" / f"{trial.number:04d}"
        shutil.rmtree(folder, ignore_errors=True)  # Files of a process that was killed.
        writer = tf.summary.create_file_writer(str(folder))
        with writer.as_default(step=0):
            api.hparams(trial.values | {"epochs": trial.epochs}, trial_id=str(trial.number))
            tf.summary.scalar(self.score.name, trial.score)
            tf.summary.scalar("parameters", trial.parameters)
        writer.close()

    def save_figures(self, trials):
        """Draw the figures of the completed `Trial`s."""
        from tuning import figures

        completed = [t for t in trials if t.status == "completed"]
        drawn = figures.draw(self.space, completed, self.score)
        for name, figure in drawn.items():
            save_figure(self.folder / f"{name}.png", figure)


def _parse_flags(flags):
    """The values in the text of a flag file, and the defaults of the fields that it omits."""
    lines = [with_new_name(line)[2:] for line in flags.splitlines() if line.startswith("--")]
    defaults = {field.name: str(field.default) for field in dataclasses.fields(Config)}
    return defaults | dict(line.split("=", 1) for line in lines)
