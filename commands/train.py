"""The command that trains, or imports the weights of, a model and exports it."""

import shlex
import time

import datasets
from commands.export import EXPORT_FLAGS, export_run
from configs import Interrupted, config_from_flags, names_of, override
from configs.scopes import kind_of
from export.formats import check_formats
from training.memory import require_memory, telling_memory
from training.run import Run
from training.signals import interruptible

_REPLACEABLE = (*names_of(location=True), "detect_anomaly")  # When a run is resumed.
_NOT_IN_THE_RUN = (*EXPORT_FLAGS, "distribute", "ray", "workers", "peer_seconds")


def train(flags):
    """Train a model as the flags say, or import its weights, and export it."""
    name = flags.name or time.strftime(f"{flags.model}-%Y%m%d-%H%M%S")
    run = Run.open(flags.run, flags.runs_dir) if flags.run else Run(f"{flags.runs_dir}/{name}")
    own = run.config() if flags.run or (flags.resume and run.exists()) else None
    config = override(own, _REPLACEABLE) if own else config_from_flags()
    check_formats(flags.export_formats, kind_of(config.dataset).reads)
    try:
        run = _train(config, run.folder, _load(config, flags), flags)
        if not run:
            return print("done: the chief has written the run")
        again = run.command("--resume")
        with (
            interruptible(f"interrupted before it was exported; to go on: {again}"),
            run.locked(),
        ):
            run.save_note(run.unexported_path, _given(flags, EXPORT_FLAGS))
            print(f"SavedModel: {export_run(run, flags)}")
    except Interrupted as interrupt:
        more = _given(flags, (*_REPLACEABLE, *_NOT_IN_THE_RUN), own or config)
        raise Interrupted(interrupt.signal, f"{interrupt}{more}") from None
    print(f"done: {run.metrics()['summary']}, see {run.folder}")


def _load(config, flags):
    """The `Dataset`; `None` if the workers have to load it.

    A mistake is reported before TensorFlow is imported. But several machines must meet before
    TensorFlow computes anything, such as the images.
    """
    if not flags.ray:
        require_memory(config)
    if flags.distribute == "multi_worker" and not flags.ray:
        return None
    data = datasets.load(config)
    if not flags.ray:
        # Several devices share a batch.
        require_memory(config, len(data.train) if flags.distribute == "none" else 1)
    return data


def _train(config, folder, data, flags):
    if flags.mode == "import":
        from training.tf1 import import_tf1

        options = flags.tf1_forget_bias, flags.tf1_names, flags.tf1_averages
        with telling_memory(config):
            return import_tf1(config, folder, flags.tf1_checkpoint, *options, data)
    if flags.ray:
        from training.distributed.launch import train_on_ray

        workers = flags.ray, flags.workers, flags.peer_seconds
        return train_on_ray(config, folder, data, flags.resume, *workers)
    from training.distributed.distribution import Distribution
    from training.train import train

    distribution = Distribution(flags.distribute, config, flags.peer_seconds)
    return train(config, folder, data, flags.resume, distribution)


def _given(flags, names, config=None):
    """The flags with these names that were given and are not in a `Config`, for a command."""
    given = [flags[name] for name in names if flags[name].present]
    given = [flag for flag in given if flag.value != getattr(config, flag.name, None)]
    return "".join(f" {shlex.quote(flag.serialize())}" for flag in given)
