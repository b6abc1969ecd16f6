"""Checkpoints: everything that a training needs to go on as if it had not stopped.

A checkpoint is an `.npz` archive of every variable: of the model, the states of its random number
generators included; of the optimizer, its step count and moving averages included; and of the
metrics of the current epoch. It also holds the `Progress` of the training, as JSON. The order of
the data is not in it: it is a pure function of the seed and the step (`datasets.splits`). The
archive holds a checksum of each array, so that damage is noticed.
"""

import json
import sys

import numpy as np

from configs import UserError
from training.files import atomic_write

_MAX_FILES = 2  # The newest, and the one before it if the newest is damaged.


def save(run, model, progress):
    """Write the state of a model in training into its `Run`, as the newest checkpoint.

    Args:
        run: The `Run`.
        model: A compiled model, with optimizer and metrics built.
        progress: JSON-ready values that `restore` gives back.

    Raises:
        OSError: If it cannot be written. Earlier checkpoints stay.
    """
    folder = run.checkpoints_path
    folder.mkdir(exist_ok=True)
    arrays = {name: variable.numpy() for name, variable in variables(model).items()}
    steps = int(model.optimizer.iterations.numpy())
    with atomic_write(folder / f"{steps:09d}.npz") as path, open(path, "wb") as file:
        np.savez(file, progress=json.dumps(progress), **arrays)
    for old in _newest_first(folder)[_MAX_FILES:]:
        old.unlink()


def restore(run, model, on_chief=lambda function: function()):
    """Restore a model, its optimizer and its metrics from the newest good checkpoint of a run.

    A damaged one is named on the standard error stream and renamed to `.damaged`; the one before it
    is used.

    Args:
        run: The `Run`.
        model: A compiled model, with optimizer and metrics built.
        on_chief: Calls the function that reads, as `Distribution.on_chief` does.

    Returns:
        The `progress` saved with it, or `None` if the run has not begun.

    Raises:
        UserError: If all its checkpoints are damaged or of another model, or it has a model but no
            checkpoint, as one that was imported.
    """
    newest = on_chief(lambda: _read_newest(run))
    if newest is None:
        return None
    path, arrays, progress = newest
    state = variables(model)
    expected = {name: tuple(v.shape) for name, v in state.items()}
    if {name: array.shape for name, array in arrays.items()} != expected:
        raise UserError(
            f"{path} was made by another model or version of this program; expected "
            f"the {len(expected)} arrays of the model that {run.flags_path} describes: train the "
            "run again under another --name"
        )
    for name, variable in state.items():
        variable.assign(arrays[name])
    return progress


def _read_newest(run):
    """The path, the arrays and the progress of the newest good checkpoint, or `None`."""
    paths, damaged = _newest_first(run.checkpoints_path), []
    for path in paths:
        try:
            with open(path, "rb") as file, np.load(file) as archive:
                arrays = {name: archive[name] for name in archive.files}
            progress = json.loads(str(arrays.pop("progress")))
        except Exception as error:  # Readers of damaged files raise many types.
            print(f"{path} is damaged ({error}); the checkpoint before it is used", file=sys.stderr)
            damaged.append(path)
            continue
        for bad in damaged:  # Otherwise it would count as one of the two that stay.
            bad.rename(bad.with_suffix(".damaged"))
        return path, arrays, progress
    if damaged:
        raise UserError(
            f"all of {', '.join(map(str, damaged))} are damaged; expected one good checkpoint: "
            f"train the run again with {run.flagfile} --name=NAME"
        )
    if run.model_path.is_file():
        raise UserError(
            f"{run.folder} has a model.keras but not a checkpoint, as a run that was imported or "
            "made by an older version of this program; expected a checkpoint to go on from: train "
            "a new run under another --name"
        )
    return None


def _newest_first(folder):
    return sorted(folder.glob("[0-9]*.npz"), reverse=True)


def variables(model):
    """All variables of a model in training, by group and number: Keras's names are not stable."""
    groups = {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }
    return {f"{group}_{n}": v for group, vs in groups.items() for n, v in enumerate(vs)}
