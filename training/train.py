"""Train a model: from a `Config` to a finished run."""

import contextlib
import dataclasses
import functools
import math
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from configs import Config, UserError
from datasets import load
from models import carry_states, create_model, for_learning, stateless
from tasks import task_of
from training import checkpoint
from training.callbacks import create_callbacks
from training.distributed.distribution import Distribution
from training.divergence import Diverged, explain
from training.figures import draw_curves
from training.memory import OutOfMemory, require_memory, telling_memory
from training.optimizers import create_optimizer
from training.progress import Progress
from training.record import record
from training.run import Run
from training.session import Session
from training.signals import interruptible, stop_signal


def train(config: Config, folder, data=None, resume=False, distribution=None):
    """Train the model of a `Config`, evaluate it on all test examples and record it.

    The same config with the same number of processors gives the same weights, bit for bit, also if
    the run is interrupted and resumed; on a GPU this needs `--deterministic`.

    Args:
        config: What to train, on what and how.
        folder: The folder of the run.
        data: A `Dataset`; `None` loads that of the config.
        resume: Whether to go on with the run in the folder, if it exists, from its newest
            checkpoint. Its config must equal `config`; only the locations of the data may differ.
        distribution: The `Distribution`; `None` trains in this process, on one device. Each of
            several machines calls this function, and only the chief reads and writes the folder.

    Returns:
        The finished `Run`; `None` on a machine that is not the chief.

    Raises:
        UserError: If the folder exists and `resume` is false, another process is training in it,
            its checkpoints are damaged, the data cannot be loaded or differ from those that the run
            began with, the loss diverges, or another machine is lost.
        OutOfMemory: If the memory does not suffice. A run that has not taken a step is removed.
        Interrupted: At SIGINT (Ctrl-C), SIGTERM and SIGHUP, after a checkpoint was written.
    """
    start = time.perf_counter()
    distribution = distribution or Distribution()
    data = data or load(config)
    requested, config = config.dataset, dataclasses.replace(config, dataset=data.name)
    if data.train.carries_states and distribution.kind != "none":
        raise UserError(
            f"--distribute={distribution.kind}: a model of --dataset={config.dataset} carries its "
            "states from batch to batch, which works on one device only; expected no --distribute"
        )
    task = task_of(data.spec, config)
    session = Session(Run(folder), config, data, task, distribution, requested)
    # Several devices share a batch.
    require_memory(config, len(data.train) if distribution.kind == "none" else 1)
    with contextlib.ExitStack() as until_the_end, distribution.translate_errors():
        return _train(session, resume, start, until_the_end)


def _train(session, resume, start, until_the_end):
    run, distribution = session.run, session.distribution

    def open_folder():
        until_the_end.enter_context(run.locked())
        run.remove_leftovers()
        run.diverged_path.unlink(missing_ok=True)
        return run.metrics()

    def make_folder():
        Run.create(run.folder, session.config)
        open_folder()

    is_open = distribution.on_chief(lambda: resume and run.exists())
    if not is_open:
        distribution.on_chief(run.require_new)
    elif distribution.on_chief(open_folder):
        print(f"{run.folder} is finished")
        return run if distribution.is_chief else None
    try:
        with telling_memory(session.config):
            model = _build(session)
            if not is_open:
                # Only now: the kernel kills a process whose model does not fit into memory, and
                # the run that it left could not go on either.
                distribution.on_chief(make_folder)
                is_open = True
            _fit_and_record(model, session, start)
    except OutOfMemory as error:
        if distribution.is_chief and run.has_taken_steps():
            raise OutOfMemory(f"{error}; the last checkpoint is kept") from error
        if distribution.is_chief and is_open:
            run.remove()
        raise
    return run if distribution.is_chief else None


def _build(session):
    """The model, compiled; prints what is trained on what."""
    config, distribution = session.config, session.distribution
    if config.deterministic or (
        config.deterministic is None and not tf.config.list_physical_devices("GPU")
    ):
        tf.config.experimental.enable_op_determinism()
    say = functools.partial(print, flush=True) if distribution.is_chief else lambda line: None
    say(f"dataset: {session.data.summary()}")
    keras.utils.set_random_seed(config.seed)
    model = distribution.replicate(lambda: _create(config, session.data.spec))
    parameters = model.count_params()
    if session.data.train.carries_states:
        model = carry_states(model, config.batch_size)
    with distribution.scope():
        compile_model(model, session.task, session.steps, session.steps_per_epoch)
    say(f"model: {model.name}, {parameters:,} parameters")
    if distribution.kind != "none":
        say(f"distribute: {distribution.kind}, {distribution.replicas} replicas")
    return model


def _create(config, spec):
    """The model that is trained."""
    model = create_model(config, spec)
    if config.gradient == "bptt" and not config.teacher_forcing:
        return model
    return for_learning(model, config.gradient, forced=spec.size if config.teacher_forcing else 0)


def _fit_and_record(model, session, start):
    """Train, evaluate and record a model. The folder of its run exists and is locked."""
    if session.data.spec.vocabulary:
        vocabulary = session.data.spec.vocabulary
        session.distribution.on_chief(lambda: session.run.save_vocabulary(vocabulary))
    with stop_signal() as signal:
        progress = Progress(session, model)
        progress.restore()
        start -= progress.seconds
        callbacks = create_callbacks(progress, session.distribution.agreed(signal))
        check_signal = callbacks[-1].check
        _fit(model, session, progress, callbacks)
        check_signal()
        session.distribution.on_chief(lambda: _record(model, session, progress, start))
        check_signal()


def _record(model, session, progress, start):
    """Measure a model that has taken its steps, and record its run."""
    run, distribution = session.run, session.distribution
    with interruptible(progress.interrupted):
        # With early stopping the weights of the best epoch, with --ema their averages.
        if distribution.kind != "none":
            model = create_model(session.config, session.data.spec)
        model = stateless(model)
        run.load_weights(model)
        run.save_figure("curves", draw_curves(progress.history, session.task))
        seen = session.examples_seen(progress.steps_taken)
        training = {
            "steps": progress.steps_taken,
            session.data.spec.examples: seen,
            "seconds": progress.seconds,
            f"{session.data.spec.examples}_per_second": seen / progress.seconds,
            "distribute": distribution.kind,
            "replicas": distribution.replicas,
        }
        record(session, model, progress.requested, start, training=training)


def compile_model(model, task, steps, steps_per_epoch):
    """Compile a model for `fit`, for a task and a run of so many steps."""
    config = task.config
    # Callbacks run, and Ctrl-C is noticed, after every ten steps, which takes less time than after
    # each. Ten must divide all numbers of steps that matter: else Keras would take some steps too
    # many. A step of a long sequence takes so long that nothing is gained.
    most = 1 if config.timesteps > 100 else 10
    counted = math.gcd(steps, steps_per_epoch, config.log_every or 0, config.checkpoint_every or 0)
    model.compile(
        optimizer=create_optimizer(config, steps),
        loss=task.loss(),
        metrics=task.metrics(),
        steps_per_execution=max(n for n in range(1, most + 1) if counted % n == 0),
    )
    # A checkpoint holds these variables, so they must exist before `fit` makes them.
    model.optimizer.build(model.trainable_variables)
    sizes = [
        (1, *(size or 1 for size in shape)) for shape in (task.target_shape, model.output_shape[1:])
    ]
    target, output = map(np.zeros, sizes)
    model.compute_metrics(None, target, output)
    model.reset_metrics()


def _fit(model, session, progress, callbacks):
    """Fit from where the run is to its end."""
    data, config = session.data, session.config
    if config.teacher_forcing:
        data = data.with_teacher()
    while not progress.is_finished:
        epoch, taken = divmod(progress.steps_taken, session.steps_per_epoch)
        if epoch in data.train.shape_changes:
            # Keras would trace the new length as any length, and the fast path needs one.
            model.make_train_function(force=True)
        ends = [end for end in (*data.train.shape_changes, session.epochs) if end > epoch]
        try:
            model.fit(
                data.train.batches(config.batch_size, config.seed, epoch, taken),
                initial_epoch=epoch,
                # The rest of an interrupted epoch is a `fit` of its own.
                epochs=epoch + 1 if taken else min(ends),
                steps_per_epoch=session.steps_per_epoch - taken,
                validation_data=data.validation.in_order(config.batch_size)
                if len(data.validation)
                else None,
                callbacks=callbacks,
                shuffle=False,
                verbose=_verbosity(config) if session.distribution.is_chief else 0,
            )
        except Diverged as diverged:
            explain_it = functools.partial(_explain, diverged, progress.steps_taken, session)
            raise session.distribution.on_chief(explain_it) from diverged
        progress.restore()  # `fit` leaves the averages of the weights in their place.


def _explain(diverged, steps, session):
    """The `UserError`, also written into the run, of a loss that diverged after so many steps."""
    config = session.config
    model = create_model(config, session.data.spec)
    compile_model(model, session.task, session.steps, session.steps_per_epoch)
    checkpoint.restore(session.run, model)
    since = int(model.optimizer.iterations)
    epoch, taken = divmod(since, session.steps_per_epoch)
    batches = session.data.train.batches(config.batch_size, config.seed, epoch, taken)
    error = explain(diverged, model, session, batches.take(steps - since))
    session.run.save_note(session.run.diverged_path, str(error))
    return error


def _verbosity(config):
    """Keras's 0 (silent), 1 (progress bar, for a terminal) or 2 (a line an epoch, for a log)."""
    if config.log_every:
        return 0
    return 1 if sys.stdout.isatty() else 2
