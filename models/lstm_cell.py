"""The long short-term memory cell, with optional peepholes."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mnist_rows")
class LSTMCell(keras.layers.Layer):
    """One step of an LSTM: `keras.layers.LSTMCell`'s twin, with optional peepholes.

    With input x(t), hidden state h and cell state c, `*` element by element:

        i = sigmoid(W_i x(t) + U_i h(t-1) + p_i * c(t-1) + b_i)      input gate
        f = sigmoid(W_f x(t) + U_f h(t-1) + p_f * c(t-1) + b_f)      forget gate
        g =    tanh(W_c x(t) + U_c h(t-1)                + b_c)      candidate
        c(t) = f * c(t-1) + i * g
        o = sigmoid(W_o x(t) + U_o h(t-1) + p_o * c(t)   + b_o)      output gate
        h(t) = o * tanh(c(t))

    The peepholes p let the gates see the cell: the input and forget gates its old state, the
    output gate its new one. They are vectors, one weight per unit, and start at zero, where the
    cell is a plain LSTM. The forget bias b_f starts at 1 (TensorFlow 1's `forget_bias=1.0`).

    Weights, packed as in Keras in the gate order i, f, c, o:
    `kernel (features, 4 * units)`, `recurrent_kernel (units, 4 * units)`, `bias (4 * units,)`, and
    with peepholes `peephole_i`, `peephole_f`, `peephole_o`, each `(units,)`.

    Sources: S. Hochreiter and J. Schmidhuber, Long Short-Term Memory, 1997,
    https://doi.org/10.1162/neco.1997.9.8.1735; F. Gers, J. Schmidhuber and F. Cummins, Learning to
    Forget, 2000, https://doi.org/10.1162/089976600300015015; peepholes: F. Gers, N. Schraudolph and
    J. Schmidhuber, Learning Precise Timing with LSTM Recurrent Networks, 2002,
    https://www.jmlr.org/papers/v3/gers02a.html.

    Args:
        units: Size of the hidden and of the cell state.
        use_peephole: Whether the gates see the cell state.

    Raises:
        ValueError: If `units` is not a positive integer.

    Example:

    >>> import numpy as np
    >>> layer = keras.layers.RNN(LSTMCell(5, use_peephole=True))
    >>> layer(np.zeros((2, 28, 28))).shape
    TensorShape([2, 5])
    """

    def __init__(self, units, use_peephole=False, **kwargs):
        if not isinstance(units, int) or units < 1:
            raise ValueError(f"LSTMCell: received units={units!r}; expected a positive integer.")
        super().__init__(**kwargs)
        self.units = units
        self.use_peephole = use_peephole
        self.state_size = [units, units]  # h, c
        self.output_size = units

    def build(self, input_shape):
        packed = 4 * self.units
        self.kernel = self.add_weight((input_shape[-1], packed), name="kernel")
        self.recurrent_kernel = self.add_weight(
            (self.units, packed), "orthogonal", name="recurrent_kernel"
        )
        self.bias = self.add_weight((packed,), self._initial_bias, name="bias")
        if self.use_peephole:
            self.peephole_i, self.peephole_f, self.peephole_o = (
                self.add_weight((self.units,), "zeros", name=f"peephole_{gate}") for gate in "ifo"
            )

    def call(self, inputs, states, training=False):
        """Advance one timestep.

        Args:
            inputs: `(batch, features)`.
            states: `[h, c]`, each `(batch, units)`.
            training: Unused; part of Keras's cell interface.

        Returns:
            `h (batch, units)` and the new states `[h, c]`.
        """
        h, c = states
        z = ops.matmul(inputs, self.kernel) + ops.matmul(h, self.recurrent_kernel) + self.bias
        z_i, z_f, z_c, z_o = ops.split(z, 4, axis=-1)  # each (batch, units)
        if self.use_peephole:
            z_i += self.peephole_i * c
            z_f += self.peephole_f * c
        c = ops.sigmoid(z_f) * c + ops.sigmoid(z_i) * ops.tanh(z_c)
        if self.use_peephole:
            z_o += self.peephole_o * c
        h = ops.sigmoid(z_o) * ops.tanh(c)
        return h, [h, c]

    def get_initial_state(self, batch_size=None):
        """Zeros: `[h, c]`, each `(batch_size, units)`."""
        return [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in self.state_size]

    def get_config(self):
        return {**super().get_config(), "units": self.units, "use_peephole": self.use_peephole}

    def _initial_bias(self, shape, dtype=None):
        """Zeros, but ones for the forget gate."""
        i, f, c, o = ops.split(ops.zeros(shape, dtype), 4)
        return ops.concatenate([i, f + 1, c, o])
