"""Writes the checkpoints of TensorFlow 1 graphs, as in the tutorials, and the graphs' logits.

    TF_USE_LEGACY_KERAS=1 python tests/models/tf1_graph.py FOLDER

It runs in its own process: TensorFlow 2 has the old cells only if tf-keras replaces Keras.
"""

import pathlib
import sys
import warnings

import numpy as np
import tensorflow as tf

warnings.simplefilter("ignore")
v1 = tf.compat.v1
rnn_cell = v1.nn.rnn_cell
FEATURES, UNITS, CLASSES = 28, 6, 10
GRAPHS = (
    *("basic_rnn", "basic_lstm", "basic_lstm_forget_bias_0", "lstm", "peephole_lstm", "gru"),
    "last_output_bidirectional_basic_lstm",
    *("bidirectional_basic_rnn", "bidirectional_basic_lstm", "bidirectional_gru"),
    *("stacked_basic_lstm", "stacked_bidirectional_peephole_lstm"),
    *("input_layer_basic_lstm", "averages_basic_rnn"),
)
CELLS = {
    "basic_rnn": lambda: rnn_cell.BasicRNNCell(UNITS),
    "basic_lstm": lambda: rnn_cell.BasicLSTMCell(UNITS, forget_bias=1.0),
    "basic_lstm_forget_bias_0": lambda: rnn_cell.BasicLSTMCell(UNITS, forget_bias=0.0),
    "lstm": lambda: rnn_cell.LSTMCell(UNITS),
    "peephole_lstm": lambda: rnn_cell.LSTMCell(UNITS, use_peepholes=True),
    "gru": lambda: rnn_cell.GRUCell(UNITS),
}


def head(name, rows):
    """The input of the head, `(batch, units)` or, for two directions, `(batch, 2 * units)`."""
    name = name.removeprefix("averages_")
    if name.startswith("input_layer_"):
        # A much-copied tutorial has a linear layer before the cell, as wide as the cell.
        weights = tf.Variable(tf.zeros((FEATURES, UNITS)))
        biases = tf.Variable(tf.zeros((UNITS,)))
        flat = tf.matmul(tf.reshape(rows, (-1, FEATURES)), weights) + biases
        return head(name.removeprefix("input_layer_"), tf.reshape(flat, (-1, 28, UNITS)))
    if name.startswith("stacked_bidirectional_"):
        cell = CELLS[name.removeprefix("stacked_bidirectional_")]
        for number in range(2):
            with v1.variable_scope(f"stack_bidirectional_rnn/cell_{number}"):
                outputs, states = v1.nn.bidirectional_dynamic_rnn(
                    cell(), cell(), rows, dtype=tf.float32
                )
            rows = tf.concat(outputs, axis=-1)
        return tf.concat([hidden(state) for state in states], axis=-1)
    if name.startswith("last_output_bidirectional_"):
        cell = CELLS[name.removeprefix("last_output_bidirectional_")]
        # A well-known tutorial uses the outputs at the last row, where the backward direction has
        # read only that row.
        outputs, _, _ = v1.nn.static_bidirectional_rnn(
            cell(), cell(), tf.unstack(rows, 28, 1), dtype=tf.float32
        )
        return outputs[-1]
    if name.startswith("bidirectional_"):
        cell = CELLS[name.removeprefix("bidirectional_")]
        _, states = v1.nn.bidirectional_dynamic_rnn(cell(), cell(), rows, dtype=tf.float32)
        return tf.concat([hidden(state) for state in states], axis=-1)
    if name.startswith("stacked_"):
        cell = CELLS[name.removeprefix("stacked_")]
        cells = rnn_cell.MultiRNNCell([cell(), cell()])
        _, states = v1.nn.dynamic_rnn(cells, rows, dtype=tf.float32)
        return hidden(states[-1])
    _, state = v1.nn.dynamic_rnn(CELLS[name](), rows, dtype=tf.float32)
    return hidden(state)


def hidden(state):
    return state.h if hasattr(state, "h") else state


def write(name, folder):
    """Write `model.ckpt` with random weights, and the logits of random images."""
    folder.mkdir()
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    with tf.Graph().as_default(), v1.Session() as session:
        rows = v1.placeholder(tf.float32, (None, 28, FEATURES))
        state = head(name, rows)
        weights = tf.Variable(
            tf.zeros((state.shape[-1], CLASSES))
        )  # Without a name, as in tutorials.
        biases = tf.Variable(tf.zeros((CLASSES,)))
        logits = tf.matmul(state, weights) + biases
        step = v1.train.get_or_create_global_step()
        v1.train.AdamOptimizer().minimize(tf.reduce_sum(logits**2), global_step=step)
        session.run(v1.global_variables_initializer())
        for variable in v1.trainable_variables():
            variable.load(random.normal(scale=0.5, size=variable.shape), session)
        answers = {"logits": session.run(logits, {rows: images / 255})}
        if name.startswith("averages_"):
            averages = v1.train.ExponentialMovingAverage(0.9)
            averages.apply(v1.trainable_variables())
            for variable in v1.trainable_variables():
                average = averages.average(variable)
                average.load(random.normal(scale=0.5, size=average.shape), session)
        v1.train.Saver().save(session, str(folder / "model.ckpt"), global_step=781)
        if name.startswith("averages_"):
            v1.train.Saver(averages.variables_to_restore()).restore(
                session, str(folder / "model.ckpt-781")
            )
            answers["average_logits"] = session.run(logits, {rows: images / 255})
        np.savez(folder / "answers.npz", images=images, **answers)


if __name__ == "__main__":
    for graph in GRAPHS:
        write(graph, pathlib.Path(sys.argv[1]) / graph)
