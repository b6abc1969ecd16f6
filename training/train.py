"""From a `Config` to a finished run."""

import contextlib
import dataclasses
import functools
import math
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from configs import Config
from datasets import load
from models import create_model
from training import callbacks, checkpoint, figures
from training.anomaly import Anomaly, explain
from training.averages import ValidateAverages
from training.distributed.distribution import Distribution
from training.loss import SmoothedCrossentropy
from training.memory import OutOfMemory, require_memory, telling_memory
from training.optimizers import create_optimizer
from training.record import record
from training.run import Run
from training.signals import interruptible, stop_signal


def train(config: Config, folder, data=None, resume=False, distribution=None):
    """Train the model a `Config` describes, evaluate it on all test images and record it.

    The same config with the same processors gives the same weights, bit for bit, however often the
    run is interrupted and resumed; on a GPU if it says `--deterministic`.

    Args:
        config: What to train, on what and how.
        folder: The run folder to make.
        data: A `Dataset`; `None` loads the one the config names.
        resume: Whether to go on with the run in the folder, if there is one, from its newest
            checkpoint. `config` must be its own but for the places of the data.
        distribution: The `Distribution`; `None` trains in this process, on one device. Of several
            machines each calls this function, and only the chief looks at the folder.

    Returns:
        The finished `Run`; `None` to a machine that is not the chief.

    Raises:
        UserError: If the folder exists and is not to be resumed, another process is training in
            it, its checkpoints are damaged, the dataset cannot be had or is another than it was,
            the loss explodes, or another machine is lost.
        OutOfMemory: If memory does not suffice. A run that has not taken a step is removed.
        Interrupted: At SIGINT (Ctrl-C), SIGTERM and SIGHUP, after a checkpoint was written.
    """
    start = time.perf_counter()
    distribution = distribution or Distribution()
    data = data or load(config)
    requested, config = config.dataset, dataclasses.replace(config, dataset=data.name)
    # Several devices share a batch.
    require_memory(config, len(data.train) if distribution.kind == "none" else 1)
    run = Run(folder)
    with contextlib.ExitStack() as until_the_end, distribution.translate_errors():

        def open_folder():
            until_the_end.enter_context(run.locked())
            run.remove_leftovers()
            run.diverged_path.unlink(missing_ok=True)
            return run.metrics()

        def make_folder():
            Run.create(folder, config)
            open_folder()

        is_open = distribution.on_chief(lambda: resume and run.exists())
        if not is_open:
            distribution.on_chief(run.require_new)
        elif distribution.on_chief(open_folder):
            print(f"{run.folder} is finished")
            return run if distribution.is_chief else None
        try:
            with telling_memory(config):
                steps = _steps(config, data)
                model = _build(config, data, steps, distribution)
                if not is_open:
                    # Not before: the kernel kills a process whose model does not fit into memory,
                    # and a run that it left could not go on either.
                    distribution.on_chief(make_folder)
                    is_open = True
                _train(model, config, run, data, requested, steps, start, distribution)
        except OutOfMemory as error:
            if distribution.is_chief and run.has_taken_steps():
                raise OutOfMemory(f"{error}; the last checkpoint is kept") from error
            if distribution.is_chief and is_open:
                run.remove()
            raise
    return run if distribution.is_chief else None


def _steps(config, data):
    """The steps of the whole run, and those of an epoch."""
    steps_per_epoch = math.ceil(len(data.train) / config.batch_size)
    return config.steps or config.epochs * steps_per_epoch, steps_per_epoch


def _build(config, data, steps, distribution):
    """The model, compiled, with what its optimizer keeps; says what is trained on what."""
    if config.deterministic or (
        config.deterministic is None and not tf.config.list_physical_devices("GPU")
    ):
        tf.config.experimental.enable_op_determinism()
    say = functools.partial(print, flush=True) if distribution.is_chief else lambda line: None
    say(f"dataset: {data.summary()}")
    keras.utils.set_random_seed(config.seed)
    model = distribution.replicate(lambda: create_model(config, data.spec))
    with distribution.scope():
        compile_model(model, config, *steps)
    say(f"model: {model.name}, {model.count_params():,} parameters")
    if distribution.kind != "none":
        say(f"distribute: {distribution.kind}, {distribution.replicas} replicas")
    return model


def _train(model, config, run, data, requested, steps, start, distribution):
    """Train, evaluate and record a model whose run's folder is there and locked."""
    steps, steps_per_epoch = steps
    with stop_signal() as signal:
        keep = callbacks.Keep(run, config, data, requested, steps, signal, distribution)
        keep.set_model(model)
        keep.restore()
        start -= keep.seconds
        _fit(model, config, data, run, keep, steps_per_epoch, distribution)
        keep.check_signal()
        distribution.on_chief(lambda: _conclude(model, config, data, keep, start, distribution))
        keep.check_signal()


def _conclude(model, config, data, keep, start, distribution):
    """Measure a model that has taken its steps, and record its run."""
    run = keep.run
    with interruptible(keep.interrupted):
        # With early stopping the best epoch's weights, with --ema their averages.
        measured = model if distribution.kind == "none" else create_model(config, data.spec)
        run.load_weights(measured)
        run.save_figure("curves", figures.draw_curves(keep.history))
        images = _images_seen(keep.steps_taken, len(data.train), config.batch_size)
        training = {
            "steps": keep.steps_taken,
            "images": images,
            "seconds": keep.seconds,
            "images_per_second": images / keep.seconds,
            "distribute": distribution.kind,
            "replicas": distribution.replicas,
        }
        record(run, measured, data, keep.requested, start, training=training)


def compile_model(model, config, steps, steps_per_epoch):
    """Compile a model for `fit` as a `Config` says, for a run of so many steps."""
    # Callbacks, and Ctrl-C, have their turn after every ten steps, which takes less time than after
    # each. They must divide whatever is counted in steps: else Keras would take some too many. On
    # single pixels a step takes so long that nothing is gained.
    most = 1 if config.scan == "pixels" else 10
    counted = math.gcd(steps, steps_per_epoch, config.log_every or 0, config.checkpoint_every or 0)
    model.compile(
        optimizer=create_optimizer(config, steps),
        loss=SmoothedCrossentropy(config.label_smoothing),
        metrics=["accuracy"],
        steps_per_execution=max(n for n in range(1, most + 1) if counted % n == 0),
    )
    # What a checkpoint holds must be there before `fit` makes it.
    model.optimizer.build(model.trainable_variables)
    classes = model.output_shape[-1]
    model.compute_metrics(None, np.zeros(1), np.zeros((1, classes)))
    model.reset_metrics()


def _fit(model, config, data, run, keep, steps_per_epoch, distribution):
    """Fit from where the run is to its end."""
    watchers = [keep]  # The last of them: what the others do is done when a checkpoint is written.
    if config.ema is not None:
        watchers.insert(0, ValidateAverages())
    if config.log_every and distribution.is_chief:
        watchers.insert(0, callbacks.PrintAccuracy(config.log_every, keep))
    if config.tensorboard and distribution.is_chief:
        watchers.insert(0, keras.callbacks.TensorBoard(run.tensorboard_path))

    while not keep.finished:
        epoch, taken = divmod(keep.steps_taken, steps_per_epoch)
        try:
            model.fit(
                data.train.batches(config.batch_size, config.seed, epoch, taken),
                initial_epoch=epoch,
                # The rest of an interrupted epoch is a `fit` of its own.
                epochs=epoch + 1 if taken else math.ceil(keep.steps / steps_per_epoch),
                steps_per_epoch=steps_per_epoch - taken,
                validation_data=data.validation.batches(1000) if len(data.validation) else None,
                callbacks=watchers,
                shuffle=False,
                verbose=_verbosity(config) if distribution.is_chief else 0,
            )
        except Anomaly as anomaly:
            lost = anomaly, keep.steps_taken
            explain_it = functools.partial(_explain, *lost, config, data, run, keep.steps)
            raise distribution.on_chief(explain_it) from anomaly
        keep.restore()  # `fit` leaves the averages of the weights in their place.


def _explain(anomaly, lost_at, config, data, run, steps):
    """The `UserError`, kept in the run, of a loss that was lost after so many of its steps."""
    steps_per_epoch = math.ceil(len(data.train) / config.batch_size)
    model = create_model(config, data.spec)
    compile_model(model, config, steps, steps_per_epoch)
    checkpoint.restore(run, model)
    since = int(model.optimizer.iterations)
    place = divmod(since, steps_per_epoch)
    batches = data.train.batches(config.batch_size, config.seed, *place)
    error = explain(anomaly, model, config, batches.take(lost_at - since), run)
    run.save_note(run.diverged_path, str(error))
    return error


def _verbosity(config):
    """Keras's 0 (silent), 1 (progress bar, for a terminal) or 2 (a line an epoch, for a log)."""
    if config.log_every:
        return 0
    return 1 if sys.stdout.isatty() else 2


def _images_seen(steps, size, batch_size):
    """Training images in `steps` batches, of which the last of each epoch holds what is left."""
    epochs, rest = divmod(steps, math.ceil(size / batch_size))
    return epochs * size + rest * batch_size
