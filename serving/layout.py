"""The layout of the folders of models and versions, and mistakes in it.

saved_models/lstm/1/saved_model.pb
"""

import os
import shlex

_MAX_VERSION = 2**63 - 1
_FILE = "saved_model.pb"


def is_version(name):
    """Whether the name of a folder is a version: a whole number of at most 63 bits."""
    # `int` raises for thousands of digits.
    return name.isascii() and name.isdigit() and len(name) < 256 and int(name) <= _MAX_VERSION


def subfolders(folder):
    """The folders in a folder; none if it does not exist; `OSError` if it cannot be read."""
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def mistake_in(folder):
    """Why a folder is not a folder of models, and what to give instead; `None` if it may be one.

    An empty folder may be one, because models can be exported later.
    """
    if not folder.exists():
        return "does not exist; expected a folder of exported models: train one with python main.py"
    if not folder.is_dir():
        return "is a file; expected a folder of exported models"
    if _holds_model(folder) and not is_version(folder.resolve().name):
        moved = f"{_above(folder, 1)}/{folder.resolve().name}/1"
        return f"is a SavedModel itself; expected a folder of models: move it to {moved}"
    if _holds_model(folder):
        return f"is a version of a model; expected the folder of models: {_above(folder, 2)}"
    if any(is_version(path.name) and _holds_model(path) for path in subfolders(folder)):
        return f"is a model; expected the folder of models: {_above(folder, 1)}"
    return None


def notes_on(folder):
    """The parts of a model's folder that cannot be served: by path the reason and how to fix it.

    Raises:
        OSError: If the folder exists and cannot be read.
    """
    paths = subfolders(folder)
    numbers = [int(path.name) for path in paths if is_version(path.name)]
    rename = f"{folder}/{max(numbers, default=0) + 1}"
    notes = {
        path: f"its name is not a version; expected a number: rename it to {rename}"
        for path in paths
        if not is_version(path.name) and _holds_model(path)
    }
    if _holds_model(folder):
        expected = f"move it to {rename}"
        if is_version(folder.name):
            expected = f"give the folder above, {folder.parent}"
        notes[folder] = f"it is a SavedModel itself, not a folder of versions; {expected}"
    elif not folder.exists():
        notes[folder] = f"it does not exist; expected a folder of versions, such as {rename}"
    elif not numbers and not notes:
        notes[folder] = f"it does not hold a version; expected a folder such as {rename}"
    return notes


def _holds_model(folder):
    return (folder / _FILE).is_file()


def _above(folder, steps):
    return shlex.quote(os.path.normpath(os.path.join(folder, *steps * [".."])))
