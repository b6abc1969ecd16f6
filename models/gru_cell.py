"""The gated recurrent unit, and its three versions with simpler gates."""

import keras
from keras import ops

from models.cell import Cell, identity, orthogonal, tanh

# What the gates of each variant see: the input x, the hidden state h, a bias b.
_GATES_SEE = {None: "xhb", "gru1": "hb", "gru2": "h", "gru3": "b"}


@keras.saving.register_keras_serializable(package="mnist_rows")
class GRUCell(Cell):
    """One step of a GRU: TensorFlow 1's `GRUCell`, `keras.layers.GRUCell(reset_after=False)`.

    With input x(t) and hidden state h, `*` element by element:

        z = sigmoid(W_z x(t) + U_z h(t-1)     + b_z)      update gate
        r = sigmoid(W_r x(t) + U_r h(t-1)     + b_r)      reset gate
        g =    tanh(W_h x(t) + U_h (r * h(t-1)) + b_h)    candidate
        h(t) = z * h(t-1) + (1 - z) * g

    Variants, in which the gates see less:

        gru1    z, r = sigmoid(U h(t-1) + b)
        gru2    z, r = sigmoid(U h(t-1))
        gru3    z, r = sigmoid(b)

    Weights, packed as in Keras in the order z, r, h: `kernel (features, 3 * units)`,
    `recurrent_kernel (units, 3 * units)`, `bias (3 * units,)`. A weight that the gates of a variant
    do not see has the candidate's part alone, `units` wide.

    Sources: K. Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, 2014,
    https://arxiv.org/abs/1406.1078; variants: R. Dey and F. Salem, Gate-Variants of Gated Recurrent
    Unit (GRU) Neural Networks, 2017, https://arxiv.org/abs/1701.05923.

    Args:
        units: Size of the hidden state.
        variant: `None`, `"gru1"`, `"gru2"` or `"gru3"`.
        dropout, recurrent_dropout, seed: As in `Cell`.

    Example:

    >>> import numpy as np
    >>> layer = keras.layers.RNN(GRUCell(5, variant="gru1"))
    >>> layer(np.zeros((2, 28, 28))).shape
    TensorShape([2, 5])
    """

    variants = ("gru1", "gru2", "gru3")

    def build(self, input_shape):
        def packed(seen):
            return 3 * self.units if seen in _GATES_SEE[self.variant] else self.units

        self.kernel = self.add_weight((input_shape[-1], packed("x")), name="kernel")
        self.recurrent_kernel = self.add_weight(
            (self.units, packed("h")), orthogonal, name="recurrent_kernel"
        )
        self.bias = self.add_weight((packed("b"),), "zeros", name="bias")

    def gate_sizes(self):
        return [[self.units, self.units], [self.units]]

    def gate_weights(self):
        """The weights of the gates and of the candidate; zeros for those that a variant lacks."""

        def split(packed):
            gates, candidate = packed[..., : -self.units], packed[..., -self.units :]
            if not gates.shape[-1]:
                gates = ops.zeros((*packed.shape[:-1], 2 * self.units), candidate.dtype)
            return gates, candidate

        packed = (self.kernel, self.recurrent_kernel, self.bias)
        return list(zip(*map(split, packed), strict=True))

    def step(self, preactivations, states, intercept=identity):
        """`[h]` to the next `[h]`, `(batch, units)`; see `Cell.step`."""
        (h,) = states
        z, r = map(ops.sigmoid, preactivations(h))
        z, r = intercept("update_gate", z), intercept("reset_gate", r)
        g = intercept("candidate", tanh(preactivations(r * h, 1)[0]))
        return [z * h + (1 - z) * g]
