"""TensorFlow 1's cells by their published equations, in float64, and a writer of checkpoints.

A cell here takes sequences `(batch, steps, features)` and its weights by name, as TensorFlow 1
stores them, and returns its hidden states `(batch, steps, units)`.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def basic_rnn(xs, kernel, bias):
    h, hs = np.zeros((len(xs), len(bias))), []
    for x in np.moveaxis(xs, 1, 0):
        h = np.tanh(np.concatenate([x, h], axis=1) @ kernel + bias)
        hs.append(h)
    return np.stack(hs, axis=1)


def relu_rnn(xs, kernel, bias):
    h, hs = np.zeros((len(xs), len(bias))), []
    for x in np.moveaxis(xs, 1, 0):
        h = np.maximum(np.concatenate([x, h], axis=1) @ kernel + bias, 0)
        hs.append(h)
    return np.stack(hs, axis=1)


def basic_lstm(xs, kernel, bias, forget_bias=1.0, w_i=0, w_f=0, w_o=0):
    """`BasicLSTMCell`, `LSTMCell` and their fused forms. Gate order: i, j, f, o."""
    h = c = np.zeros((len(xs), len(bias) // 4))
    hs = []
    for x in np.moveaxis(xs, 1, 0):
        i, j, f, o = np.split(np.concatenate([x, h], axis=1) @ kernel + bias, 4, axis=1)
        c = sigmoid(f + forget_bias + w_f * c) * c + sigmoid(i + w_i * c) * np.tanh(j)
        h = sigmoid(o + w_o * c) * np.tanh(c)
        hs.append(h)
    return np.stack(hs, axis=1)


def cudnn_compatible_lstm(xs, kernel, bias):
    return basic_lstm(xs, kernel, bias, forget_bias=0)


def gru(xs, gates_kernel, gates_bias, candidate_kernel, candidate_bias):
    """`GRUCell` and `GRUBlockCell`. Gate order: r, u; the candidate has its own weights."""
    h, hs = np.zeros((len(xs), len(candidate_bias))), []
    for x in np.moveaxis(xs, 1, 0):
        gates = sigmoid(np.concatenate([x, h], axis=1) @ gates_kernel + gates_bias)
        r, u = np.split(gates, 2, axis=1)
        c = np.tanh(np.concatenate([x, r * h], axis=1) @ candidate_kernel + candidate_bias)
        h = u * h + (1 - u) * c
        hs.append(h)
    return np.stack(hs, axis=1)


def keras_rnn(xs, kernel, recurrent_kernel, bias):
    return basic_rnn(xs, np.concatenate([kernel, recurrent_kernel]), bias)


def keras_lstm(xs, kernel, recurrent_kernel, bias):
    """Keras's `LSTM` with sigmoid gates. Gate order: i, f, c, o. b includes the forget bias."""
    h = c = np.zeros((len(xs), len(recurrent_kernel)))
    hs = []
    for x in np.moveaxis(xs, 1, 0):
        i, f, g, o = np.split(x @ kernel + h @ recurrent_kernel + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        hs.append(h)
    return np.stack(hs, axis=1)


def keras_cudnn_lstm(xs, kernel, recurrent_kernel, bias):
    """Keras's `CuDNNLSTM`. The first half of the bias belongs to the inputs, the second to h."""
    inputs_bias, hidden_bias = np.split(bias, 2)
    return keras_lstm(xs, kernel, recurrent_kernel, inputs_bias + hidden_bias)


def keras_gru(xs, kernel, recurrent_kernel, bias):
    """Keras's `GRU(reset_after=False)` with sigmoid gates. Gate order: z, r, h."""
    units = len(recurrent_kernel)
    h, hs = np.zeros((len(xs), units)), []
    for x in np.moveaxis(xs, 1, 0):
        a = x @ kernel + bias
        z = sigmoid(a[:, :units] + h @ recurrent_kernel[:, :units])
        r = sigmoid(a[:, units : 2 * units] + h @ recurrent_kernel[:, units : 2 * units])
        g = np.tanh(a[:, 2 * units :] + (r * h) @ recurrent_kernel[:, 2 * units :])
        h = z * h + (1 - z) * g
        hs.append(h)
    return np.stack(hs, axis=1)


F, U = "features", "units"
# The shapes of each cell's weights: the rows by name, and the columns in units.
SHAPES = {
    basic_rnn: {"kernel": ((F, U), 1), "bias": (1,)},
    relu_rnn: {"kernel": ((F, U), 1), "bias": (1,)},
    basic_lstm: {"kernel": ((F, U), 4), "bias": (4,), "w_i": (1,), "w_f": (1,), "w_o": (1,)},
    cudnn_compatible_lstm: {"kernel": ((F, U), 4), "bias": (4,)},
    gru: {
        "gates_kernel": ((F, U), 2),
        "gates_bias": (2,),
        "candidate_kernel": ((F, U), 1),
        "candidate_bias": (1,),
    },
    keras_rnn: {"kernel": ((F,), 1), "recurrent_kernel": ((U,), 1), "bias": (1,)},
    keras_lstm: {"kernel": ((F,), 4), "recurrent_kernel": ((U,), 4), "bias": (4,)},
    keras_cudnn_lstm: {"kernel": ((F,), 4), "recurrent_kernel": ((U,), 4), "bias": (8,)},
    keras_gru: {"kernel": ((F,), 3), "recurrent_kernel": ((U,), 3), "bias": (3,)},
}


def random_weights(random, cell, features, units, names):
    """Random weights of a cell by name."""
    sizes = {F: features, U: units}
    weights = {}
    for name in names:
        *rows, columns = SHAPES[cell][name]
        rows = [sum(sizes[size] for size in row) for row in rows]
        weights[name] = random.normal(scale=0.5, size=(*rows, columns * units)).astype("float32")
    return weights


def save(path, variables):
    """Write a checkpoint of arrays by name, as a Saver does; returns its path."""
    import tensorflow as tf

    names, values = zip(*variables.items(), strict=True)
    path.parent.mkdir(exist_ok=True)
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=list(names),
        shape_and_slices=[""] * len(names),
        tensors=[tf.convert_to_tensor(value) for value in values],
    )
    return path
