"""The networks that read images, sequences and texts. `create_model` builds all of them."""

import functools

import keras

from configs import UserError, cells
from models.basic_rnn_cell import BasicRNNCell
from models.biases import set_biases
from models.distort import Distort
from models.fast_rnn import FastLSTM, FastRNN
from models.fully_recurrent_cell import FullyRecurrentCell, OutputUnits
from models.gru_cell import GRUCell
from models.history_compressor import (
    HistoryCompressor,
    HistoryCompressorCell,
    automatizer_alone,
)
from models.image_to_sequence import ImageToSequence
from models.inputs import create_inputs
from models.learning import for_learning
from models.lstm_1997_cell import LSTM1997Cell
from models.lstm_cell import LSTMCell
from models.ntm_cell import NTMCell
from models.states import carry_states, reset_states, stateless, with_states
from models.tf1_checkpoint import load_tf1_checkpoint
from models.tied_head import TiedHead
from models.trace import run_with_activations, trace

__all__ = [
    "CELLS",
    "BasicRNNCell",
    "Distort",
    "FastLSTM",
    "FastRNN",
    "FullyRecurrentCell",
    "GRUCell",
    "HistoryCompressor",
    "HistoryCompressorCell",
    "ImageToSequence",
    "LSTM1997Cell",
    "LSTMCell",
    "NTMCell",
    "OutputUnits",
    "TiedHead",
    "automatizer_alone",
    "carry_states",
    "create_model",
    "for_learning",
    "load_tf1_checkpoint",
    "reset_states",
    "run_with_activations",
    "stateless",
    "trace",
    "with_states",
]

_CLASSES = {
    cell.__name__: cell
    for cell in (BasicRNNCell, FullyRecurrentCell, GRUCell, LSTM1997Cell, LSTMCell)
}
# The name of a cell -> a function of `units` and the cell's other arguments that creates it.
CELLS = {
    name: functools.partial(_CLASSES[class_name], **arguments)
    for name, (class_name, arguments) in cells.CELLS.items()
}

# The fields of a `Config` that are arguments of one cell only.
_ARGUMENTS = {
    "lstm_1997": ("block_size", "truncated_gradient"),
    "ntm": ("memory_slots", "memory_width", "read_heads", "write_heads", "controller"),
}


def _create_recurrent(config, features, **options):
    """Create one recurrent layer, in one direction, which reads so many features."""
    if config.compute_dtype != "float32":
        options["dtype"] = f"mixed_{config.compute_dtype}"
    name = config.model.removeprefix("bidirectional_")
    if name == "history_compressor":
        cell = HistoryCompressorCell(config.units, features, dtype=options.pop("dtype", None))
        return HistoryCompressor(cell, name=options["name"])
    if name == "lstm":
        return FastLSTM(config.units, recurrent_dropout=config.recurrent_dropout, **options)
    arguments = _ARGUMENTS.get(name, ())
    cell = (NTMCell if name == "ntm" else CELLS[name])(
        config.units,
        recurrent_dropout=config.recurrent_dropout,
        dtype=options.get("dtype"),
        **{argument: getattr(config, argument) for argument in arguments},
    )
    return FastRNN(cell, **options)


def create_model(config, spec):
    """Build the network that a `Config` describes, for data that a `Spec` describes.

        inputs -> sequence -> recurrent layers -> final state -> head

    Args:
        config: A `Config`; its model, units, block size, layers, dropout, head and initialization
            fields are used, and those that `create_inputs` names.
        spec: The `Spec` of the dataset.

    Returns:
        A `keras.Model` with the input that `create_inputs` makes, and one output `float32 (batch,
        spec.size)`: `logits` of classes or bits, or `values` of numbers. It answers from the last
        hidden state, and a bidirectional model from the states that `--head` names; by default the
        final ones of both directions, after the last step and after the first. If the answer is at
        every step, it has `logits (batch, steps, spec.size)`, one answer at every step.

    Raises:
        UserError: If a fully recurrent network has fewer units than outputs.
    """
    bidirectional = config.model.startswith("bidirectional_")
    every_step = spec.answers_at_every_step

    inputs, x = create_inputs(config, spec)  # x: (batch, steps, features)
    for number in range(1, config.layers + 1):
        last = number == config.layers
        # With a backward head the last forward direction would learn nothing: it is left out.
        backward_only = last and config.head == "backward"
        layer = _create_recurrent(
            config,
            x.shape[-1],
            return_sequences=not last or every_step or config.head == "last",
            return_state=every_step,
            go_backwards=backward_only,
            name=f"recurrent_{number}",
        )
        if bidirectional and not backward_only:
            layer = keras.layers.Bidirectional(layer, name=f"bidirectional_{number}")
        x = layer(x)
        if every_step:
            x, *_ = x  # `with_states` needs the states.
        if config.dropout:
            x = keras.layers.Dropout(config.dropout, name=f"dropout_{number}")(x)
    if config.head == "last":
        x = x[:, -1]  # (batch, 2 * units)
    if config.tie_embeddings:
        embedding = keras.Model(inputs, x).get_layer("embedding")
        head = TiedHead(embedding, dtype="float32", name="logits")
    else:
        head = _create_head(config, spec)
    model = keras.Model(inputs, head(x), name=config.model)
    if config.weights_init != "keras":
        _draw_weights(model, config.weights_init)
    set_biases(model, config)
    return model


def _draw_weights(model, kind):
    """Draw all weights again, as `--weights_init` says: `"small"` or `"uniform"`."""
    for variable in model.trainable_variables:
        if kind == "uniform":
            variable.assign(keras.random.uniform(variable.shape, -0.1, 0.1))
        elif len(variable.shape) > 1:
            variable.assign(keras.random.normal(variable.shape, stddev=0.01))
        else:
            variable.assign(keras.ops.zeros(variable.shape))


def _create_head(config, spec):
    """The layer from the state that a model answers from to its answers."""
    name = "values" if spec.answers == "number" else "logits"
    if config.model == "fully_recurrent":
        if config.units < spec.size:
            raise UserError(
                f"--units={config.units}: in a fully recurrent network, each of the {spec.size} "
                f"outputs is a unit; expected --units={spec.size} or more"
            )
        return OutputUnits(spec.size, dtype="float32", name=name)
    # Made here, not once for all: Keras gives an initializer its seed when it is made.
    tutorial = config.head_init == "tutorial"
    return keras.layers.Dense(
        spec.size,
        kernel_initializer=keras.initializers.RandomNormal(stddev=1.0)
        if tutorial
        else "glorot_uniform",
        bias_initializer=keras.initializers.Constant(0.1) if tutorial else "zeros",
        dtype="float32",
        name=name,
    )
