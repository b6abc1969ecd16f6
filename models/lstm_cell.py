"""The long short-term memory cell, with optional peepholes and the variants in the literature."""

import keras
from keras import ops

from models.cell import Cell, identity, orthogonal, tanh

_NAMES = {"i": "input_gate", "f": "forget_gate", "o": "output_gate"}
# The gates of the variants that lack one, in the order they are packed in.
_WITHOUT_A_GATE = {"cifg": "ico", "nig": "fco", "nfg": "ico", "nog": "ifc"}


@keras.saving.register_keras_serializable(package="mnist_rows")
class LSTMCell(Cell):
    """One step of an LSTM: `keras.layers.LSTMCell` with optional peepholes and variants.

    With input x(t), hidden state h and cell state c, and `*` the elementwise product:

        i = sigmoid(W_i x(t) + U_i h(t-1) + p_i * c(t-1) + b_i)      input gate
        f = sigmoid(W_f x(t) + U_f h(t-1) + p_f * c(t-1) + b_f)      forget gate
        g =    tanh(W_c x(t) + U_c h(t-1)                + b_c)      candidate
        c(t) = f * c(t-1) + i * g
        o = sigmoid(W_o x(t) + U_o h(t-1) + p_o * c(t)   + b_o)      output gate
        h(t) = o * tanh(c(t))

    Through the peepholes p the gates read the cell state: the input and forget gates read
    c(t-1), the output gate reads c(t). The peepholes are vectors with one weight per unit. They
    start at zero, where the cell is a plain LSTM. The forget bias b_f starts at 1 (TensorFlow 1's
    `forget_bias=1.0`).

    Variants, each with one change, with or without peepholes:

        cifg    f = 1 - i       coupled input and forget gates; b_i starts at -1
        nig     i = 1           no input gate
        nfg     f = 1           no forget gate; without peepholes `LSTM1997Cell` with blocks of 1
        nog     o = 1           no output gate
        niaf    g = W_c x(t) + U_c h(t-1) + b_c      no input activation
        noaf    h(t) = o * c(t)                      no output activation
        fgr     full gate recurrence: the preactivations of i, f and o each gain a term
                R [i(t-1), f(t-1), o(t-1)]

    Weights, packed as in Keras in the order i, f, c, o, without the gate that a variant lacks:
    `kernel (features, 4 * units)`, `recurrent_kernel (units, 4 * units)`, `bias (4 * units,)`; with
    peepholes `peephole_i`, `peephole_f`, `peephole_o`, each `(units,)`; and for `"fgr"`
    `gate_recurrent_kernel (3 * units, 3 * units)`. The gates of `"fgr"` are a third state.

    Sources: S. Hochreiter and J. Schmidhuber, Long Short-Term Memory, 1997,
    https://doi.org/10.1162/neco.1997.9.8.1735; F. Gers, J. Schmidhuber and F. Cummins, Learning to
    Forget, 2000, https://doi.org/10.1162/089976600300015015; peepholes: F. Gers, N. Schraudolph and
    J. Schmidhuber, Learning Precise Timing with LSTM Recurrent Networks, 2002,
    https://www.jmlr.org/papers/v3/gers02a.html; variants: K. Greff et al., LSTM: A Search Space
    Odyssey, 2015, https://arxiv.org/abs/1503.04069.

    Args:
        units: Size of the hidden state and of the cell state.
        use_peephole: Whether the gates read the cell state.
        variant: `None` or one of the above.
        dropout, recurrent_dropout, seed: As in `Cell`.

    Example:

    >>> import numpy as np
    >>> layer = keras.layers.RNN(LSTMCell(5, use_peephole=True, variant="cifg"))
    >>> layer(np.zeros((2, 28, 28))).shape
    TensorShape([2, 5])
    """

    variants = ("cifg", "nig", "nfg", "nog", "niaf", "noaf", "fgr")

    def __init__(self, units, use_peephole=False, variant=None, **kwargs):
        if not isinstance(use_peephole, bool):
            raise ValueError(f"{self._received('use_peephole', use_peephole)} True or False.")
        super().__init__(units, variant, **kwargs)
        self.use_peephole = use_peephole
        self.gates = _WITHOUT_A_GATE.get(variant, "ifco")
        self.state_size = [self.units, self.units]  # h, c
        if variant == "fgr":
            self.state_size.append(3 * self.units)  # i, f, o

    def build(self, input_shape):
        packed = len(self.gates) * self.units
        self.kernel = self.add_weight((input_shape[-1], packed), name="kernel")
        self.recurrent_kernel = self.add_weight(
            (self.units, packed), orthogonal, name="recurrent_kernel"
        )
        self.bias = self.add_weight((packed,), self._initial_bias, name="bias")
        self.peepholes = {
            gate: self.add_weight((self.units,), "zeros", name=f"peephole_{gate}")
            for gate in self.gates
            if self.use_peephole and gate != "c"
        }
        if self.variant == "fgr":
            self.gate_recurrent_kernel = self.add_weight(
                (3 * self.units, 3 * self.units), orthogonal, name="gate_recurrent_kernel"
            )

    def gate_sizes(self):
        return [[self.units] * len(self.gates)]

    def other_weights(self):
        """The peepholes and, for `"fgr"`, the weights of the last step's gates."""
        other_weights = {f"peephole_{gate}": weight for gate, weight in self.peepholes.items()}
        if self.variant == "fgr":
            other_weights["gate_recurrent_kernel"] = self.gate_recurrent_kernel
        return other_weights

    def step(
        self, preactivations, states, intercept=identity, gate_recurrent_kernel=None, **peepholes
    ):
        """From `[h, c]`, for `"fgr"` `[h, c, (i, f, o)]`, to the next; see `Cell.step`."""
        h, c = states[:2]
        a = dict(zip(self.gates, preactivations(h), strict=True))  # a_i = W_i x(t) + U_i h + b_i
        if self.variant == "fgr":
            r = ops.matmul(states[2], gate_recurrent_kernel)
            r_i, r_f, r_o = ops.split(r, 3, axis=-1)
            a |= {"i": a["i"] + r_i, "f": a["f"] + r_f, "o": a["o"] + r_o}

        def gate(k, c):
            """sigmoid(a_k + p_k * c), or 1, always open, if the variant lacks the gate."""
            if k not in a:
                return ops.ones((), c.dtype)
            p_k = peepholes.get(f"peephole_{k}")
            return intercept(_NAMES[k], ops.sigmoid(a[k] if p_k is None else a[k] + p_k * c))

        i = gate("i", c)
        f = intercept("forget_gate", 1 - i) if self.variant == "cifg" else gate("f", c)
        g = intercept("candidate", a["c"] if self.variant == "niaf" else tanh(a["c"]))
        c = f * c + i * g
        o = gate("o", c)
        h = o * (c if self.variant == "noaf" else tanh(c))
        return [h, c, ops.concatenate([i, f, o], axis=-1)] if self.variant == "fgr" else [h, c]

    def get_config(self):
        return {**super().get_config(), "use_peephole": self.use_peephole}

    def _initial_bias(self, shape, dtype=None):
        """Zeros, except that the forget gate starts at sigmoid(1)."""
        biases = {"f": 1, "i": -1 if self.variant == "cifg" else 0}
        return ops.concatenate(
            [ops.full((self.units,), biases.get(gate, 0), dtype) for gate in self.gates]
        )
