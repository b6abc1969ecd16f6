"""How the folders of models and versions are laid out, and what is wrong with those that are not.

saved_models/lstm/1/saved_model.pb
"""

import os
import shlex

_LARGEST_VERSION = 2**63 - 1
_FILE = "saved_model.pb"


def is_version(name):
    """Whether a folder of this name is a version: a whole number of at most 63 bits."""
    # Python makes no number of thousands of digits.
    return name.isascii() and name.isdigit() and len(name) < 256 and int(name) <= _LARGEST_VERSION


def subfolders(folder):
    """The folders in a folder that may have gone; `OSError` if it is there and cannot be read."""
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def mistake_in(folder):
    """Why a folder is not one of models, and what to give in its place; `None` if it may be one.

    A folder that holds nothing may be one: models can come later.
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
    """What is not served in the folder of a model, by path, each with what to do about it.

    Raises:
        OSError: If it is there and cannot be read.
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
