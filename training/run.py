"""The folder of one run: the names of its files, and how they are written and read."""

import contextlib
import csv
import dataclasses
import errno
import json
import os
import pathlib
import shlex
import shutil

from configs import UserError, format_flags, read_flags
from configs.option import did_you_mean
from datasets.dataset import spec_of
from training.files import (
    ASIDE,
    atomic_write,
    locking,
    remove_left,
    sync,
    sync_all,
    temporary_folder,
)
from training.memory import OutOfMemory


def save_figure(path, figure):
    """Write a matplotlib figure as a picture."""
    with atomic_write(path) as aside:
        figure.savefig(aside, dpi=150)


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run on disk.

    Attributes:
        folder: `runs/<name>/`.

    Files:

    - `flags.txt`: the flags that repeat the run; its first line is the command.
    - `checkpoints/`: the state of the training, to go on from.
    - `model.keras`: the model after the last whole epoch; with early stopping after the best.
    - `vocabulary.json`: the symbols that a model of text knows, in the order of their ids.
    - `history.csv`: one line an epoch.
    - `metrics.json`: the result, and pictures of it.
    - `evaluations/`: the results of later evaluations.
    - `unexported.txt`: the flags of the export, from the end of the training until it is done.
    - `diverged.txt`: the message about a loss that diverged, until the run goes on.

    A run that was imported does not have checkpoints, a history and curves.
    """

    folder: pathlib.Path

    def __post_init__(self):
        object.__setattr__(self, "folder", pathlib.Path(self.folder))

    @classmethod
    def create(cls, folder, config, command="python main.py"):
        """Create the folder of a new run, with a `flags.txt` that repeats it.

        Args:
            folder: The folder.
            config: The `Config` of the run.
            command: The command that, with these flags, repeats it.

        Raises:
            UserError: If something of that name exists.
        """
        run = cls(folder)
        run.require_new()
        # A temporary folder is renamed, so that a run always has its flags.
        with temporary_folder(run.folder.parent) as aside:
            text = f"# {command} {run.flagfile}\n{format_flags(config)}"
            cls(aside).flags_path.write_bytes(os.fsencode(text))
            sync_all(aside)
            try:
                aside.rename(run.folder)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                raise run._taken() from error
        sync(run.folder.parent)
        return run

    def require_new(self):
        """Raise the errors of `create`: the folder exists, or it cannot be created."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(self.folder.parent):
            pass
        if os.path.lexists(self.folder):
            raise self._taken()

    def _taken(self):
        return UserError(
            f"{self.folder} exists; expected the name of a new run: choose another with --name, "
            "go on with this one by --resume, or remove the folder"
        )

    @classmethod
    def open(cls, folder, runs_dir="runs", flag="--run"):
        """Open an existing run.

        Args:
            folder: The folder, or its name in `runs_dir`.
            runs_dir: Where run folders are made.
            flag: The flag that named it, for messages.

        Raises:
            UserError: If it does not exist.
        """
        run, named = cls(folder), cls(pathlib.Path(runs_dir) / folder)
        if run.exists() or named.exists():
            return run if run.exists() else named
        parents = run.folder.parent, named.folder.parent
        known = {path.parent for parent in parents for path in parent.glob("[!.]*/flags.txt")}
        such = f", such as {max(known)}" if known else "; train one first"
        near = did_you_mean(run.folder.name, [each.name for each in known])
        raise UserError(
            f"{flag}: received {folder}; {run.flags_path} does not exist, and {runs_dir} does not "
            f"have a run of this name; expected the folder or name of a run{near or such}"
        )

    @property
    def flags_path(self):
        return self.folder / "flags.txt"

    @property
    def model_path(self):
        return self.folder / "model.keras"

    @property
    def checkpoints_path(self):
        return self.folder / "checkpoints"

    @property
    def vocabulary_path(self):
        return self.folder / "vocabulary.json"

    @property
    def history_path(self):
        return self.folder / "history.csv"

    @property
    def diverged_path(self):
        return self.folder / "diverged.txt"

    @property
    def unexported_path(self):
        return self.folder / "unexported.txt"

    @property
    def tensorboard_path(self):
        return self.folder / "tensorboard"

    def command(self, flag):
        """The command that goes on with this run as a flag says, such as `--resume`."""
        return f"python main.py {flag} --run={shlex.quote(str(self.folder))}"

    @property
    def flagfile(self):
        """The flag that repeats this run, for a command."""
        return f"--flagfile={shlex.quote(str(self.flags_path))}"

    def exists(self):
        """Whether the run exists."""
        return self.flags_path.is_file()

    def config(self):
        """The `Config` the run used; `UserError` if `flags.txt` is damaged."""
        return read_flags(self.flags_path, required=("model", "dataset"))

    def metrics(self):
        """The result, or `None` if the run did not finish; `UserError` if it is damaged."""
        path = self.folder / "metrics.json"
        try:
            return json.loads(path.read_text()) if path.is_file() else None
        except ValueError as error:
            raise UserError(
                f"{path} is damaged ({error}); expected the JSON that training wrote: remove the "
                f"file, and make it again with {self.command('--resume')}"
            ) from error

    def card(self):
        """The facts for the model card, as JSON-ready values; of an unfinished run, its config."""
        metrics = self.metrics() or {}
        return {
            "run": self.folder.name,
            "config": dataclasses.asdict(self.config()),
            "imported": metrics.get("imported"),
            "metrics": metrics.get("test"),
            "dataset": metrics.get("dataset"),
            "versions": metrics.get("versions"),
        }

    @contextlib.contextmanager
    def locked(self):
        """Keep other processes from training in this folder, until the block or the process ends.

        Raises:
            UserError: If another process is training in it.
        """
        with locking(self.folder) as locked:
            if not locked:
                raise UserError(
                    f"{self.folder}: another process is training in it; expected a run of its own: "
                    "choose another with --name, or wait"
                )
            yield

    def is_running(self):
        """Whether a process is training in this folder."""
        with locking(self.folder, shared=True) as locked:
            return not locked

    def has_taken_steps(self):
        """Whether there is a checkpoint of a training that has begun, or a model."""
        steps = [int(path.stem) for path in self.checkpoints_path.glob("[0-9]*.npz")]
        return any(steps) or self.model_path.exists()

    def remove(self):
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_leftovers(self):
        """Remove the unfinished files of a process that was killed."""
        remove_left(self.folder.rglob(f"{ASIDE}*"))

    def history(self):
        """A list with each epoch's metrics by name; `UserError` if it is missing or damaged."""
        try:
            with open(self.history_path, newline="") as file:
                rows = list(csv.DictReader(file))
            history = [{name: float(row[name]) for name in row if name != "epoch"} for row in rows]
            if not history:
                raise ValueError("it is empty")
            return history
        except (OSError, ValueError, TypeError) as error:
            problem = getattr(error, "strerror", None) or error
            raise UserError(
                f"{self.history_path}: {problem}; expected the history of a run that has trained "
                f"for an epoch: train on with {self.command('--resume')}"
            ) from error

    def save_history(self, history):
        """Write `history.csv` from a list with each epoch's metrics by name."""
        with atomic_write(self.history_path) as path, open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, ["epoch", *history[0]], lineterminator="\n")
            writer.writeheader()
            writer.writerows({"epoch": n, **metrics} for n, metrics in enumerate(history))

    def save_model(self, model):
        """Write `model.keras`: the model and its weights, nothing of its training."""
        with atomic_write(self.model_path) as path:
            _uncompiled(model).save(path)

    def load_weights(self, model):
        """Give a model the weights of `model.keras`; `UserError` as `load_model`."""
        with self._reading_model():
            _uncompiled(model).load_weights(self.model_path)

    def load_model(self):
        """Read `model.keras`; `UserError` if it is missing or damaged."""
        import keras

        import models  # noqa: F401  (registers our cells with Keras)

        with self._reading_model():
            return keras.models.load_model(self.model_path)

    def spec(self, model):
        """The `Spec` of the data that the run's model was trained on."""
        config, size = self.config(), model.output_shape[-1]
        return spec_of(config, model.input_shape, size, self.vocabulary())

    def vocabulary(self):
        """The symbols that a model of text knows, a tuple of strings; empty for other data."""
        try:
            return tuple(json.loads(self.vocabulary_path.read_text()))
        except FileNotFoundError:
            return ()
        except ValueError as error:
            raise UserError(
                f"{self.vocabulary_path} is damaged ({error}); expected the JSON that training "
                f"wrote: train the run again with {self.flagfile} --name=NAME"
            ) from error

    def save_vocabulary(self, symbols):
        """Write `vocabulary.json`."""
        with atomic_write(self.vocabulary_path) as path:
            path.write_text(json.dumps(symbols) + "\n")

    @contextlib.contextmanager
    def _reading_model(self):
        if not self.model_path.is_file():
            raise UserError(
                f"{self.model_path} does not exist; expected a run that has trained for an epoch: "
                f"go on with {self.command('--resume')}"
            )
        try:
            yield
        except Exception as error:  # Readers of damaged files raise many types.
            if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
                raise OutOfMemory(
                    f"{self.model_path} does not fit into memory; expected more free memory: "
                    "close other programs, or use a larger machine"
                ) from error
            raise UserError(
                f"{self.model_path} is damaged ({error}); expected a Keras model: train the run "
                f"again with {self.flagfile} --name=NAME"
            ) from error

    def save_note(self, path, text):
        """Write `diverged.txt` or `unexported.txt`."""
        with atomic_write(path) as aside:
            aside.write_bytes(os.fsencode(text))

    def save_metrics(self, metrics):
        """Write `metrics.json`."""
        with atomic_write(self.folder / "metrics.json") as path:
            path.write_text(json.dumps(metrics, indent=2) + "\n")

    def save_evaluation(self, dataset_name, metrics):
        """Write `evaluations/<dataset>.json` and return its path."""
        path = self.folder / "evaluations" / f"{dataset_name.replace('/', '-')}.json"
        path.parent.mkdir(exist_ok=True)
        with atomic_write(path) as aside:
            aside.write_text(json.dumps(metrics, indent=2) + "\n")
        return path

    def save_figure(self, name, figure):
        """Write a matplotlib figure as `<name>.png`."""
        save_figure(self.folder / f"{name}.png", figure)


def _uncompiled(model):
    """The same layers as a model without optimizer and loss."""
    import keras

    return keras.Model(model.input, model.output, name=model.name)
