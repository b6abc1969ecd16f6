"""From a TensorFlow 1 checkpoint to a finished run."""

import dataclasses
import os
import shlex
import time

from configs import Config, UserError
from datasets import load
from models import create_model, load_tf1_checkpoint
from training.record import record
from training.run import Run


def import_tf1(config: Config, folder, checkpoint, forget_bias=1.0, data=None) -> Run:
    """Give the model a `Config` describes the weights of a TensorFlow 1 checkpoint and record it.

    Args:
        config: The model, and the dataset to evaluate it on.
        folder: The run folder to make.
        checkpoint: The checkpoint's prefix, or a folder whose latest checkpoint is taken.
        forget_bias: The `forget_bias` the graph's LSTM cells were made with.
        data: A `Dataset`; `None` loads the one the config names.

    Returns:
        The finished `Run`, without a history and its curves.

    Raises:
        UserError: If the folder exists, the dataset cannot be had, or the checkpoint cannot be read
            or does not fit the model; then nothing is written.
    """
    start = time.perf_counter()
    data = data or load(config)
    model = create_model(config, data.classes)
    try:
        load_tf1_checkpoint(model, checkpoint, forget_bias)
    except ValueError as error:
        raise UserError(str(error)) from error
    requested, config = config.dataset, dataclasses.replace(config, dataset=data.name)
    run = Run.create(
        folder,
        config,
        "python main.py --mode=import "
        f"--tf1_checkpoint={shlex.quote(os.path.abspath(checkpoint))} "
        f"--tf1_forget_bias={forget_bias}",
    )
    with run.locked():
        _record(run, model, data, requested, start, checkpoint, forget_bias)
    return run


def _record(run, model, data, requested, start, checkpoint, forget_bias):
    run.save_model(model)
    print(f"dataset: {data.summary()}", flush=True)
    print(
        f"model: {model.name}, {model.count_params():,} parameters, from {checkpoint}", flush=True
    )
    origin = {"tf1_checkpoint": str(checkpoint), "tf1_forget_bias": forget_bias}
    record(run, model, data, requested, start, imported=origin)
