"""The base class of all cells."""

import itertools
import numbers

import keras
from keras import ops

# Private, but `keras.layers.RNN` reuses one dropout mask per sequence only for cells of this class.
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell


def tanh(x):
    """`ops.tanh`, exact to 1e-15 in float64. Keras 3.15 on JAX computes it in float32."""
    if keras.backend.standardize_dtype(x.dtype) == "float64":
        return 2 * ops.sigmoid(2 * x) - 1
    return ops.tanh(x)


def orthogonal(shape, dtype=None):
    """Orthogonal initial weights. The decomposition does not exist in half precision."""
    half = dtype in ("float16", "bfloat16")
    return ops.cast(keras.initializers.Orthogonal()(shape, "float32" if half else dtype), dtype)


def identity(name, value):
    """Return `value` unchanged: the default `intercept` of `Cell.step`."""
    return value


def split(packed, sizes):
    """Split a tensor `(..., sum of sizes)` into tensors `(..., size)`."""
    indices = list(itertools.accumulate(sizes))[:-1]
    return ops.split(packed, indices, axis=-1) if indices else [packed]


class Cell(DropoutRNNCell, keras.layers.Layer):
    """One step of a recurrent network, for `keras.layers.RNN`.

    A subclass names its `variants`, creates its weights in `build`, and has its equations in
    `step`. `gate_weights` and `gate_sizes` describe the preactivations, which `step` receives as a
    function. So the same equations serve one step here and whole sequences in `FastRNN`, which
    computes the preactivations in another way.

    Dropout is variational: one mask of the inputs and one of the hidden state are drawn for each
    sequence. All timesteps and all gates use the same masks. The masks apply to the inputs and the
    hidden state in the matrix products only: neither the cell state of an LSTM nor the term
    z * h(t-1) of a GRU is masked. Source: Y. Gal and Z. Ghahramani, A Theoretically Grounded
    Application of Dropout in Recurrent Neural Networks, 2016, https://arxiv.org/abs/1512.05287.

    Args:
        units: Size of the hidden state.
        variant: One of the class's `variants`, or `None` for the standard cell.
        dropout: Fraction of the inputs dropped in training.
        recurrent_dropout: Fraction of the hidden state dropped in training.
        seed: Seed of the dropout masks.

    Attributes:
        gates: A letter for each gate and the candidate, in the order in which a bias holds them.
        state_names: The names of the first states.

    Raises:
        ValueError: If `units` is not a positive integer, `variant` is not one of the class's, or a
            fraction is not at least 0 and below 1.
    """

    variants = ()
    gates = ""
    state_names = ("hidden", "cell")

    def __init__(
        self, units, variant=None, dropout=0.0, recurrent_dropout=0.0, seed=None, **kwargs
    ):
        if not isinstance(units, numbers.Integral) or isinstance(units, bool) or units < 1:
            raise ValueError(f"{self._received('units', units)} a positive integer.")
        if variant not in (None, *self.variants):
            expected = ", ".join(["None", *self.variants])
            raise ValueError(f"{self._received('variant', variant)} one of {expected}.")
        for name, rate in [("dropout", dropout), ("recurrent_dropout", recurrent_dropout)]:
            if not isinstance(rate, numbers.Real) or not 0 <= rate < 1:
                raise ValueError(f"{self._received(name, rate)} a fraction, at least 0, below 1.")
        super().__init__(**kwargs)
        self.units = int(units)
        self.variant = variant
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.state_size = self.units
        self.output_size = self.units

    def gate_sizes(self):
        """The sizes of the gates that are packed in each matrix product of a step, in order."""
        raise NotImplementedError

    def gate_weights(self):
        """The weights of each matrix product of a step: `(kernel, recurrent_kernel, bias)`."""
        return [(self.kernel, self.recurrent_kernel, self.bias)]

    def other_weights(self):
        """All other weights that `step` uses, by the names of its arguments."""
        return {}

    def step(self, preactivations, states, intercept=identity, **other_weights):
        """The cell's equations.

        Args:
            preactivations: A function: `preactivations(h, n)` returns a list of the gates'
                `W x(t) + U h + b`, `(batch, size)`, of product `n` in `gate_sizes()`. `n` is 0 by
                default. `step` must call it once for each product, in order.
            states: A list of `(batch, size)`. The first is the hidden state; in an LSTM the second
                is the cell state.
            intercept: A function `intercept(name, value)`. It is called with each gate and the
                candidate, `(batch, units)`; `step` goes on with what it returns.
            **other_weights: The weights in `other_weights()`.

        Returns:
            The new states.
        """
        raise NotImplementedError

    def call(self, inputs, states, training=False):
        """Compute one timestep.

        Args:
            inputs: `(batch, features)`.
            states: A list of `(batch, size)`, one for each size in `state_size`.
            training: Whether to apply dropout.

        Returns:
            The hidden state, `(batch, units)`, and the new states.
        """
        x, mask = self.drop_inputs(inputs, training), self.hidden_mask(states[0], training)
        preactivations = self.preactivations_of(x, self.gate_weights(), mask)
        states = self.step(preactivations, list(states), **self.other_weights())
        return states[0], states

    def preactivations_of(self, x, gate_weights, mask=None):
        """The function `preactivations` of `step`, for one step.

        Args:
            x: Inputs `(batch, features)`.
            gate_weights: The result of `gate_weights()`.
            mask: A dropout mask of the hidden state, `(batch, units)`, or `None`.
        """
        sizes = self.gate_sizes()

        def preactivations(h, n=0):
            kernel, recurrent_kernel, bias = gate_weights[n]
            h = h if mask is None else h * mask
            return split(ops.matmul(x, kernel) + ops.matmul(h, recurrent_kernel) + bias, sizes[n])

        return preactivations

    def drop_inputs(self, inputs, training):
        """Apply dropout to inputs, `(batch, features)` or `(batch, steps, features)`."""
        if not (training and self.dropout):
            return inputs
        if len(inputs.shape) == 3:
            return inputs * ops.expand_dims(self.get_dropout_mask(inputs[:, 0]), 1)
        return inputs * self.get_dropout_mask(inputs)

    def hidden_mask(self, h, training):
        """The dropout mask for a hidden state `(batch, units)`, or `None`."""
        return self.get_recurrent_dropout_mask(h) if training and self.recurrent_dropout else None

    def get_initial_state(self, batch_size=None):
        """Zeros: one tensor `(batch_size, size)` for each size in `state_size`."""
        sizes = self.state_size if isinstance(self.state_size, list) else [self.state_size]
        return [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in sizes]

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "variant": self.variant,
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
        }

    def _received(self, name, value):
        return f"{type(self).__name__}: received {name}={value!r}; expected"
