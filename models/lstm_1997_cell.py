"""The LSTM of 1997, which has no forget gate, with cells in blocks."""

import keras
from keras import ops

from models.cell import Cell, identity, orthogonal, tanh


@keras.saving.register_keras_serializable(package="mnist_rows")
class LSTM1997Cell(Cell):
    """One step of the LSTM of 1997: no forget gate, cells in blocks.

    With input x(t), hidden state h and cell state c, and `*` the elementwise product:

        i = sigmoid(W_i x(t) + U_i h(t-1) + b_i)      input gate of each block
        g =    tanh(W_c x(t) + U_c h(t-1) + b_c)      candidate of each cell
        c(t) = c(t-1) + i * g                         the constant error carousel
        o = sigmoid(W_o x(t) + U_o h(t-1) + b_o)      output gate of each block
        h(t) = o * tanh(c(t))

    The `block_size` cells of a block are neighbours and share one input gate and one output gate.
    With blocks of 1 this is `LSTMCell(units, variant="nfg")`.

    With `truncated_gradient` the gradient is that of the paper: it does not flow through h(t-1) in
    the first, second and fourth line, so that it flows back in time through the cell states only.
    There nothing changes it: dE/dc(t-1) = dE/dc(t) + dE/dh(t-1) * o(t-1) * (1 - tanh(c(t-1))^2),
    and if E depends on the last hidden state only, dE/dc is the same at all steps.

    The cells of this folder differ in one thing at a time, so two things in the paper are left out:
    its activation functions were scaled, 2 tanh(x / 2) for the candidate and tanh(x / 2) for the
    cell state; and its gates could read each other.

    Weights, packed in the order i, c, o, with `blocks = units / block_size`:
    `kernel (features, 2 * blocks + units)`, `recurrent_kernel (units, 2 * blocks + units)`,
    `bias (2 * blocks + units,)`.

    Source: S. Hochreiter and J. Schmidhuber, Long Short-Term Memory, 1997,
    https://doi.org/10.1162/neco.1997.9.8.1735.

    Args:
        units: Number of memory cells: the size of the hidden state and of the cell state.
        block_size: Number of cells that share their gates.
        truncated_gradient: Whether the gradient flows back in time through the cell states only.
        dropout, recurrent_dropout, seed: As in `Cell`.

    Raises:
        ValueError: If `block_size` is not a positive integer that divides `units`, or
            `truncated_gradient` is not a bool.

    Example:

    >>> import numpy as np
    >>> layer = keras.layers.RNN(LSTM1997Cell(6, block_size=2))
    >>> layer(np.zeros((2, 28, 28))).shape
    TensorShape([2, 6])
    """

    gates = "ico"

    def __init__(self, units, block_size=1, truncated_gradient=False, **kwargs):
        super().__init__(units, **kwargs)
        if type(block_size) is not int or block_size < 1 or self.units % block_size:
            raise ValueError(
                f"{self._received('block_size', block_size)} a positive integer that divides "
                f"units={units}."
            )
        if not isinstance(truncated_gradient, bool):
            received = self._received("truncated_gradient", truncated_gradient)
            raise ValueError(f"{received} True or False.")
        self.block_size = block_size
        self.truncated_gradient = truncated_gradient
        self.state_size = [self.units, self.units]  # h, c

    def build(self, input_shape):
        packed = 2 * (self.units // self.block_size) + self.units
        self.kernel = self.add_weight((input_shape[-1], packed), name="kernel")
        self.recurrent_kernel = self.add_weight(
            (self.units, packed), orthogonal, name="recurrent_kernel"
        )
        self.bias = self.add_weight((packed,), "zeros", name="bias")

    def gate_sizes(self):
        blocks = self.units // self.block_size
        return [[blocks, self.units, blocks]]

    def step(self, preactivations, states, intercept=identity):
        """From `[h, c]` to the next `[h, c]`, each `(batch, units)`; see `Cell.step`."""
        h, c = states
        if self.truncated_gradient:
            h = ops.stop_gradient(h)
        a_i, a_c, a_o = preactivations(h)  # a_i = W_i x(t) + U_i h + b_i
        i = intercept("input_gate", self._share_in_block(ops.sigmoid(a_i)))
        g = intercept("candidate", tanh(a_c))
        c = c + i * g
        o = intercept("output_gate", self._share_in_block(ops.sigmoid(a_o)))
        h = o * tanh(c)
        return [h, c]

    def get_config(self):
        return {
            **super().get_config(),
            "block_size": self.block_size,
            "truncated_gradient": self.truncated_gradient,
        }

    def _share_in_block(self, gates):
        """Give each cell the gate of its block: `(batch, blocks)` to `(batch, units)`."""
        # XLA cannot compile the gradient of ops.repeat.
        cells = ops.expand_dims(gates, -1) * ops.ones((self.block_size,), gates.dtype)
        return ops.reshape(cells, (-1, self.units))
