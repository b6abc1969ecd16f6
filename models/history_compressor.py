"""The neural history compressor: a network reads only what another one could not predict."""

import keras
from keras import ops

from models.basic_rnn_cell import BasicRNNCell
from models.cell import split
from models.fast_rnn import FastRNN

# A symbol is unexpected if its probability was predicted with a larger error.
THRESHOLD = 0.2


@keras.saving.register_keras_serializable(package="mnist_rows")
class HistoryCompressorCell(keras.layers.Layer):
    """One step of an automatizer and a chunker, which reads what the automatizer did not expect.

    With input x(t), a one-hot vector, and the automatizer's prediction y(t) of it:

        u(t) = 1 if max |x(t) - y(t)| > 0.2, else 0                    x(t) was unexpected
        a(t) = tanh(W x(t) + U a(t-1) + b)                             automatizer
        y(t+1) = softmax(V a(t) + d)
        e(t) = 0 if u(t), else e(t-1) + 1/100                          time since the last such step
        v(t) = [x(t), e(t-1)] if u(t), else v(t-1)                     what the chunker read last
        p(t) = c(t-1) if u(t), else p(t-1)                             its state before that
        c(t) = tanh(W' v(t) + U' p(t) + b')                                chunker
        z(t+1) = V' c(t) + d'               the chunker's prediction of the next unexpected symbol
        q(t) = tanh(V" a(t) + d")           the automatizer's imitation of c(t)

    The chunker's state is computed from v and p at every step, although it only changes where u is
    1. So the gradient of a later answer reaches the weights of the chunker in one of its own steps,
    however long ago it read, and where a gradient through time is truncated.

    Source: J. Schmidhuber, Learning Complex, Extended Sequences Using the Principle of History
    Compression, 1992, https://doi.org/10.1162/neco.1992.4.2.234, the two-net system.

    Args:
        units: Units of each of the two networks.
        features: Features of the inputs.
    """

    def __init__(self, units, features, **kwargs):
        super().__init__(**kwargs)
        self.units, self.features = units, features
        self.automatizer = BasicRNNCell(units, dtype=self.dtype_policy, name="automatizer")
        self.chunker = BasicRNNCell(units, dtype=self.dtype_policy, name="chunker")
        self.predict_next = self._dense(features, "predict_next")
        self.predict_unexpected = self._dense(features, "predict_unexpected")
        self.imitate = self._dense(units, "imitate")
        # c, p, v, a, y, z, e
        self.state_size = [units, units, features + 1, units, features, features, 1]
        # c, q, logits of the next symbol, logits of the unexpected one, u
        self.output_sizes = [units, units, features, features, 1]
        self.output_size = sum(self.output_sizes)

    def _dense(self, size, name):
        return keras.layers.Dense(size, dtype=self.dtype_policy, name=name)

    def build(self, input_shape):
        self.automatizer.build((None, self.features))
        self.chunker.build((None, self.features + 1))
        for layer in (self.predict_next, self.predict_unexpected, self.imitate):
            layer.build((None, self.units))

    def call(self, inputs, states):
        """Compute one timestep.

        Args:
            inputs: `(batch, features)`.
            states: c and p `(batch, units)`, v `(batch, features + 1)`, a `(batch, units)`, y and z
                `(batch, features)`, e `(batch, 1)`.

        Returns:
            `output_sizes`, concatenated, and the new states.
        """
        c, p, v, a, y, z, e = states
        error = ops.max(ops.abs(inputs - y), axis=-1, keepdims=True)
        u = ops.stop_gradient(ops.cast(error > THRESHOLD, inputs.dtype))
        _, (a,) = self.automatizer(inputs, [a])
        v = u * ops.concatenate([inputs, e], axis=-1) + (1 - u) * v
        p = u * c + (1 - u) * p
        _, (c,) = self.chunker(v, [p])
        e = (1 - u) * (e + 0.01)
        logits = self.predict_next(a)
        outputs = [c, ops.tanh(self.imitate(a)), logits, z, u]
        states = [c, p, v, a, ops.softmax(logits), self.predict_unexpected(c), e]
        return ops.concatenate(outputs, axis=-1), states

    def get_initial_state(self, batch_size=None):
        """Zeros, so that the first symbol is unexpected."""
        return [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in self.state_size]

    def get_config(self):
        return {**super().get_config(), "units": self.units, "features": self.features}


@keras.saving.register_keras_serializable(package="mnist_rows")
class HistoryCompressor(FastRNN):
    """A layer of a `HistoryCompressorCell`, with the losses of its two networks.

    Its outputs are the states c of the chunker, `(batch, steps, units)`, from which the head
    answers. In training it adds three losses to that of the answers, each a mean over the steps:

    - the cross-entropy of the automatizer's prediction of the next symbol;
    - the cross-entropy of the chunker's prediction of the next unexpected symbol;
    - the squared error of the automatizer's imitation of the chunker, through which no gradient
      flows into the chunker. So the automatizer learns to do what the chunker does: the chunker
      collapses into it.

    Args:
        cell: A `HistoryCompressorCell`.
        alone: Whether the outputs are the imitations q in place of c: the automatizer alone.
        **options: Those of `keras.layers.RNN`. All steps and the final states are returned.
    """

    def __init__(self, cell, alone=False, **options):
        super().__init__(cell, **{**options, "return_sequences": True, "return_state": True})
        self.alone = alone

    def call(self, sequences, initial_state=None, mask=None, training=False):
        """Read `sequences (batch, steps, features)`; the outputs, and the states of the cell."""
        packed, *states = super().call(sequences, initial_state, mask, training)
        c, q, logits, z, u = split(packed, self.cell.output_sizes)
        if training:
            symbols = ops.argmax(sequences, axis=-1)
            predicted = _cross_entropy(symbols[:, 1:], logits[:, :-1])
            unexpected = _cross_entropy(symbols, z) * u[..., 0]
            imitated = ops.square(q - ops.stop_gradient(c))
            for loss in (predicted, unexpected, imitated):
                self.add_loss(ops.mean(loss))
        return (q if self.alone else c), *states

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        _, *states = super().compute_output_shape(sequences_shape, initial_state_shape)
        return (*sequences_shape[:2], self.cell.units), *states

    def activations(self, sequences):
        """The states after each step by name: `hidden (batch, steps, units)` and `unexpected`."""
        packed, *_ = keras.layers.RNN.call(self, sequences)
        c, _, _, _, u = split(packed, self.cell.output_sizes)
        return {"hidden": c, "unexpected": u}

    def get_config(self):
        config = super().get_config() | {"alone": self.alone}
        return {k: v for k, v in config.items() if k not in ("return_sequences", "return_state")}


def _cross_entropy(symbols, logits):
    return keras.losses.sparse_categorical_crossentropy(symbols, logits, from_logits=True)


def automatizer_alone(model):
    """The same layers as a model whose head reads the automatizer's imitation of the chunker.

    Args:
        model: A model of `create_model` with a `HistoryCompressor`. Its weights are shared.
    """
    x = model.input
    for layer in model.layers[1:]:
        if isinstance(layer, HistoryCompressor):
            x, *_ = HistoryCompressor(layer.cell, alone=True, name=layer.name)(x)
        else:
            x = layer(x)
    return keras.Model(model.input, x, name=model.name)
