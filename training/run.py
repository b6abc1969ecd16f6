"""The folder of one run, and the only place that knows what lies where in it."""

import contextlib
import dataclasses
import errno
import json
import os
import pathlib

from configs import UserError, format_flags, read_flags


@contextlib.contextmanager
def replacing(path):
    """Give a path to write to, and put it in place of `path` when the block ends well.

    A reader, or a process killed half-way, sees the old file or the new one, never half of one.
    """
    aside = path.with_name(f".incomplete-{os.getpid()}-{path.name}")
    try:
        yield aside
        os.replace(aside, path)
    except OSError as error:
        # The libraries that write do not always say where, nor why in the system's words.
        what = error.strerror or str(error)
        raise OSError(error.errno or errno.EIO, what, str(path)) from error
    finally:
        aside.unlink(missing_ok=True)


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run on disk.

    Attributes:
        folder: `runs/<name>/`.

    Files: `flags.txt` repeats the run by the command it begins with; `model.keras` holds the
    weights as of the last whole epoch, and in the end the result; `history.csv` one line an epoch;
    `metrics.json` the result; `curves.png`, `confusion.png` and `mistakes.png` show it;
    `evaluations/` holds later ones. A run that was imported has no history and no curves.
    """

    folder: pathlib.Path

    @classmethod
    def create(cls, folder):
        """Make a new run folder; `UserError` if there is one of that name."""
        folder = pathlib.Path(folder)
        try:
            folder.mkdir(parents=True)
        except FileExistsError as error:
            raise UserError(
                f"{folder} exists; expected the name of a new run: choose another with --name, or "
                "remove the folder"
            ) from error
        return cls(folder)

    @classmethod
    def open(cls, folder):
        """Open a run that has weights; `UserError` if there are none."""
        run = cls(pathlib.Path(folder))
        for path in (run.flags_path, run.model_path):
            if not path.is_file():
                known = sorted(p.parent.name for p in run.folder.parent.glob("*/model.keras"))
                raise UserError(
                    f"--run={folder}: {path} is not there; expected the folder of a run"
                    + (
                        f", such as {run.folder.parent / known[-1]}"
                        if known
                        else "; train one first"
                    )
                )
        return run

    @property
    def flags_path(self):
        return self.folder / "flags.txt"

    @property
    def model_path(self):
        return self.folder / "model.keras"

    @property
    def history_path(self):
        return self.folder / "history.csv"

    @property
    def tensorboard_path(self):
        return self.folder / "tensorboard"

    def config(self):
        """The `Config` the run used; `UserError` if `flags.txt` is damaged."""
        return read_flags(self.flags_path, required=("model", "dataset"))

    def metrics(self):
        """The result, or `None` if the run did not finish; `UserError` if it is damaged."""
        path = self.folder / "metrics.json"
        try:
            return json.loads(path.read_text()) if path.is_file() else None
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}); expected JSON; remove it") from error

    def card(self):
        """What is known of the model, as JSON-ready values; of an unfinished run, its config."""
        metrics = self.metrics() or {}
        return {
            "run": self.folder.name,
            "config": dataclasses.asdict(self.config()),
            "imported": metrics.get("imported"),
            "metrics": metrics.get("test"),
            "dataset": metrics.get("dataset"),
            "versions": metrics.get("versions"),
        }

    def save_config(self, config, command="python main.py"):
        """Write `flags.txt`, headed by the command that repeats the run."""
        with replacing(self.flags_path) as path:
            path.write_text(f"# {command} --flagfile={self.flags_path}\n{format_flags(config)}")

    def save_model(self, model):
        """Write `model.keras`."""
        with replacing(self.model_path) as path:
            model.save(path)

    def load_model(self):
        """Read `model.keras`; `UserError` if it is damaged."""
        import keras

        import models  # noqa: F401  (registers our cells with Keras)

        try:
            return keras.models.load_model(self.model_path)
        except Exception as error:  # What a damaged file makes of a reader has no one type.
            raise UserError(
                f"{self.model_path} is damaged ({error}); expected a Keras model; train the run "
                f"again with --flagfile={self.flags_path}"
            ) from error

    def save_metrics(self, metrics):
        """Write `metrics.json`."""
        with replacing(self.folder / "metrics.json") as path:
            path.write_text(json.dumps(metrics, indent=2) + "\n")

    def save_evaluation(self, dataset_name, metrics):
        """Write `evaluations/<dataset>.json` and return its path."""
        path = self.folder / "evaluations" / f"{dataset_name.replace('/', '-')}.json"
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as aside:
            aside.write_text(json.dumps(metrics, indent=2) + "\n")
        return path

    def save_figure(self, name, figure):
        """Write a matplotlib figure as `<name>.png`."""
        with replacing(self.folder / f"{name}.png") as path:
            figure.savefig(path, dpi=150)
