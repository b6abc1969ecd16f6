"""Open the runs that a program of `explain` compares, and their test examples."""

import dataclasses

import datasets
from configs import UserError
from explain.style import STYLES
from training.runs import names, open_runs


def chosen(flag, folders, same, data_dir=None, mnist_dir=None, text_file=None):
    """Open runs that can be compared. Does not import TensorFlow, which takes seconds.

    Args:
        flag: The flag that names the runs, for messages.
        folders: The runs' folders, or their names in `runs`.
        same: The fields of `Config` that must have the same value in all runs.
        data_dir: Where TFDS keeps datasets; by default as in the first run.
        mnist_dir: Folder of MNIST's four files; by default as in the first run.
        text_file: The text, or its folder; by default as in the first run.

    Returns:
        A list with the name, the `Run` and the `Config` of each run, and the `Split` of the first
        run's test examples.

    Raises:
        UserError: If `folders` is empty or longer than `STYLES`, if a run is given twice, does not
            exist, differs in `same` or knows other symbols, or if the dataset cannot be loaded.
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
                    f"--{field}={expected}, as in {runs[0].folder}"
                )
    vocabulary = runs[0].vocabulary()
    for run in runs:
        if run.vocabulary() != vocabulary:
            raise UserError(
                f"{flag}: {run.folder} knows other symbols than {runs[0].folder}; expected runs on "
                "the same text: train them with the same --text_file, --clean, --vocabulary_size "
                "and --validation_size"
            )
    given = {"data_dir": data_dir, "mnist_dir": mnist_dir, "text_file": text_file}
    locations = {field: folder for field, folder in given.items() if folder}
    config = dataclasses.replace(configs[0], **locations)
    test = datasets.load(config, vocabulary or None).test
    return list(zip(names(folders), runs, configs, strict=True)), test
