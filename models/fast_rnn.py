"""Recurrent layers that take the fast way along a sequence where there is one."""

import functools

import keras
from keras import ops

from models.cell import Cell
from models.lstm_cell import LSTMCell


@keras.saving.register_keras_serializable(package="mnist_rows")
class FastRNN(keras.layers.RNN):
    """`keras.layers.RNN`: the same arguments, weights and results, in less time.

    It takes the way of `models.sweep` in TensorFlow's graphs (`fit`, `predict`, `tf.function`, not
    eagerly) on CPUs, with a cell of this project's, along sequences of a known length without a
    mask; otherwise that of `keras.layers.RNN`. Its gradient can itself not be differentiated.

    Attributes:
        fast: Whether to take that way at all.
        for_serving: Whether to be traced for a server: with the weights as constants and without
            XLA, which would compile for every size of batch anew.

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
        equations = self.equations  # Made here, since it cannot be while a graph is traced.
        if keras.backend.backend() == "tensorflow":
            from models.sweep import Sweep

            # One for all calls: it keeps what was compiled.
            self._sweep = equations and Sweep(equations.step, equations.widths())

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Sweep `sequences (batch, steps, features)`.

        Returns:
            The last output `(batch, units)`, all outputs `(batch, steps, units)`, which are cut
            short to the last unless `return_sequences`, and the last states.
        """
        if not self._is_fast(sequences, mask, training):
            return super().inner_loop(sequences, initial_state, mask, training)
        if self.go_backwards:
            sequences = ops.flip(sequences, axis=1)
        inputs, mask = self._drop(sequences, initial_state, training)
        sweep = self._sweep.for_serving if self.for_serving else self._sweep
        states, outputs = sweep(
            inputs,
            initial_state,
            self.equation_weights,
            mask,
            return_sequences=self.return_sequences,
        )
        return states[0], states[0][:, None] if outputs is None else outputs, states

    def _is_fast(self, sequences, mask, training):
        return (
            self.fast
            and keras.backend.backend() == "tensorflow"
            and self._sweep is not None
            and (self.for_serving or _in_a_graph_without_gpu())
            and mask is None
            and not self.unroll
            and sequences.shape[1] is not None
            and self.cell.compute_dtype == self.compute_dtype
        )

    # Not one of Keras's attributes, which would count the weights of an LSTM's as this layer's.
    @functools.cached_property
    def equations(self):
        """A cell of ours with the equations of this layer's cell, or `None` if there is none."""
        return self.cell if isinstance(self.cell, Cell) else None

    def equation_weights(self):
        """What these equations take, their cell's `parts()` and `extras()`."""
        return self.cell.parts(), self.cell.extras()

    def _drop(self, sequences, states, training):
        """The inputs that the weights see, and what the hidden state is multiplied by."""
        inputs = self.cell.drop_inputs(sequences, training)
        return inputs, self.cell.hidden_mask(states[0], training)


@keras.saving.register_keras_serializable(package="mnist_rows")
class FastLSTM(FastRNN, keras.layers.LSTM):
    """`keras.layers.LSTM`, the same way as `FastRNN` unless its activations or dropout forbid."""

    def _is_fast(self, sequences, mask, training):
        drops = training and (self.dropout or self.recurrent_dropout)
        return not drops and super()._is_fast(sequences, mask, training)

    @functools.cached_property
    def equations(self):
        activations = (self.activation, self.recurrent_activation)
        if activations != (keras.activations.tanh, keras.activations.sigmoid) or not self.use_bias:
            return None
        return LSTMCell(self.units, seed=0)

    def equation_weights(self):
        return [(self.cell.kernel, self.cell.recurrent_kernel, self.cell.bias)], {}

    def _drop(self, sequences, states, training):
        return sequences, None


def _in_a_graph_without_gpu():
    import tensorflow as tf

    # Eagerly, compiling would cost more than it saves; on GPUs Keras's LSTM has NVIDIA's kernels.
    return not tf.executing_eagerly() and not tf.config.list_physical_devices("GPU")
