"""The plain recurrent cell."""

import keras
from keras import ops

from models.cell import Cell, identity, orthogonal, tanh


@keras.saving.register_keras_serializable(package="mnist_rows")
class BasicRNNCell(Cell):
    """One step of Elman's network: TensorFlow 1's `BasicRNNCell`, `keras.layers.SimpleRNNCell`.

    With input x(t) and hidden state h:

        h(t) = tanh(W x(t) + U h(t-1) + b)

    Variant `"irnn"`: relu in place of tanh, and U starts as the identity matrix. At first the cell
    adds up its inputs.

    Weights: `kernel (features, units)`, `recurrent_kernel (units, units)`, `bias (units,)`.

    Sources: J. Elman, Finding Structure in Time, 1990, https://doi.org/10.1207/s15516709cog1402_1;
    irnn: Q. Le, N. Jaitly and G. Hinton, A Simple Way to Initialize Recurrent Networks of Rectified
    Linear Units, 2015, https://arxiv.org/abs/1504.00941.

    Args:
        units: Size of the hidden state.
        variant: `None` or `"irnn"`.
        dropout, recurrent_dropout, seed: As in `Cell`.

    Example:

    >>> import numpy as np
    >>> layer = keras.layers.RNN(BasicRNNCell(5, variant="irnn"))
    >>> layer(np.zeros((2, 28, 28))).shape
    TensorShape([2, 5])
    """

    variants = ("irnn",)

    def build(self, input_shape):
        irnn = self.variant == "irnn"
        self.kernel = self.add_weight(
            (input_shape[-1], self.units),
            keras.initializers.RandomNormal(stddev=0.001) if irnn else "glorot_uniform",
            name="kernel",
        )
        self.recurrent_kernel = self.add_weight(
            (self.units, self.units), "identity" if irnn else orthogonal, name="recurrent_kernel"
        )
        self.bias = self.add_weight((self.units,), "zeros", name="bias")

    def gate_sizes(self):
        return [[self.units]]

    def step(self, preactivations, states, intercept=identity):
        """From `[h]` to the next `[h]`, each `(batch, units)`; see `Cell.step`."""
        (h,) = states
        (a,) = preactivations(h)  # a = W x(t) + U h + b
        h = ops.relu(a) if self.variant == "irnn" else tanh(a)
        return [h]
