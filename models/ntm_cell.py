"""The Neural Turing machine: a controller network that reads and writes a memory."""

import keras
from keras import ops

from models.cell import Cell, identity, orthogonal, tanh

_SHIFTS = (-1, 0, 1)
# The content of an empty memory, small so that all slots look alike.
_EMPTY = 1e-6
# Added where a logarithm or a quotient would not be finite.
_EPSILON = 1e-8


@keras.saving.register_keras_serializable(package="mnist_rows")
class NTMCell(Cell):
    """One step of a Neural Turing machine.

    The controller is an LSTM, which reads the input x(t) and what the heads read before, r(t-1):

        i = sigmoid(W_i x(t) + U_i h(t-1) + V_i r(t-1) + b_i)      f, o likewise
        g = tanh(W_g x(t) + U_g h(t-1) + V_g r(t-1) + b_g)
        c(t) = f * c(t-1) + i * g
        h(t) = o * tanh(c(t))

    or a layer without a state, h(t) = tanh(W x(t) + V r(t-1) + b). Each head has a weighting w of
    the N slots, whose numbers are not negative and have the sum 1. Its key k, strength beta, gate
    q, shift s and sharpening gamma are functions of the controller's state:

        k, a_beta, a_q, a_s, a_gamma = H h(t) + d
        beta, q, s, gamma = softplus(a_beta), sigmoid(a_q), softmax(a_s), 1 + softplus(a_gamma)

        w_c(n) = softmax over n of beta cos(k, M(t-1)(n))                     by content
        w_g = q w_c + (1 - q) w(t-1)                                          interpolation
        w_s(n) = s(-1) w_g(n+1) + s(0) w_g(n) + s(1) w_g(n-1)                 shift, in a circle
        w(t)(n) = softmax over n of gamma log w_s(n)                          sharpening

    A write head also has an erase vector e, a sigmoid, and an add vector a, `(memory_width,)`. With
    several write heads, all erase, then all add:

        M(t)(n) = M(t-1)(n) * prod (1 - w(t)(n) e) + sum w(t)(n) a
        r(t) = sum over n of w(t)(n) M(t)(n)                                  for each read head

    The output of a step is h(t) and r(t), `(batch, units + read_heads * memory_width)`. At first
    all slots are alike, and all weightings are on slot 0, which tells the slots apart. No weight
    depends on the number of slots, so that it may be changed after training.

    Source: A. Graves, G. Wayne and I. Danihelka, Neural Turing Machines, 2014,
    https://arxiv.org/abs/1410.5401, equations 1 to 9. There q is g.

    Args:
        units: Size of the controller's hidden state.
        memory_slots: Number of slots N of the memory.
        memory_width: Numbers in a slot.
        read_heads, write_heads: Number of heads.
        controller: `"lstm"` or `"feed_forward"`.
        dropout, recurrent_dropout, seed: As in `Cell`. What is read is dropped as h is.

    Raises:
        ValueError: If a size is not a positive integer, or the controller is not known.

    Example:

    >>> import numpy as np
    >>> layer = keras.layers.RNN(NTMCell(5, memory_slots=7, memory_width=4))
    >>> layer(np.zeros((2, 28, 3))).shape
    TensorShape([2, 9])
    """

    def __init__(
        self,
        units,
        memory_slots=128,
        memory_width=20,
        read_heads=1,
        write_heads=1,
        controller="lstm",
        **kwargs,
    ):
        super().__init__(units, **kwargs)
        sizes = {"memory_slots": memory_slots, "memory_width": memory_width}
        sizes |= {"read_heads": read_heads, "write_heads": write_heads}
        for name, size in sizes.items():
            if type(size) is not int or size < 1:
                raise ValueError(f"{self._received(name, size)} a positive integer.")
            setattr(self, name, size)
        if controller not in ("lstm", "feed_forward"):
            expected = self._received("controller", controller)
            raise ValueError(f"{expected} 'lstm' or 'feed_forward'.")
        self.controller = controller
        self.gates = "ifco" if controller == "lstm" else "h"
        self.heads = read_heads + write_heads  # The read heads come first.
        self.output_size = units + read_heads * memory_width
        of_controller = ("hidden", "cell") if controller == "lstm" else ("hidden",)
        self.state_names = (*of_controller, "memory", "weightings")
        self.state_size = [
            self.output_size,
            *([units] if controller == "lstm" else []),
            memory_slots * memory_width,
            self.heads * memory_slots,
        ]

    def build(self, input_shape):
        packed = len(self.gates) * self.units
        read = self.output_size - self.units
        parameters = sum(self._parameter_sizes())
        self.kernel = self.add_weight((input_shape[-1], packed), name="kernel")
        if self.controller == "lstm":
            self.recurrent_kernel = self.add_weight(
                (self.units, packed), orthogonal, name="recurrent_kernel"
            )
        self.read_kernel = self.add_weight((read, packed), name="read_kernel")
        self.bias = self.add_weight((packed,), "zeros", name="bias")
        self.head_kernel = self.add_weight((self.units, parameters), name="head_kernel")
        self.head_bias = self.add_weight((parameters,), "zeros", name="head_bias")

    def _parameter_sizes(self):
        """The sizes of k, beta, q, s and gamma of all heads, and of e and a of the write heads."""
        heads, written = self.heads, self.write_heads * self.memory_width
        each = [self.memory_width, 1, 1, len(_SHIFTS), 1]
        return [*(heads * size for size in each), written, written]

    def gate_sizes(self):
        return [[self.units] * len(self.gates), self._parameter_sizes()]

    def gate_weights(self):
        # Both products have h and r as operands, although the controller without a state does not
        # read h, and the heads read neither x nor r.
        features, packed = self.kernel.shape
        if self.controller == "lstm":
            from_h = self.recurrent_kernel
        else:
            from_h = ops.zeros((self.units, packed), self.compute_dtype)
        from_h_and_r = ops.concatenate([from_h, self.read_kernel], axis=0)
        parameters = self.head_kernel.shape[1]
        nothing = ops.zeros((features, parameters), self.compute_dtype)
        none_of_r = ops.zeros((self.output_size - self.units, parameters), self.compute_dtype)
        to_heads = ops.concatenate([self.head_kernel, none_of_r], axis=0)
        return [(self.kernel, from_h_and_r, self.bias), (nothing, to_heads, self.head_bias)]

    def step(self, preactivations, states, intercept=identity):
        """From `[h and r, c, M, w]` to the next ones, each `(batch, size)`; see `Cell.step`."""
        h_and_r, *c, memory, w = states
        r = h_and_r[:, self.units :]
        if self.controller == "lstm":
            a_i, a_f, a_c, a_o = preactivations(h_and_r)
            i = intercept("input_gate", ops.sigmoid(a_i))
            f = intercept("forget_gate", ops.sigmoid(a_f))
            g = intercept("candidate", tanh(a_c))
            c = [f * c[0] + i * g]
            o = intercept("output_gate", ops.sigmoid(a_o))
            h = o * tanh(c[0])
        else:
            (a_h,) = preactivations(h_and_r)
            h = tanh(a_h)
        k, *addressing, a_e, a = preactivations(ops.concatenate([h, r], axis=-1), 1)
        memory = ops.reshape(memory, (-1, self.memory_slots, self.memory_width))
        w = ops.reshape(w, (-1, self.heads, self.memory_slots))
        w = self._address(memory, w, k, *addressing)  # (batch, heads, slots)
        w_read, w_write = w[:, : self.read_heads], w[:, self.read_heads :]
        by_head = (-1, self.write_heads, self.memory_width)
        e, a = ops.reshape(ops.sigmoid(a_e), by_head), ops.reshape(a, by_head)
        for head in range(self.write_heads):
            memory = memory * (1 - w_write[:, head, :, None] * e[:, head, None])
        memory = memory + ops.matmul(ops.transpose(w_write, (0, 2, 1)), a)
        r = ops.reshape(ops.matmul(w_read, memory), (-1, self.read_heads * self.memory_width))
        memory = ops.reshape(memory, (-1, self.memory_slots * self.memory_width))
        w = ops.reshape(w, (-1, self.heads * self.memory_slots))
        return [ops.concatenate([h, r], axis=-1), *c, memory, w]

    def _address(self, memory, w, k, a_beta, a_q, a_s, a_gamma):
        """The next weightings of all heads, `(batch, heads, slots)`, from the ones before, w."""
        k = ops.reshape(k, (-1, self.heads, self.memory_width))
        beta, q = ops.softplus(a_beta)[..., None], ops.sigmoid(a_q)[..., None]
        s = ops.softmax(ops.reshape(a_s, (-1, self.heads, len(_SHIFTS))))
        gamma = 1 + ops.softplus(a_gamma)[..., None]

        similarity = ops.matmul(_normalize(k), ops.transpose(_normalize(memory), (0, 2, 1)))
        w_c = ops.softmax(beta * similarity)
        w_g = q * w_c + (1 - q) * w
        w_s = sum(
            s[..., number, None] * ops.roll(w_g, shift, axis=-1)
            for number, shift in enumerate(_SHIFTS)
        )
        return ops.softmax(gamma * ops.log(w_s + _EPSILON))

    def get_initial_state(self, batch_size=None):
        """An empty memory, all weightings on slot 0, and zeros for the other states."""
        states = super().get_initial_state(batch_size)
        first = ops.one_hot(0, self.memory_slots, dtype=self.compute_dtype)
        w = ops.tile(first[None], (batch_size, self.heads))
        return [*states[:-2], states[-2] + _EMPTY, w]

    def get_config(self):
        names = ("memory_slots", "memory_width", "read_heads", "write_heads", "controller")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _normalize(vectors):
    """The vectors `(..., width)` divided by their norms."""
    squares = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    return vectors * ops.rsqrt(squares + _EPSILON)
