"""The gated recurrent unit, and three variants with simpler gates."""

import keras
from keras import ops

from models.cell import Cell, identity, orthogonal, tanh

# The terms in the gates of each variant: of the input x, the hidden state h, and a bias b.
_GATE_TERMS = {None: "xhb", "gru1": "hb", "gru2": "h", "gru3": "b"}


@keras.saving.register_keras_serializable(package="mnist_rows")
class GRUCell(Cell):
    """One step of a GRU: TensorFlow 1's `GRUCell`, `keras.layers.GRUCell(reset_after=False)`.

    With input x(t) and hidden state h, and `*` the elementwise product:

        z = sigmoid(W_z x(t) + U_z h(t-1)     + b_z)      update gate
        r = sigmoid(W_r x(t) + U_r h(t-1)     + b_r)      reset gate
        g =    tanh(W_h x(t) + U_h (r * h(t-1)) + b_h)    candidate
        h(t) = z * h(t-1) + (1 - z) * g

    Variants, whose gates have fewer terms:

        gru1    z, r = sigmoid(U h(t-1) + b)
        gru2    z, r = sigmoid(U h(t-1))
        gru3    z, r = sigmoid(b)

    Weights, packed as in Keras in the order z, r, h: `kernel (features, 3 * units)`,
    `recurrent_kernel (units, 3 * units)`, `bias (3 * units,)`. If the
    gates of a variant lack a term, its weight holds the candidate's part only, `units` wide.

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
    gates = "zrh"

    def build(self, input_shape):
        def size(term):
            return 3 * self.units if term in _GATE_TERMS[self.variant] else self.units

        self.kernel = self.add_weight((input_shape[-1], size("x")), name="kernel")
        self.recurrent_kernel = self.add_weight(
            (self.units, size("h")), orthogonal, name="recurrent_kernel"
        )
        self.bias = self.add_weight((size("b"),), "zeros", name="bias")

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
        """From `[h]` to the next `[h]`, each `(batch, units)`; see `Cell.step`."""
        (h,) = states
        a_z, a_r = preactivations(h)  # a_z = W_z x(t) + U_z h + b_z
        z = intercept("update_gate", ops.sigmoid(a_z))
        r = intercept("reset_gate", ops.sigmoid(a_r))
        (a_h,) = preactivations(r * h, 1)
        g = intercept("candidate", tanh(a_h))
        h = z * h + (1 - z) * g
        return [h]
