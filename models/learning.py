"""How a fully recurrent network learns: in real time or through time, with a teacher or without."""

import keras
from keras import ops

from models.fully_recurrent_cell import FullyRecurrentCell


class LearningCell(keras.layers.Layer):
    """A `FullyRecurrentCell` for its training. The weights are shared.

    With teacher forcing, the next step reads the targets of output units in place of these units.

    Args:
        cell: The `FullyRecurrentCell`.
        forced: The number of output units that a teacher forces, or 0. The inputs are
            `(batch, features + forced)`: those of the cell, and the targets of the step before,
            0 to 1. A target of -1 leaves its unit as it is.

    Attributes:
        original: A function that returns the model with the cell. A plain attribute would be
            tracked by Keras.
    """

    def __init__(self, cell, forced=0):
        super().__init__(dtype=cell.dtype_policy, name=cell.name)
        self.cell = cell
        self.forced = forced
        self.state_size = [cell.units]
        self.output_size = cell.units
        self.built = True

    def call(self, inputs, states):
        """Compute one timestep.

        Args:
            inputs: `(batch, features + forced)`.
            states: A list: the units `(batch, units)`.

        Returns:
            The units and the new states.
        """
        (h,) = states
        x, h, _ = self._force(inputs, h)
        return self.cell(x, [h])

    def get_initial_state(self, batch_size=None):
        """Zeros: one tensor `(batch_size, size)` for each size in `state_size`."""
        return [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in self.state_size]

    def _force(self, inputs, h):
        """The cell's inputs, the units after the teacher, and 1 for those that are not forced."""
        if not self.forced:
            return inputs, h, ops.ones_like(h)
        x, targets = ops.split(inputs, [inputs.shape[-1] - self.forced], axis=-1)
        others = self.cell.units - self.forced
        targets = ops.pad(targets, [(0, 0), (0, others)], constant_values=-1)
        is_free = targets < 0
        return x, ops.where(is_free, h, targets), ops.cast(is_free, h.dtype)


class RealTimeCell(LearningCell):
    """A `FullyRecurrentCell` that carries the derivatives of its units with respect to its weights.

    With z(t) = [x(t), h(t-1), 1], all weights V = [W, U, b], stacked, and the derivatives
    P(t) = dh(t) / dV:

        h(t) = sigmoid(z(t) V)
        P(t)[k, l, j] = h(t)[k] (1 - h(t)[k]) * (sum over i of U[i, k] P(t-1)[i, l, j]
                                                 + z(t)[l] if k = j)

    P of a unit that is forced is 0 in the sum. The outputs are those of the cell. Their gradient
    with respect to V is P(t), so that nothing has to be kept of the steps before: h and P are the
    states of this cell, and no gradient flows through them or to the inputs. Numbers in P:
    units^2 * (features + units + 1) for each sequence. Multiplications of a step: units times as
    many.

    Source: R. Williams and D. Zipser, A Learning Algorithm for Continually Running Fully Recurrent
    Neural Networks, 1989, https://doi.org/10.1162/neco.1989.1.2.270, equations 12 and, with a
    teacher, 26.

    Args:
        cell, forced: As in `LearningCell`.
    """

    def __init__(self, cell, forced=0):
        super().__init__(cell, forced)
        self.sources = cell.kernel.shape[0] + cell.units + 1
        self.state_size = [cell.units, cell.units * self.sources * cell.units]

    def call(self, inputs, states):
        """Compute one timestep.

        Args:
            inputs: `(batch, features + forced)`.
            states: h `(batch, units)`, and P, flat: `(batch, units * sources * units)` with
                `sources = features + units + 1`.

        Returns:
            h `(batch, units)` and the new states.
        """
        units = self.cell.units
        inputs, h, P = map(ops.stop_gradient, (inputs, *states))
        x, h, is_free = self._force(inputs, h)
        weights = (self.cell.kernel, self.cell.recurrent_kernel, self.cell.bias[None])
        V = ops.concatenate([ops.cast(weight, self.compute_dtype) for weight in weights])
        fixed = ops.stop_gradient(V)
        U = fixed[-units - 1 : -1]
        z = ops.concatenate([x, h, ops.ones_like(h[:, :1])], axis=-1)
        h = ops.sigmoid(ops.matmul(z, fixed))
        P = ops.reshape(P, (-1, units, self.sources * units)) * is_free[..., None]
        P = ops.matmul(ops.transpose(U), P)  # (batch, units, sources * units)
        direct = z[:, None, :, None] * ops.eye(units, dtype=h.dtype)[None, :, None, :]
        P = (h * (1 - h))[..., None] * (P + ops.reshape(direct, (-1, units, self.sources * units)))
        # It adds 0. Its derivative with respect to V is P.
        with_gradient = h + ops.matmul(P, ops.reshape(V - fixed, (-1, 1)))[..., 0]
        return with_gradient, [h, ops.reshape(P, (-1, units * self.sources * units))]


def for_learning(model, gradient="rtrl", forced=0):
    """The same layers as a model that learns in another way.

    Args:
        model: A model of `create_model` with one layer of `FullyRecurrentCell`s, which reads
            vectors or, without teacher forcing, one-hot vectors. Its weights are shared.
        gradient: `"rtrl"` for the gradients of real-time recurrent learning, or `"bptt"`.
        forced: The number of outputs that a teacher forces: see `LearningCell`.

    Returns:
        A `keras.Model` with the same outputs. `stateless` finds `model` again.
    """
    inputs = x = keras.Input(
        (*model.input_shape[1:-1], model.input_shape[-1] + forced)
        if forced
        else model.input_shape[1:],
        dtype=model.input.dtype,
        name=model.input.name,
    )
    for layer in model.layers[1:]:
        cell = getattr(layer, "cell", None)
        if isinstance(cell, FullyRecurrentCell):
            learning = (RealTimeCell if gradient == "rtrl" else LearningCell)(cell, forced)
            learning.original = lambda: model
            x = keras.layers.RNN(
                learning,
                return_sequences=layer.return_sequences,
                return_state=layer.return_state,
                name=layer.name,
            )(x)
            x = x[0] if layer.return_state else x
        else:
            x = layer(x)
    return keras.Model(inputs, x, name=model.name)
