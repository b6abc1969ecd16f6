"""Recurrent layers that use a fast path where one exists, and Keras's loop elsewhere."""

import functools
import sys

import keras
from keras import ops

from models.cell import Cell
from models.lstm_cell import LSTMCell

# The fast path calls a cell's `step` only. A cell that overrides one of these methods does more
# than its equations, so Keras's loop runs it.
_OF_OUR_CELLS = {
    name: getattr(Cell, name)
    for name in (
        *("__call__", "call", "preactivations_of", "drop_inputs", "hidden_mask"),
        *("get_dropout_mask", "get_recurrent_dropout_mask"),
    )
}
_OF_KERASS_CELL = {name: getattr(keras.layers.LSTMCell, name) for name in ("__call__", "call")}
# These packages write the graphs that they trace into files. The programs that read the files may
# lack XLA.
_EXPORTERS = ("keras.src.export", "tensorflow.python.saved_model", "tf2onnx")
_LITERT_EXPORTERS = ("keras.src.export.litert", "tensorflow.lite")


@keras.saving.register_keras_serializable(package="mnist_rows", name="FastRNN")
class FastRNN(keras.layers.RNN):
    """`keras.layers.RNN`: the same arguments, weights, files and results, in less time.

    The fast path is `models.unroll`. It runs in TensorFlow's graphs (`fit`, `predict`,
    `tf.function`) on CPUs. The loop of `keras.layers.RNN` runs in all other cases, with the same
    results:

    - eager calls, other backends, machines with a GPU;
    - a mask, `unroll=True`, sequences of unknown length;
    - a stack of cells, and a cell that is not a `Cell` of this project;
    - a subclass of a cell of this project that changes more than its equations (`step`,
      `gate_weights`, `gate_sizes`, `other_weights`), or whose `step` uses weights or random numbers
      of its own;
    - a cell of another precision than the layer, or with an `activity_regularizer`;
    - branches of `tf.cond`, and forward-mode derivatives, for which the steps are unrolled;
    - graphs that are written to a SavedModel or to ONNX. For LiteRT see `for_serving`.

    Not supported: a vectorized `tape.jacobian` in a function fails, as it does with Keras's LSTM;
    it works with `experimental_use_pfor=False`. A forward-mode derivative with respect to a weight
    is `None` if a function calls the layer through another function, as with Keras's layers.

    A function that was traced before its export contains the fast path. The converters to ONNX and
    LiteRT cannot read it: set `fast = False` before you trace such a function.

    Attributes:
        fast: Whether to use the fast path.
        for_serving: Whether to trace a graph for a server, with the weights as constants and
            without XLA, which would compile again for each batch size.

    Example:

    >>> import numpy as np
    >>> layer = FastRNN(LSTMCell(5), return_sequences=True)
    >>> layer(np.zeros((2, 28, 28))).shape
    TensorShape([2, 28, 5])
    """

    fast = True
    for_serving = False

    def build(self, sequences_shape, initial_state_shape=None):
        super().build(sequences_shape, initial_state_shape)
        equations = self.equations  # It cannot be made while a graph is traced.
        if keras.backend.backend() == "tensorflow":
            from models.unroll import Unroll, obeys_the_rules

            # All calls share it, since it caches the compiled functions.
            can_unroll = equations is not None and (
                equations is not self.cell or obeys_the_rules(equations)
            )
            self._fast_unroll = (
                Unroll(equations.step, equations.gate_sizes()) if can_unroll else None
            )

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Unroll the cell over `sequences (batch, steps, features)`.

        Returns:
            The last output `(batch, units)`; all outputs `(batch, steps, units)`, or only the last
            of them, `(batch, 1, units)`, without `return_sequences`; and the final states.
        """
        fast_path = self._fast_path(sequences, initial_state, mask, training)
        if fast_path is None:
            return super().inner_loop(sequences, initial_state, mask, training)
        # The check reads the weights. It is skipped for serving, where they become constants.
        if fast_path is self._fast_unroll and self._is_differentiated_forward(
            sequences, initial_state
        ):
            # TensorFlow's while loop has no forward-mode derivative; unrolled steps do.
            self.unroll = True
            try:
                return super().inner_loop(sequences, initial_state, mask, training)
            finally:
                self.unroll = False
        if self.go_backwards:
            sequences = ops.flip(sequences, axis=1)
        inputs, mask = self._drop(sequences, initial_state, training)
        states, outputs = fast_path(
            ops.cast(inputs, self.compute_dtype),
            initial_state,
            self.equation_weights,
            mask,
            return_sequences=self.return_sequences,
        )
        return states[0], states[0][:, None] if outputs is None else outputs, states

    def _fast_path(self, sequences, states, mask, training):
        """The function that unrolls the cell over these sequences, or `None` for Keras's loop."""
        if keras.backend.backend() != "tensorflow" or not self._is_fast(sequences, mask, training):
            return None
        if not _have_known_shapes(sequences, states):
            return None
        if self.for_serving:
            return self._fast_unroll.for_serving
        from models.unroll import is_in_a_branch

        if not _in_a_graph() or is_in_a_branch():
            return None
        # LiteRT runs its files on CPUs, even if a machine with a GPU writes them.
        if _is_traced_by(_LITERT_EXPORTERS):
            return self._fast_unroll.for_serving
        return None if _has_gpu() or _is_traced_by(_EXPORTERS) else self._fast_unroll

    def _is_differentiated_forward(self, sequences, states):
        from models.unroll import has_tangents

        weights = [weight.value for weight in self.cell.weights]
        return has_tangents([sequences, *states, *weights])

    def _is_fast(self, sequences, mask, training):
        dtype = keras.backend.standardize_dtype(sequences.dtype)
        return (
            self.fast
            and self._fast_unroll is not None
            and self._is_original()
            and mask is None
            and not self.unroll
            and self.cell.compute_dtype == self.compute_dtype
            and (dtype == self.compute_dtype or dtype.startswith(("int", "uint", "bool")))
        )

    def _is_original(self):
        """Whether the cell does nothing beyond its equations."""
        return (
            self.cell is self.equations
            and _has(self.cell, _OF_OUR_CELLS)
            and not {"step", "gate_weights", "gate_sizes", "other_weights"} & vars(self.cell).keys()
            and self.cell.activity_regularizer is None
        )

    # A plain attribute would not do: Keras would track the helper cell's weights as this layer's.
    @functools.cached_property
    def equations(self):
        """A `Cell` with the equations of this layer's cell, or `None` if there is none."""
        return self.cell if isinstance(self.cell, Cell) else None

    def equation_weights(self):
        """The weights in these equations: the cell's `gate_weights()` and `other_weights()`."""
        return self.cell.gate_weights(), self.cell.other_weights()

    def _drop(self, sequences, states, training):
        """The inputs after dropout, and the dropout mask of the hidden state or `None`."""
        inputs = self.cell.drop_inputs(sequences, training)
        return inputs, self.cell.hidden_mask(states[0], training)

    def load_own_variables(self, store):
        """Load the cell's weights, from files of earlier versions as well.

        Keras derives the path of a layer in a file from the name of its class. In files of earlier
        versions the paths have `fast_rnn` and `fast_lstm` where Keras's layers have `rnn` and
        `lstm`.
        """
        super().load_own_variables(store)
        find = store.get
        path = getattr(store, "_h5_entry_path", None) or ""
        folder, _, name = path.rpartition("/")
        kind = name.rstrip("0123456789").rstrip("_")
        if kind in ("rnn", "lstm") and store.has_path(f"{folder}/fast_{kind}"):
            old = f"{folder}/fast_{name}"
            store.get = lambda asked: find(
                old + asked.removeprefix(path) if asked.startswith(f"{path}/") else asked
            )


@keras.saving.register_keras_serializable(package="mnist_rows", name="FastLSTM")
class FastLSTM(FastRNN, keras.layers.LSTM):
    """`keras.layers.LSTM` with the fast path of `FastRNN`.

    Keras's loop also runs with dropout in training, other activations than tanh and sigmoid,
    `use_bias=False`, `use_cudnn=True`, and if the layer's cell was replaced by another.
    """

    def _is_fast(self, sequences, mask, training):
        drops = training and (self.dropout or self.recurrent_dropout)
        return not drops and super()._is_fast(sequences, mask, training)

    def _is_original(self):
        return (
            type(self.cell) is keras.layers.LSTMCell
            and _has(self.cell, _OF_KERASS_CELL)
            and self._has_our_equations()
            and self.use_cudnn is not True
        )

    def _has_our_equations(self):
        activations = (self.activation, self.recurrent_activation)
        return self.use_bias and activations == (keras.activations.tanh, keras.activations.sigmoid)

    @functools.cached_property
    def equations(self):
        return LSTMCell(self.units, seed=0) if self._has_our_equations() else None

    def equation_weights(self):
        return [(self.cell.kernel, self.cell.recurrent_kernel, self.cell.bias)], {}

    def _drop(self, sequences, states, training):
        return sequences, None


# Keras derives paths in files from class names. With these names the files are those of Keras.
FastRNN.__name__, FastLSTM.__name__ = "RNN", "LSTM"


def _has(cell, methods):
    """Whether a cell has exactly these methods, a dict by name."""
    return all(
        getattr(type(cell), name) is method and name not in vars(cell)
        for name, method in methods.items()
    )


def _have_known_shapes(sequences, states):
    """Whether all sizes except the batch are known, and no two batch sizes differ."""
    sequences, *states = (tuple(tensor.shape) for tensor in (sequences, *states))
    return (
        len(sequences) == 3
        and None not in sequences[1:]
        and sequences[1] > 0
        and all(len(state) == 2 and state[1] is not None for state in states)
        and len({state[0] for state in (sequences, *states)} - {None}) < 2
    )


def _is_traced_by(packages):
    """Whether code of one of these packages traces the current graph."""
    frame = sys._getframe()
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if any(name == package or name.startswith(f"{package}.") for package in packages):
            return True
        frame = frame.f_back
    return False


def _in_a_graph():
    import tensorflow as tf

    return not tf.executing_eagerly()  # Compiling for eager calls would cost more than it saves.


def _has_gpu():
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))  # Keras's LSTM uses cuDNN there.
