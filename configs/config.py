"""`Config`: every choice a run depends on, once, typed, validated and explained in one line."""

import dataclasses
import os

from configs.cells import MODELS
from configs.errors import UserError
from configs.option import option, problem


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides what a run computes.

    A field is one command-line flag of the same name (see `configs.flags`), and a saved `Config`
    is an absl flag file. Values are checked on construction, wherever they come from.

    Raises:
        UserError: If a value is outside its bounds, or two values contradict each other.
    """

    model: str = option(
        "lstm",
        "The network that reads the rows.",
        choices=MODELS,
    )
    units: int = option(128, "Size of the hidden state (of each direction).", minimum=1)
    block_size: int = option(
        1, "Number of lstm_1997 cells that share an input gate and an output gate.", minimum=1
    )
    layers: int = option(
        1, "Number of recurrent layers on top of each other.", minimum=1, maximum=100
    )
    dropout: float = option(
        0.0, "Fraction of each recurrent layer's outputs dropped in training.", minimum=0, below=1
    )
    recurrent_dropout: float = option(
        0.0,
        "Fraction of the hidden state dropped in training on its way to the next step. The same "
        "units are dropped at all steps of a sequence, and for all gates except in --model=lstm.",
        minimum=0,
        below=1,
    )
    head: str = option(
        "both",
        "A bidirectional model classifies from both final states, from the backward one alone, or, "
        "as in some tutorials, from both outputs at the last row, when the backward direction has "
        "read only that row.",
        choices=("both", "backward", "last"),
    )
    head_init: str = option(
        "glorot",
        "Initial head weights: Glorot uniform with bias 0, or the TensorFlow 1 tutorials' "
        "N(0, 1) with bias 0.1.",
        choices=("glorot", "tutorial"),
    )

    dataset: str = option(
        "auto",
        "mnist, digits (embedded), any 28x28 grey TFDS name (fashion_mnist, emnist/letters), or "
        "auto: mnist where it is available, else digits.",
    )
    data_dir: str | None = option(
        None, "Where TFDS keeps prepared datasets (default: TFDS's own).", path=True
    )
    mnist_dir: str | None = option(
        os.environ.get("MNIST_DIR") or None,
        "Folder with MNIST's four original .gz files, used by --dataset=mnist and auto in place of "
        "the network (default: the environment variable MNIST_DIR).",
        path=True,
    )
    validation_size: int | None = option(
        None,
        "Training images held out for validation; 0 trains on all (default: a twelfth, which is "
        "5,000 of MNIST's 60,000).",
        minimum=0,
    )
    scan: str = option(
        "rows",
        "Order of reading: 28 rows, 28 columns, row and column of the same number together, or 784 "
        "single pixels.",
        choices=("rows", "columns", "rows_and_columns", "pixels"),
    )
    permute_seed: int | None = option(
        None,
        "Shuffle the 784 pixels by a fixed permutation with this seed (default: no permutation).",
        minimum=0,
        maximum=2**32 - 1,
    )

    rotation: float = option(
        0.0, "Rotate training images by up to this many degrees.", minimum=0, maximum=180
    )
    shift: float = option(
        0.0, "Shift training images by up to this many pixels each way.", minimum=0, maximum=28
    )
    zoom: float = option(
        0.0, "Change each side of training images by up to this fraction.", minimum=0, below=1
    )
    shear: float = option(
        0.0, "Shear training images by up to this many pixels a row.", minimum=0, maximum=1
    )
    elastic: float = option(
        0.0,
        "Deform training images like rubber, by this many pixels (standard deviation).",
        minimum=0,
        maximum=28,
    )
    pixel_dropout: float = option(
        0.0, "Fraction of each training image's pixels left out.", minimum=0, below=1
    )
    row_dropout: float = option(
        0.0, "Fraction of each training image's rows left out.", minimum=0, below=1
    )

    epochs: int = option(10, "Passes over the training images.", minimum=1)
    steps: int | None = option(
        None, "Stop after this many batches; replaces --epochs (default: no limit).", minimum=1
    )
    batch_size: int = option(128, "Images per training step.", minimum=1)
    optimizer: str = option(
        "adam",
        "The optimizer.",
        choices=("adam", "adamw", "muon", "nadam", "rmsprop", "sgd"),
    )
    learning_rate: float = option(
        0.002, "Learning rate of the optimizer, at first.", minimum=1e-12, maximum=1e3
    )
    schedule: str = option(
        "cosine",
        "The learning rate over the run: constant, or a half cosine down to 0.",
        choices=("constant", "cosine"),
    )
    warmup: float = option(
        0.0,
        "Fraction of the run in which the learning rate first rises from 0, before its schedule.",
        minimum=0,
        below=1,
    )
    weight_decay: float | None = option(
        None,
        "Each step subtracts this fraction of each matrix, times the learning rate (default: the "
        "optimizer's own, which applies to biases too).",
        minimum=0,
        maximum=1e3,
    )
    clip_norm: float | None = option(
        None, "Clip gradients to this global norm (default: no clipping).", minimum=1e-12
    )
    label_smoothing: float = option(
        0.0, "Fraction of each label given to all classes alike.", minimum=0, below=1
    )
    ema: float | None = option(
        None,
        "Momentum of an exponential moving average of the weights, which takes their place when "
        "the model is measured and saved (default: no average).",
        minimum=0,
        below=1,
    )
    compute_dtype: str = option(
        "float32",
        "Precision the recurrent layers compute in; their weights stay float32. bfloat16 pays "
        "where the processor has instructions for it.",
        choices=("float32", "bfloat16"),
    )
    early_stopping_patience: int | None = option(
        None,
        "Stop after this many epochs without a better validation loss and keep the best weights "
        "(default: train to the end).",
        minimum=1,
    )
    deterministic: bool | None = option(
        None,
        "Use only operations that give the same bits each time (default: unless there is a GPU).",
    )
    checkpoint_every: int | None = option(
        None,
        "Steps between checkpoints, beside the one of each epoch (default: that alone).",
        minimum=1,
    )
    detect_anomaly: bool = option(
        False, "If the loss becomes infinite, find out in which layer it began."
    )
    seed: int = option(
        0, "Seed of the weights, the data order and dropout.", minimum=0, maximum=2**32 - 1
    )
    log_every: int | None = option(
        None,
        "Print the training accuracy each time after this many steps, as the TensorFlow 1 "
        "tutorials did, in place of the progress bar (default: progress bar).",
        minimum=1,
    )
    tensorboard: bool = option(False, "Write TensorBoard logs into the run folder.")

    def __post_init__(self):
        for field in dataclasses.fields(self):
            wrong = problem(field, getattr(self, field.name))
            if wrong:
                raise UserError(f"--{field.name}={getattr(self, field.name)}: {wrong}")
        if self.early_stopping_patience and self.validation_size == 0:
            raise UserError(
                f"--early_stopping_patience={self.early_stopping_patience}: early stopping watches "
                "the validation loss, but --validation_size=0 leaves no validation images; "
                "expected --validation_size=1 or more, or no --early_stopping_patience"
            )
        if self.warmup and self.schedule == "constant":
            raise UserError(
                f"--warmup={self.warmup}: --schedule=constant starts with its full rate; expected "
                "--schedule=cosine, or no --warmup"
            )
        if self.block_size > 1 and not self.model.endswith("lstm_1997"):
            raise UserError(
                f"--block_size={self.block_size}: --model={self.model} has no blocks; expected "
                "--model=lstm_1997 or bidirectional_lstm_1997, or no --block_size"
            )
        if self.units % self.block_size:
            raise UserError(
                f"--block_size={self.block_size}: --units={self.units} cannot be divided into "
                "blocks of that size; expected --units that are a multiple of --block_size"
            )
        if self.head != "both" and not self.model.startswith("bidirectional"):
            raise UserError(
                f"--head={self.head}: --model={self.model} has one direction; expected a "
                "bidirectional model, such as --model=bidirectional_lstm, or no --head"
            )

    def require_distortion(self, views):
        """Raise a `UserError` if the training images are not distorted: there are no views then."""
        if not any((self.rotation, self.shift, self.zoom, self.shear, self.elastic)):
            raise UserError(
                f"--views={views}: the {self.model} was trained without distortion, so that all "
                "views would be the same; expected --views=1, or a run that was trained with "
                "--rotation, --shift, --zoom, --shear or --elastic"
            )
