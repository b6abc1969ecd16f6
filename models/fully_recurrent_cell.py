"""The fully recurrent network, in which some units are the outputs."""

import keras
from keras import ops

from models.cell import Cell, identity


@keras.saving.register_keras_serializable(package="mnist_rows")
class FullyRecurrentCell(Cell):
    """One step of a fully recurrent network: every unit reads every input and every unit.

    With input x(t) and the units h:

        h(t) = sigmoid(W x(t) + U h(t-1) + b)

    The first units are the outputs of the network: see `OutputUnits`. An output is one sigmoid of
    the inputs of its step. An XOR of inputs needs two, and so one step more.

    Weights: `kernel (features, units)`, `recurrent_kernel (units, units)`, `bias (units,)`, drawn
    uniformly from -0.5 to 0.5.

    Source: R. Williams and D. Zipser, A Learning Algorithm for Continually Running Fully Recurrent
    Neural Networks, 1989, https://doi.org/10.1162/neco.1989.1.2.270, equations 1 to 3. There h(t)
    is y(t + 1).

    Args:
        units: Number of units.
        dropout, recurrent_dropout, seed: As in `Cell`.

    Example:

    >>> import numpy as np
    >>> layer = keras.layers.RNN(FullyRecurrentCell(5))
    >>> layer(np.zeros((2, 28, 3))).shape
    TensorShape([2, 5])
    """

    def build(self, input_shape):
        for name, shape in {
            "kernel": (input_shape[-1], self.units),
            "recurrent_kernel": (self.units, self.units),
            "bias": (self.units,),
        }.items():
            initial = keras.initializers.RandomUniform(-0.5, 0.5)
            setattr(self, name, self.add_weight(shape, initial, name=name))

    def gate_sizes(self):
        return [[self.units]]

    def step(self, preactivations, states, intercept=identity):
        """From `[h]` to the next `[h]`, each `(batch, units)`; see `Cell.step`."""
        (h,) = states
        (a,) = preactivations(h)  # a = W x(t) + U h + b
        return [ops.sigmoid(a)]


@keras.saving.register_keras_serializable(package="mnist_rows")
class OutputUnits(keras.layers.Layer):
    """The first units of a `FullyRecurrentCell` as outputs: the sums before their sigmoid.

    From h `(..., units)` to the logits log(h / (1 - h)), `(..., size)`. It has no weights.

    Args:
        size: The number of outputs.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, h):
        # The logarithm of 0 would be infinite.
        h = ops.clip(h[..., : self.size], keras.config.epsilon(), 1 - keras.config.epsilon())
        return ops.log(h) - ops.log(1 - h)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.size)

    def get_config(self):
        return {**super().get_config(), "size": self.size}
