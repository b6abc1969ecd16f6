"""From a `Config` to a finished run."""

import dataclasses
import math
import sys
import time

import keras

from configs import Config
from datasets import load
from datasets.batches import ordered_batches, shuffled_batches
from models import create_model
from training import callbacks, figures
from training.record import record
from training.run import Run


def train(config: Config, folder, data=None) -> Run:
    """Train the model a `Config` describes, evaluate it on all test images and record it.

    The same config on the same machine gives the same weights, bit for bit.

    Args:
        config: What to train, on what and how.
        folder: The run folder to make.
        data: A `Dataset`; `None` loads the one the config names.

    Returns:
        The finished `Run`.

    Raises:
        UserError: If the folder exists or the dataset cannot be had.
        KeyboardInterrupt: At Ctrl-C, after the weights so far were saved.
    """
    start = time.perf_counter()
    data = data or load(config)
    run = Run.create(folder)
    requested, config = config.dataset, dataclasses.replace(config, dataset=data.name)
    run.save_config(config)
    print(f"dataset: {data.summary()}", flush=True)

    steps_per_epoch = math.ceil(len(data.train) / config.batch_size)
    steps = config.steps or config.epochs * steps_per_epoch
    keras.utils.set_random_seed(config.seed)
    model = create_model(config, data.classes)
    compile_model(model, config, steps, steps_per_epoch)
    print(f"model: {model.name}, {model.count_params():,} parameters", flush=True)
    steps, seconds = _fit(model, config, data, run, steps, steps_per_epoch)
    run.save_model(model)

    run.save_figure("curves", figures.draw_curves(run.history_path))
    images = _images_seen(steps, len(data.train), config.batch_size)
    training = {
        "steps": steps,
        "images": images,
        "seconds": seconds,
        "images_per_second": images / seconds,
    }
    record(run, model, data, requested, start, training=training)
    return run


def compile_model(model, config, steps, steps_per_epoch):
    """Compile a model for `fit` as a `Config` says, for a run of so many steps."""
    # Callbacks, and Ctrl-C, have their turn after every ten steps, which takes less time than after
    # each. They must divide whatever is counted in steps: else Keras would take some too many. On
    # single pixels a step takes so long that nothing is gained.
    most = 1 if config.scan == "pixels" else 10
    counted = math.gcd(steps, steps_per_epoch, config.log_every or 0)
    model.compile(
        optimizer=create_optimizer(config, steps),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=max(n for n in range(1, most + 1) if counted % n == 0),
        jit_compile=config.jit_compile or "auto",
    )


def create_optimizer(config, steps):
    """The optimizer a `Config` describes, for a run of so many steps."""
    rate = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, decay_steps=steps)
    options = {"learning_rate": rate, "global_clipnorm": config.clip_norm}
    if config.optimizer == "muon":
        # Made for matrices between hidden states; the read-out learns by Adam, as it advises.
        options["exclude_layers"] = ["logits"]
    return keras.optimizers.get({"class_name": config.optimizer, "config": options})


def _fit(model, config, data, run, steps, steps_per_epoch):
    """Fit for so many steps; returns the steps taken and the seconds, validation included."""
    history = keras.callbacks.CSVLogger(run.history_path)
    watchers = [callbacks.StopAfter(steps), callbacks.SaveModel(run), history]
    if config.early_stopping_patience:
        watchers.append(
            keras.callbacks.EarlyStopping(
                monitor="val_loss",
                patience=config.early_stopping_patience,
                restore_best_weights=True,
            )
        )
    if config.log_every:
        watchers.append(
            callbacks.PrintAccuracy(config.log_every, config.batch_size, len(data.train))
        )
    if config.tensorboard:
        watchers.append(keras.callbacks.TensorBoard(run.tensorboard_path))

    start = time.perf_counter()
    try:
        model.fit(
            shuffled_batches(data.train, config.batch_size, config.seed),
            epochs=math.ceil(steps / steps_per_epoch),
            steps_per_epoch=steps_per_epoch,
            validation_data=ordered_batches(data.validation, 1000)
            if len(data.validation)
            else None,
            callbacks=watchers,
            shuffle=False,
            verbose=_verbosity(config),
        )
    except KeyboardInterrupt as interrupt:
        run.save_model(model)
        raise KeyboardInterrupt(
            f"interrupted after {int(model.optimizer.iterations):,} steps; the weights so far are "
            f"in {run.model_path}: python main.py --mode=evaluate --run={run.folder}"
        ) from interrupt
    finally:
        if history.csv_file:  # Which Keras closes only when all goes well.
            history.csv_file.close()
    return int(model.optimizer.iterations), time.perf_counter() - start


def _verbosity(config):
    """Keras's 0 (silent), 1 (progress bar, for a terminal) or 2 (a line an epoch, for a log)."""
    if config.log_every:
        return 0
    return 1 if sys.stdout.isatty() else 2


def _images_seen(steps, size, batch_size):
    """Training images in `steps` batches, of which the last of each epoch holds what is left."""
    epochs, rest = divmod(steps, math.ceil(size / batch_size))
    return epochs * size + rest * batch_size
