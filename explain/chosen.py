"""The runs that a program of `explain` is asked to show, and the images it shows them by."""

import dataclasses

import datasets
from configs import UserError
from explain.style import STYLES
from training.runs import names, open_runs


def chosen(flag, folders, same, data_dir=None, mnist_dir=None):
    """Open some runs that can stand beside each other; without TensorFlow, which takes its seconds.

    Args:
        flag: The flag that named them, for messages.
        folders: Their folders, or names in `runs`.
        same: The fields of `Config` in which they must agree with the first.
        data_dir: Where TFDS keeps datasets, if not where the first had it.
        mnist_dir: Folder of MNIST's four files, if not where the first had it.

    Returns:
        A list with the name, the `Run` and the `Config` of each; and the `Split` of the first's
        test images.

    Raises:
        UserError: If there are none, more than can be told apart in a figure, or one twice; one is
            no run, or disagrees; or the images cannot be had.
    """
    if not 0 < len(folders) <= len(STYLES):
        raise UserError(
            f"{flag}: received {len(folders)} folders of runs; expected 1 to {len(STYLES)}"
        )
    runs = open_runs(folders, flag=flag)
    configs = [run.config() for run in runs]
    for run, config in zip(runs, configs, strict=True):
        for field in same:
            value, expected = getattr(config, field), getattr(configs[0], field)
            if value != expected:
                raise UserError(
                    f"{flag}: {run.folder} was trained with --{field}={value}; expected "
                    f"--{field}={expected}, as of {runs[0].folder}"
                )
    given = {"data_dir": data_dir, "mnist_dir": mnist_dir}
    places = {place: folder for place, folder in given.items() if folder}
    test = datasets.load(dataclasses.replace(configs[0], **places)).test
    return list(zip(names(folders), runs, configs, strict=True)), test
