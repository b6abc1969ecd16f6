"""Import a TensorFlow 1 checkpoint as a finished run."""

import dataclasses
import os
import shlex
import time

from configs import Config, UserError
from datasets import load
from models import create_model, load_tf1_checkpoint
from training.record import record
from training.run import Run


def import_tf1(
    config: Config, folder, checkpoint, forget_bias=None, names=(), averages=False, data=None
) -> Run:
    """Load a TensorFlow 1 checkpoint into the model of a `Config`, evaluate it and record a run.

    Args:
        config: The model, and the dataset to evaluate it on.
        folder: The folder of the new run.
        checkpoint, forget_bias, names, averages: As in `load_tf1_checkpoint`.
        data: A `Dataset`; `None` loads the dataset of the config.

    Returns:
        The finished `Run`, without history and curves.

    Raises:
        UserError: If the folder exists, the dataset cannot be loaded, or the checkpoint cannot be
            read or does not fit the model. Nothing is written in these cases.
    """
    start = time.perf_counter()
    data = data or load(config)
    model = create_model(config, data.spec)
    try:
        notes = load_tf1_checkpoint(model, checkpoint, forget_bias, names, averages)
    except ValueError as error:
        raise UserError(str(error)) from error
    requested, config = config.dataset, dataclasses.replace(config, dataset=data.name)
    origin = {
        "tf1_checkpoint": str(checkpoint),
        "tf1_forget_bias": forget_bias,
        "tf1_names": list(names),
        "tf1_averages": averages,
    }
    run = Run.create(folder, config, _command(origin))
    with run.locked():
        run.save_model(model)
        print(f"dataset: {data.summary()}", flush=True)
        print(f"model: {model.name}, {model.count_params():,} parameters, from {checkpoint}")
        print(*(f"weights: {note}" for note in notes), sep="\n", flush=True)
        record(run, model, data, requested, start, imported=origin)
        _warn(run.metrics()["test"]["accuracy"], data.spec.size)
    return run


def _command(origin):
    """The command that repeats the import, with all flags that differ from their defaults."""
    path = os.path.abspath(origin["tf1_checkpoint"])
    # `is not False`, because a forget bias of 0 equals False.
    given = {n: v for n, v in origin.items() if v is not None and v is not False and v != []}
    values = given | {"tf1_checkpoint": path, "tf1_names": ",".join(origin["tf1_names"])}
    flags = [shlex.quote(f"--{name}={values[name]}") for name in given]
    return " ".join(["python main.py --mode=import", *flags])


def _warn(accuracy, classes):
    """Print a warning if the accuracy is less than halfway between chance and 100 %."""
    if accuracy < (1 + 1 / classes) / 2:
        print(
            f"warning: {accuracy:.2%} is low for trained weights (chance: {1 / classes:.2%}); a "
            "checkpoint does not contain the range of the pixels (expected: 0 to 1), the "
            "activation and cell_clip of the cells, --tf1_forget_bias, --scan, --head, --dataset, "
            "or the order of the classes; expected the values of the original training",
            flush=True,
        )
