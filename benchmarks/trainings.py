"""Trainings in this process, which are stored and reused."""

import dataclasses

from configs import UserError, names_of
from training.run import Run


def finished_training(config, folder, data=None):
    """Train, or go on with the run in the folder, by `training.train.train`.

    Args:
        config: The `Config` of the run.
        folder: The folder of the run.
        data: Its `Dataset`; `None` loads it.

    Returns:
        The `Run`, and `None`, or the message of the `UserError` if the loss diverged. A run that
        is finished, or has diverged, is not repeated.

    Raises:
        UserError: If the folder has a run that was made with another `Config`, or the training
            fails for another reason.
    """
    run = Run(folder)
    if run.exists():
        require_same(run, config)
        if run.diverged_path.is_file():
            return run, run.diverged_path.read_text()
        if run.metrics():
            return run, None
    import keras  # Importing TensorFlow takes seconds.

    from training.train import train

    keras.utils.clear_session()  # Frees the memory of earlier runs.
    try:
        return train(config, folder, data, resume=True), None
    except UserError as error:
        if not run.diverged_path.is_file():
            raise
        return run, str(error)


def require_same(run, config):
    """Raise a `UserError` if a run was made with another `Config`.

    Runs with other locations of the data count as the same. Also, `auto` counts as the same as the
    dataset that a run recorded.
    """
    made = run.config()
    ignored = (*names_of(location=True), *(["dataset"] if config.dataset == "auto" else []))
    if made != dataclasses.replace(config, **{name: getattr(made, name) for name in ignored}):
        raise UserError(f"{run.folder} was made with other flags; expected a new --results_dir")
