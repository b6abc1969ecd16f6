"""The truncated gradient of the LSTM of 1997, beside two algorithms in NumPy that compute it.

The loss is the sum of <D[t], h(t)> over the steps t from 1, plus <D_c, c(T)>.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs import Config
from datasets import Spec
from models import FastRNN, LSTM1997Cell, create_model
from tests.models.equations import sigmoid

BATCH, STEPS, FEATURES, UNITS = 3, 9, 4, 6
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(BATCH, STEPS, FEATURES))
STATES = [RANDOM.normal(size=(BATCH, UNITS)) for _ in range(2)]
D = RANDOM.normal(size=(BATCH, STEPS, UNITS))
D_C = RANDOM.normal(size=(BATCH, UNITS))


def weights_of(block_size):
    packed = UNITS + 2 * UNITS // block_size
    random = np.random.default_rng(block_size)
    return [random.normal(size=shape) for shape in [(FEATURES, packed), (UNITS, packed), (packed,)]]


class Step:
    """One step of the cell, with the gates of each cell apart: `(batch, units)`.

    Args:
        weights: Kernel, recurrent kernel and bias.
        x, h, c: The inputs and the states before.
    """

    def __init__(self, weights, x, h, c):
        W, U, b = weights
        blocks = (len(b) - UNITS) // 2
        self.owner = np.repeat(np.eye(blocks), UNITS // blocks, axis=0)  # (units, blocks)
        self.sources = np.concatenate([x, h, np.ones((len(x), 1))], axis=1)
        a_i, a_c, a_o = np.split(x @ W + h @ U + b, [blocks, blocks + UNITS], axis=1)
        self.i, self.g, self.o = (
            sigmoid(a_i @ self.owner.T),
            np.tanh(a_c),
            sigmoid(a_o @ self.owner.T),
        )
        self.c = c + self.i * self.g
        self.y = np.tanh(self.c)
        self.h = self.o * self.y

    def gradient_of_preactivations(self, d_c, d_h):
        """From dE/dc(t), which includes that through h(t), and dE/dh(t): `(batch, packed)`."""
        d_i = (d_c * self.g * self.i * (1 - self.i)) @ self.owner
        d_g = d_c * self.i * (1 - self.g**2)
        d_o = (d_h * self.y * self.o * (1 - self.o)) @ self.owner
        return np.concatenate([d_i, d_g, d_o], axis=1)

    def gradient_of_cell(self, d_h):
        return d_h * self.o * (1 - self.y**2)


def backward_in_time(weights):
    """Truncated BPTT: the gradients of x, h(0), c(0) and the weights, stacked."""
    (h, c), steps = STATES, []
    for t in range(STEPS):
        steps.append(Step(weights, X[:, t], h, c))
        h, c = steps[-1].h, steps[-1].c
    d_c, d_x, d_weights = D_C, np.empty_like(X), 0
    for t in reversed(range(STEPS)):
        step = steps[t]
        d_c = d_c + step.gradient_of_cell(D[:, t])
        d_a = step.gradient_of_preactivations(d_c, D[:, t])
        d_x[:, t] = d_a @ weights[0].T
        d_weights = d_weights + step.sources.T @ d_a
    # h(0) is read by the first gates only, so no gradient reaches it.
    return d_x, np.zeros_like(STATES[0]), d_c, d_weights


def forward_in_time(weights):
    """Truncated RTRL, as in the appendix of the paper: the gradient of the weights, stacked.

    It carries the derivative of each cell state by each weight of its own input gate and candidate
    from step to step, and adds up the gradient on the way.
    """
    h, c = STATES
    rows = FEATURES + UNITS + 1
    by_input_gate, by_candidate = np.zeros((2, BATCH, rows, UNITS))
    total = 0
    for t in range(STEPS):
        step = Step(weights, X[:, t], h, c)
        h, c = step.h, step.c
        sources = step.sources[:, :, None]
        by_input_gate += sources * (step.g * step.i * (1 - step.i))[:, None]
        by_candidate += sources * (step.i * (1 - step.g**2))[:, None]
        error = step.gradient_of_cell(D[:, t]) + (D_C if t == STEPS - 1 else 0)
        d_o = D[:, t] * step.y * step.o * (1 - step.o)
        parts = [
            (error[:, None] * by_input_gate).sum(axis=0) @ step.owner,
            (error[:, None] * by_candidate).sum(axis=0),
            step.sources.T @ d_o @ step.owner,
        ]
        total = total + np.concatenate(parts, axis=1)
    return total


def layer_of(block_size, truncated_gradient=True, weights=None):
    cell = LSTM1997Cell(UNITS, block_size, truncated_gradient=truncated_gradient, dtype="float64")
    layer = FastRNN(cell, return_sequences=True, return_state=True, dtype="float64")
    layer.build(X.shape)
    layer.set_weights(weights or weights_of(block_size))
    return layer


def gradients(layer):
    """The gradients of x, h(0), c(0), and of the weights, stacked."""
    sources = [tf.constant(array) for array in (X, *STATES)]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs, _, c = layer(sources[0], initial_state=sources[1:])
        loss = tf.reduce_sum(D * outputs) + tf.reduce_sum(D_C * c)
    weights = [weight.value for weight in layer.weights]
    zero = {"unconnected_gradients": "zero"}
    *d_inputs, d_W, d_U, d_b = tape.gradient(loss, [*sources, *weights], **zero)
    return *d_inputs, tf.concat([d_W, d_U, d_b[None]], axis=0)


WAYS = {"keras's loop": lambda f: f, "fast path": lambda f: tf.function(f, autograph=False)}


@pytest.mark.parametrize("block_size", [1, 3])
@pytest.mark.parametrize("way", WAYS)
def test_it_is_the_gradient_of_the_paper(way, block_size):
    layer = layer_of(block_size)
    found = WAYS[way](lambda: gradients(layer))()
    weights = weights_of(block_size)
    for ours, expected in zip(found, backward_in_time(weights), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found[-1], forward_in_time(weights), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("block_size", [1, 3])
def test_it_is_the_slope_while_what_the_gates_read_of_the_hidden_state_is_held(block_size):
    weights = weights_of(block_size)
    held, (h, c) = [], STATES
    for t in range(STEPS):
        held.append(h)
        step = Step(weights, X[:, t], h, c)
        h, c = step.h, step.c

    def loss(weights):
        c, total = STATES[1], 0
        for t in range(STEPS):
            step = Step(weights, X[:, t], held[t], c)
            c, total = step.c, total + (D[:, t] * step.h).sum()
        return total + (D_C * c).sum()

    d_W, d_U, d_b = np.split(gradients(layer_of(block_size))[-1], [FEATURES, FEATURES + UNITS])
    for number in range(3):
        direction = [np.zeros_like(w) for w in weights]
        direction[number] = np.random.default_rng(7).normal(size=weights[number].shape)
        ahead, behind = (
            loss([w + sign * 1e-5 * d for w, d in zip(weights, direction, strict=True)])
            for sign in (1, -1)
        )
        slope = (ahead - behind) / 2e-5
        ours = ((d_W, d_U, d_b[0])[number] * direction[number]).sum()
        assert ours == pytest.approx(slope, rel=1e-6)


def test_the_outputs_are_those_of_the_full_gradient_but_the_gradients_differ():
    ours, full = layer_of(2), layer_of(2, truncated_gradient=False)
    for one, other in zip(
        ours(X, initial_state=STATES), full(X, initial_state=STATES), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert not np.allclose(gradients(ours)[-1], gradients(full)[-1], rtol=0.1)


@pytest.mark.parametrize("steps", [5, 784])
def test_the_error_along_the_cell_is_constant(steps):
    x = RANDOM.normal(size=(BATCH, steps, FEATURES))
    W, U, b = weights_of(1)
    b[:UNITS] = -8  # Cells that grow to hundreds would leave a gradient of 0.
    layer = layer_of(1, weights=[W, U, b])
    states = [tf.constant(state) for state in STATES]

    @tf.function(autograph=False)
    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(states)
            _, h, c = layer(x, initial_state=states)
            loss = tf.reduce_sum(D_C * h)
        return *tape.gradient(loss, states, unconnected_gradients="zero"), h, c

    d_h, d_c, h, c = (array.numpy() for array in gradient())
    assert not d_h.any()
    assert np.abs(c).max() < 5
    o = h / np.tanh(c)
    np.testing.assert_allclose(d_c, D_C * o * (1 - np.tanh(c) ** 2), rtol=1e-9)


def test_it_survives_bidirectional_and_a_keras_file(tmp_path):
    config = Config(
        dataset="adding", model="bidirectional_lstm_1997", units=UNITS, truncated_gradient=True
    )
    model = create_model(config, Spec("vectors", "number", (None, 2), 1))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, loaded, keras.models.clone_model(model)):
        layer = each.get_layer("bidirectional_1")
        assert layer.forward_layer.cell.truncated_gradient
        assert layer.backward_layer.cell.truncated_gradient


def test_another_value_is_refused():
    with pytest.raises(ValueError, match="received truncated_gradient=1; expected True or False"):
        LSTM1997Cell(UNITS, truncated_gradient=1)
