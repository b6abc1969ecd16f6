"""The networks that read an image row by row. `create_model` builds all of them."""

import functools

import keras

from configs import cells
from models.basic_rnn_cell import BasicRNNCell
from models.distort import Distort
from models.fast_rnn import FastLSTM, FastRNN
from models.gru_cell import GRUCell
from models.image_to_sequence import ImageToSequence
from models.lstm_1997_cell import LSTM1997Cell
from models.lstm_cell import LSTMCell
from models.tf1_checkpoint import load_tf1_checkpoint
from models.trace import run_with_activations, trace

__all__ = [
    "CELLS",
    "BasicRNNCell",
    "Distort",
    "FastLSTM",
    "FastRNN",
    "GRUCell",
    "ImageToSequence",
    "LSTM1997Cell",
    "LSTMCell",
    "create_model",
    "load_tf1_checkpoint",
    "run_with_activations",
    "trace",
]

_CLASSES = {cell.__name__: cell for cell in (BasicRNNCell, GRUCell, LSTM1997Cell, LSTMCell)}
# The name of a cell -> a function of `units` and the cell's other arguments that creates it.
CELLS = {
    name: functools.partial(_CLASSES[class_name], **arguments)
    for name, (class_name, arguments) in cells.CELLS.items()
}


def _create_recurrent(config, **options):
    """Create one recurrent layer, in one direction."""
    if config.compute_dtype != "float32":
        options["dtype"] = f"mixed_{config.compute_dtype}"
    name = config.model.removeprefix("bidirectional_")
    if name == "lstm":
        return FastLSTM(config.units, recurrent_dropout=config.recurrent_dropout, **options)
    blocks = {"block_size": config.block_size} if name == "lstm_1997" else {}
    cell = CELLS[name](
        config.units,
        recurrent_dropout=config.recurrent_dropout,
        dtype=options.get("dtype"),
        **blocks,
    )
    return FastRNN(cell, **options)


def _augment(images, config):
    """Distort images `(batch, 28, 28)` and leave parts of them out, in training only."""
    distortions = {
        name: getattr(config, name) for name in ("rotation", "shift", "zoom", "shear", "elastic")
    }
    if any(distortions.values()):
        images = Distort(**distortions, name="distort")(images)
    if config.pixel_dropout:
        images = keras.layers.Dropout(config.pixel_dropout, name="pixel_dropout")(images)
    if config.row_dropout:
        whole_rows = (None, 28, 1)
        images = keras.layers.Dropout(config.row_dropout, whole_rows, name="row_dropout")(images)
    return images


def create_model(config, classes=10):
    """Build the network a `Config` describes.

        rows -> scale to 0..1 -> scan -> recurrent layers -> head of the final state -> logits

    In training, and then alone, images are distorted and parts of them left out before the scan.

    Args:
        config: A `Config`; its model, units, block size, layers, distortion, dropout, scan and
            head fields are used.
        classes: Number of classes.

    Returns:
        A `keras.Model` with one input `rows`, pixel values 0 to 255 of any integer or float dtype,
        `(batch, 28, 28)`, and one output `logits`, `float32 (batch, classes)`. It classifies from
        the last hidden state, and a bidirectional model from the states its head names; by
        default the final ones of both directions, after the last row and after the first.
    """
    bidirectional = config.model.startswith("bidirectional_")

    rows = keras.Input((28, 28), dtype="float32", name="rows")
    x = keras.layers.Rescaling(1 / 255, name="scale")(rows)
    x = _augment(x, config)
    x = ImageToSequence(config.scan, config.permute_seed, name="scan")(
        x
    )  # (batch, steps, features)
    for number in range(1, config.layers + 1):
        last = number == config.layers
        # Read out backward alone, the last forward direction would learn nothing: it is left out.
        backward_only = last and config.head == "backward"
        layer = _create_recurrent(
            config,
            return_sequences=not last or config.head == "last",
            go_backwards=backward_only,
            name=f"recurrent_{number}",
        )
        if bidirectional and not backward_only:
            layer = keras.layers.Bidirectional(layer, name=f"bidirectional_{number}")
        x = layer(x)
        if config.dropout:
            x = keras.layers.Dropout(config.dropout, name=f"dropout_{number}")(x)
    if config.head == "last":
        x = x[:, -1]  # (batch, 2 * units)
    # Made here, not once for all: Keras gives an initializer its seed when it is made.
    tutorial = config.head_init == "tutorial"
    logits = keras.layers.Dense(
        classes,
        kernel_initializer=keras.initializers.RandomNormal(stddev=1.0)
        if tutorial
        else "glorot_uniform",
        bias_initializer=keras.initializers.Constant(0.1) if tutorial else "zeros",
        dtype="float32",
        name="logits",
    )(x)
    return keras.Model(rows, logits, name=config.model)
