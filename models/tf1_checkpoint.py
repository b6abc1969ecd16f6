"""The weights of a TensorFlow 1 tutorial, brought into our models."""

import numpy as np

# What TensorFlow 1 calls the cell of a model.
_CELLS = {
    "basic_rnn": ("basic_rnn_cell",),
    "lstm": ("basic_lstm_cell", "lstm_cell"),
    "custom_lstm": ("basic_lstm_cell", "lstm_cell"),
    "peephole_lstm": ("lstm_cell",),
    "gru": ("gru_cell",),
}
_READ_OUT = ("the read-out's weights, of any name", "the read-out's bias, of any name")


def load_tf1_checkpoint(model, path, forget_bias=1.0):
    """Give a model the weights of a TensorFlow 1 graph that computes the same.

    Such a graph has one or more layers of `BasicRNNCell`, `BasicLSTMCell`, `LSTMCell` (with
    `use_peepholes=True` for a peephole model) or `GRUCell`, in one direction or two, read out by
    one matrix and one bias. The cells are found by TensorFlow 1's own names, in any outer scope:
    `basic_lstm_cell/kernel`, `multi_rnn_cell/cell_0/gru_cell/gates/kernel`,
    `fw/lstm_cell/w_i_diag`, `cell_0/bidirectional_rnn/bw/basic_rnn_cell/bias`, or `weights` and
    `biases` as before TensorFlow 1.2; the read-out by its shapes. What optimizers keep is passed
    over.

    TensorFlow 1 stacks the kernels of x and h on top of each other, packs an LSTM's gates in the
    order i, j (the candidate), f, o and a GRU's in the order r, u (the update gate), and adds the
    forget bias when the graph runs, not to the weights.

    Args:
        model: A model made by `create_model`: basic_rnn, lstm, custom_lstm, peephole_lstm, gru or
            `bidirectional_` one of them. Its weights are replaced, all or none.
        path: The checkpoint's prefix, or a folder whose latest checkpoint is taken.
        forget_bias: The `forget_bias` the graph's LSTM cells were made with.

    Raises:
        ValueError: If the model has no counterpart, or the checkpoint cannot be read or does not
            fit; the message then lists the names and shapes found and expected.
    """
    kind = model.name.removeprefix("bidirectional_")
    if kind not in _CELLS:
        raise ValueError(
            f"--model={model.name} has no counterpart in TensorFlow 1; expected one of "
            f"{', '.join(_CELLS)}, or bidirectional_ before one of them"
        )
    found = _read(path)
    left = dict(found)
    expected, weights = {}, []
    for scope, layer in _recurrent_layers(model):
        features, units = layer.cell.kernel.shape[0], layer.cell.units
        parts = {}
        for name, shape in _shapes(kind, features, units).items():
            endings = [f"/{scope}{cell}/{name}" for cell in _CELLS[kind]]
            expected[" or ".join(ending[1:] for ending in endings)] = shape
            parts[name] = _take(left, shape, endings)
        weights.append((layer, kind, parts, features))
    read_out = model.get_layer("logits")
    for name, weight in zip(_READ_OUT, read_out.weights, strict=True):
        expected[name] = tuple(weight.shape)
    read_out_parts = [_take(left, tuple(weight.shape)) for weight in read_out.weights]

    taken = [part for _, _, parts, _ in weights for part in parts.values()] + read_out_parts
    if left or any(part is None for part in taken):
        raise ValueError(
            f"{path} does not fit --model={model.name}: found "
            f"{_listed({name: value.shape for name, value in found.items()})}; expected "
            f"{_listed(expected)}, and nothing else"
        )
    for layer, *rest in weights:
        layer.set_weights(_keras_weights(*rest, forget_bias))
    read_out.set_weights(read_out_parts)


def _read(path):
    """The variables of a checkpoint by name, without scalars and what optimizers keep."""
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(path)
        shapes = reader.get_variable_to_shape_map()
        return {
            name: reader.get_tensor(name)
            for name, shape in shapes.items()
            # A slot lies below its variable, such as rnn/basic_lstm_cell/kernel/Adam.
            if shape and not any(name.startswith(f"{other}/") for other in shapes)
        }
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path}: no checkpoint can be read there ({error}); expected the part its files' "
            "names share, such as model.ckpt-1000, or a folder with a file named checkpoint"
        ) from error


def _recurrent_layers(model):
    """TensorFlow 1's innermost scope of each cell, and our layer that has it.

    Where only the backward direction is read out ours has no forward layer: there the backward
    layer comes with both scopes, and the last one, its own, stays.
    """
    layers = [layer for layer in model.layers if layer.name.startswith(("recur", "bidir"))]
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
    return f"/{name}".replace("/weights", "/kernel").replace("/biases", "/bias")


def _keras_weights(kind, parts, features, forget_bias):
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


def _listed(shapes):
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing"
