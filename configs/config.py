"""`Config`: every choice a run depends on, once, typed, validated and explained in one line."""

import dataclasses
import os
import types
import typing

from configs.errors import UserError

# `lstm` is Keras's own layer; all others are our cells, of which `custom_lstm` computes the same.
_LSTMS = ("lstm", *(f"{v}_lstm" for v in ["cifg", "nig", "nfg", "nog", "niaf", "noaf", "fgr"]))
_CELLS = (
    *("basic_rnn", "irnn", "lstm_1997", "custom_lstm"),
    *_LSTMS,
    *(f"peephole_{lstm}" for lstm in _LSTMS),
    *("gru", "gru1", "gru2", "gru3"),
)


def option(default, help, *, choices=None, minimum=None, maximum=None, below=None):
    """Declare one field of `Config`.

    Args:
        default: The value used when nothing else is said.
        help: One line for `--help`.
        choices: The allowed values, if they can be listed.
        minimum: The smallest allowed number.
        maximum: The largest allowed number.
        below: A number the value must stay strictly below.
    """
    bounds = {"choices": choices, "minimum": minimum, "maximum": maximum, "below": below}
    return dataclasses.field(default=default, metadata={"help": help, **bounds})


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
        choices=(*_CELLS, *(f"bidirectional_{cell}" for cell in _CELLS)),
    )
    units: int = option(128, "Size of the hidden state (of each direction).", minimum=1)
    block_size: int = option(
        1, "Cells of lstm_1997 that share one input and one output gate.", minimum=1
    )
    layers: int = option(1, "Number of recurrent layers on top of each other.", minimum=1)
    dropout: float = option(
        0.0, "Fraction of each recurrent layer's outputs dropped in training.", minimum=0, below=1
    )
    recurrent_dropout: float = option(
        0.0,
        "Fraction of the hidden state dropped in training on its way to the next step, the same "
        "units at all steps of a sequence (and for all gates, but in Keras's own lstm).",
        minimum=0,
        below=1,
    )
    read_out: str = option(
        "both",
        "What a bidirectional model classifies from: both final states, the backward one alone, or "
        "as some tutorials did the outputs at the last row, of which backward has read no other.",
        choices=("both", "backward", "last"),
    )
    read_out_init: str = option(
        "glorot",
        "Initial read-out weights: Glorot uniform with bias 0, or the TensorFlow 1 tutorials' "
        "N(0, 1) with bias 0.1.",
        choices=("glorot", "tutorial"),
    )

    dataset: str = option(
        "auto",
        "mnist, digits (embedded), any 28x28 grey TFDS name (fashion_mnist, emnist/letters), or "
        "auto: mnist where it can be had, else digits.",
    )
    data_dir: str | None = option(None, "Where TFDS keeps prepared datasets (default: TFDS's own).")
    mnist_dir: str | None = option(
        os.environ.get("MNIST_DIR") or None,
        "Folder with MNIST's four original .gz files, used by --dataset=mnist and auto in place of "
        "the network (default: the environment variable MNIST_DIR).",
    )
    validation_size: int | None = option(
        None,
        "Training images held out for validation; 0 trains on all (default: a twelfth, which is "
        "5,000 of MNIST's 60,000).",
        minimum=0,
    )
    scan: str = option(
        "rows",
        "Order of reading: 28 rows, 28 columns, or 784 single pixels.",
        choices=("rows", "columns", "pixels"),
    )
    permute_seed: int | None = option(
        None,
        "Shuffle the 784 pixels by a fixed permutation with this seed (default: no permutation).",
        minimum=0,
        maximum=2**32 - 1,
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
    clip_norm: float | None = option(
        None, "Clip gradients to this global norm (default: no clipping).", minimum=1e-12
    )
    compute_dtype: str = option(
        "float32",
        "Precision the recurrent layers compute in; their weights stay float32. bfloat16 pays "
        "where the processor has instructions for it.",
        choices=("float32", "bfloat16"),
    )
    jit_compile: bool = option(
        False,
        "Compile the training step with XLA: slower to start, then faster for some models.",
    )
    early_stopping_patience: int | None = option(
        None,
        "Stop after this many epochs without a better validation loss and keep the best weights "
        "(default: train to the end).",
        minimum=1,
    )
    seed: int = option(
        0, "Seed of the weights, the data order and dropout.", minimum=0, maximum=2**32 - 1
    )
    log_every: int | None = option(
        None,
        "Print the training accuracy every so many steps, as the TensorFlow 1 tutorials did, in "
        "place of the progress bar (default: progress bar).",
        minimum=1,
    )
    tensorboard: bool = option(False, "Write TensorBoard logs into the run folder.")

    def __post_init__(self):
        for field in dataclasses.fields(self):
            problem = _problem(field, getattr(self, field.name))
            if problem:
                raise UserError(f"--{field.name}={getattr(self, field.name)}: {problem}")
        if self.early_stopping_patience and self.validation_size == 0:
            raise UserError(
                f"--early_stopping_patience={self.early_stopping_patience}: early stopping watches "
                "the validation loss, but --validation_size=0 leaves no validation images; "
                "expected one or the other"
            )
        if self.block_size > 1 and not self.model.endswith("lstm_1997"):
            raise UserError(
                f"--block_size={self.block_size}: --model={self.model} has no blocks; expected "
                "--model=lstm_1997"
            )
        if self.units % self.block_size:
            raise UserError(
                f"--block_size={self.block_size}: --units={self.units} is no whole number of "
                "blocks; expected a multiple"
            )
        if self.read_out != "both" and not self.model.startswith("bidirectional"):
            raise UserError(
                f"--read_out={self.read_out}: --model={self.model} has one direction; expected a "
                "bidirectional model, such as --model=bidirectional_lstm"
            )


def value_type(field):
    """The plain type of a `Config` field: `int` for both `int` and `int | None`."""
    if isinstance(field.type, types.UnionType):
        return next(t for t in typing.get_args(field.type) if t is not types.NoneType)
    return field.type


def expectation(field):
    """What a `Config` field accepts, in words: `an integer, at least 1`."""
    bounds = field.metadata
    if bounds["choices"]:
        return "one of " + ", ".join(bounds["choices"])
    words = [
        {int: "an integer", float: "a number", str: "a text", bool: "true or false"}[
            value_type(field)
        ]
    ]
    if bounds["minimum"] is not None:
        words.append(f"at least {bounds['minimum']}")
    if bounds["maximum"] is not None:
        words.append(f"at most {bounds['maximum']}")
    if bounds["below"] is not None:
        words.append(f"below {bounds['below']}")
    return ", ".join(words)


def _problem(field, value):
    """What is wrong with `value`, or `None`."""
    if value is None and isinstance(field.type, types.UnionType):
        return None
    accepted = (int, float) if value_type(field) is float else value_type(field)
    bounds = field.metadata
    valid = (
        isinstance(value, accepted)
        and not (isinstance(value, bool) and value_type(field) is not bool)
        and (bounds["choices"] is None or value in bounds["choices"])
        and (bounds["minimum"] is None or value >= bounds["minimum"])
        and (bounds["maximum"] is None or value <= bounds["maximum"])
        and (bounds["below"] is None or value < bounds["below"])
    )
    return None if valid else f"expected {expectation(field)}"
