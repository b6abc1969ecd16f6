"""The weights of a TensorFlow 1 tutorial, brought into our models."""

import math
import re

import numpy as np

# What TensorFlow 1 calls the cell of a model.
_CELLS = {
    "basic_rnn": ("basic_rnn_cell",),
    "lstm": ("basic_lstm_cell", "lstm_cell"),
    "custom_lstm": ("basic_lstm_cell", "lstm_cell"),
    "peephole_lstm": ("lstm_cell",),
    "gru": ("gru_cell",),
}


def load_tf1_checkpoint(model, path, forget_bias=1.0):
    """Give a model the weights of a TensorFlow 1 graph that computes the same.

    Such a graph has one or more layers of `BasicRNNCell`, `BasicLSTMCell`, `LSTMCell` (with
    `use_peepholes=True` for a peephole model) or `GRUCell`, in one direction or two, read out by
    one matrix and one bias. No checkpoint tells two things, and the model must be right about them:
    what a bidirectional graph reads out (its `Config.read_out`), and that it was fed pixels from 0
    to 1 in the model's scan order.

    The cells are found by TensorFlow 1's own names, in any outer scope: `basic_lstm_cell/kernel`,
    `multi_rnn_cell/cell_0/gru_cell/gates/kernel`, `fw/lstm_cell/w_i_diag`,
    `cell_0/bidirectional_rnn/bw/basic_rnn_cell/bias`, or `weights` and `biases` as in TensorFlow
    1.0 and 1.1; the read-out by its shapes. What optimizers keep is passed over.

    TensorFlow 1 stacks the kernels of x and h on top of each other, packs an LSTM's gates in the
    order i, j (the candidate), f, o and a GRU's in the order r, u (the update gate), and adds the
    forget bias when the graph runs, not to the weights.

    Args:
        model: A model made by `create_model`: basic_rnn, lstm, custom_lstm, peephole_lstm, gru or
            `bidirectional_` one of them. Its weights are replaced, all or none.
        path: The checkpoint's prefix, or a folder whose latest checkpoint is taken.
        forget_bias: The `forget_bias` the graph's LSTM cells were made with.

    Raises:
        ValueError: If the model has no counterpart, the checkpoint cannot be read, holds values
            that are not finite, or does not fit; the message then lists the names and shapes found
            and expected.
    """
    kind = model.name.removeprefix("bidirectional_")
    if kind not in _CELLS:
        raise ValueError(
            f"{model.name} has no counterpart in TensorFlow 1; expected one of "
            f"{', '.join(_CELLS)}, or bidirectional_ before one of them"
        )
    if not math.isfinite(forget_bias):
        raise ValueError(f"received forget_bias={forget_bias}; expected a finite number")
    found = _read(path)
    left = dict(found)
    expected, missing, cells = {}, [], []

    def take(description, shape, endings=("",)):
        expected[description] = shape
        value = _take(left, shape, endings)
        if value is None:
            missing.append(description)
        return value

    for scope, layer in _recurrent_layers(model):
        features, units = layer.cell.kernel.shape[0], layer.cell.units
        parts = {}
        for name, shape in _shapes(kind, features, units).items():
            endings = [f"/{scope}{cell}/{name}" for cell in _CELLS[kind]]
            parts[name] = take(" or ".join(end[1:] for end in endings), shape, endings)
        cells.append((layer, parts, features))
    read_out = model.get_layer("logits")
    read_out_weights = [
        take(f"the read-out's {what}, of any name", tuple(weight.shape))
        for what, weight in zip(("weights", "bias"), read_out.weights, strict=True)
    ]
    if missing or left:
        raise ValueError(
            f"{path} does not fit {model.name}: found {_listed(found)}; expected "
            f"{_listed(expected)}; missing or not the only one of its name and shape: "
            f"{', '.join(missing) or 'nothing'}; of no use: {_listed(left)}"
        )
    packed = [(layer, _pack(kind, *rest, forget_bias)) for layer, *rest in cells]
    for layer, weights in [*packed, (read_out, read_out_weights)]:
        layer.set_weights(weights)


def _read(path):
    """The float variables of a checkpoint by name, without scalars and what optimizers keep."""
    import tensorflow as tf

    path = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", str(path))
    try:
        reader = tf.train.load_checkpoint(path)
        shapes = reader.get_variable_to_shape_map()
        dtypes = reader.get_variable_to_dtype_map()
        found = {
            name: reader.get_tensor(name)
            for name in sorted(shapes)
            if shapes[name] and dtypes[name].is_floating and not _is_slot(name, shapes)
        }
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path}: no checkpoint can be read there ({error}); expected the part its files' "
            "names share, such as model.ckpt-1000, or a folder with a file named checkpoint"
        ) from error
    for name, value in found.items():
        if not np.all(np.isfinite(value)):
            raise ValueError(f"{path}: {name} has values that are not finite; expected numbers")
    return found


def _is_slot(name, shapes):
    """Whether an optimizer keeps this for another variable: rnn/basic_lstm_cell/kernel/Adam_1."""
    variable, _, _ = name.rpartition("/")
    return any(
        shapes[other] == shapes[name] and f"/{variable}".endswith(f"/{other}") for other in shapes
    )


def _recurrent_layers(model):
    """TensorFlow 1's innermost scope of each cell, and our layer that has it.

    Where only the backward direction is read out ours has no forward layer: there the backward
    layer comes with both scopes, and the last one, its own, stays.
    """
    layers = [
        layer for layer in model.layers if layer.name.startswith(("recurrent_", "bidirectional_"))
    ]
    for number, layer in enumerate(layers):
        stack = f"cell_{number}/" if len(layers) > 1 else ""
        if model.name.startswith("bidirectional_"):
            stack += "bidirectional_rnn/" if stack else ""
            yield f"{stack}fw/", getattr(layer, "forward_layer", layer)
            yield f"{stack}bw/", getattr(layer, "backward_layer", layer)
        else:
            yield f"multi_rnn_cell/{stack}" if stack else "", layer


def _shapes(kind, features, units):
    """The names and shapes of a cell's weights in TensorFlow 1."""
    rows = features + units
    if kind == "gru":
        return {
            "gates/kernel": (rows, 2 * units),
            "gates/bias": (2 * units,),
            "candidate/kernel": (rows, units),
            "candidate/bias": (units,),
        }
    packed = units if kind == "basic_rnn" else 4 * units
    peepholes = "ifo" if kind == "peephole_lstm" else ""
    return {"kernel": (rows, packed), "bias": (packed,)} | {
        f"w_{gate}_diag": (units,) for gate in peepholes
    }


def _take(left, shape, endings=("",)):
    """Take the one variable with a shape and one of the endings out of `left`, or give `None`."""
    names = [
        name
        for name, value in left.items()
        if value.shape == shape and _since_1_2(name).endswith(tuple(endings))
    ]
    return left.pop(names[0]) if len(names) == 1 else None


def _since_1_2(name):
    """A variable's name as TensorFlow gives it since version 1.2, behind a slash."""
    return re.sub("/biases$", "/bias", re.sub("/weights$", "/kernel", f"/{name}"))


def _pack(kind, parts, features, forget_bias):
    """A cell's weights as Keras has them: kernel, recurrent kernel, bias, peepholes."""
    if kind == "basic_rnn":
        kernel, bias = parts["kernel"], parts["bias"]
    elif kind == "gru":
        kernel, bias = (_pack_gru(parts, name) for name in ("kernel", "bias"))
    else:
        kernel, bias = (_pack_lstm(parts[name]) for name in ("kernel", "bias"))
        units = len(bias) // 4
        bias[units : 2 * units] += forget_bias
    peepholes = [part for name, part in parts.items() if name.endswith("_diag")]
    return [kernel[:features], kernel[features:], bias, *peepholes]


def _pack_gru(parts, name):
    reset, update = np.split(parts[f"gates/{name}"], 2, axis=-1)
    return np.concatenate([update, reset, parts[f"candidate/{name}"]], axis=-1)


def _pack_lstm(packed):
    i, j, f, o = np.split(packed, 4, axis=-1)
    return np.concatenate([i, f, j, o], axis=-1)


def _listed(variables):
    """Names and shapes, of arrays or of shapes by name."""
    shapes = {name: getattr(value, "shape", value) for name, value in variables.items()}
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing"
