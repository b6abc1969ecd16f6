"""The history compressor, compared with its equations in NumPy."""

import keras
import numpy as np
import pytest

from configs import Config, UserError
from datasets import Spec
from models import automatizer_alone, carry_states, create_model, trace
from models.history_compressor import THRESHOLD

BATCH, STEPS, FEATURES, UNITS = 3, 9, 5, 6
RANDOM = np.random.default_rng(0)
SYMBOLS = RANDOM.integers(0, FEATURES, (BATCH, STEPS))
X = np.eye(FEATURES, dtype=np.float32)[SYMBOLS]
SPEC = Spec("vectors", "step_bits", (None, FEATURES), 1)
CONFIG = Config(dataset="blocks", model="history_compressor", units=UNITS)


def random_model():
    model = create_model(CONFIG, SPEC)
    random = np.random.default_rng(1)
    model.set_weights([random.normal(scale=0.9, size=w.shape) for w in model.weights])
    return model


def softmax(x):
    shares = np.exp(x - x.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def by_the_equations(model):
    """One example at a time: c, q, the three losses of each step, and what was unexpected."""
    cell = model.layers[1].cell

    def weights(layer):
        return [np.asarray(w, np.float64) for w in layer.weights]

    (W, U, b), (W_c, U_c, b_c) = weights(cell.automatizer), weights(cell.chunker)
    (V, d), (V_c, d_c), (V_q, d_q) = map(
        weights, (cell.predict_next, cell.predict_unexpected, cell.imitate)
    )
    every = []
    for xs, symbols in zip(X.astype(np.float64), SYMBOLS, strict=True):
        c, a, y, z, e = np.zeros(UNITS), np.zeros(UNITS), np.zeros(FEATURES), np.zeros(FEATURES), 0
        rows = []
        for step, (x, symbol) in enumerate(zip(xs, symbols, strict=True)):
            u = np.abs(x - y).max() > THRESHOLD
            unexpected = -np.log(softmax(z)[symbol]) if u else 0
            predicted = -np.log(y[symbol]) if step else None
            a = np.tanh(x @ W + a @ U + b)
            y = softmax(a @ V + d)
            if u:
                c = np.tanh(np.append(x, e) @ W_c + c @ U_c + b_c)
            e = 0 if u else e + 0.01
            z = c @ V_c + d_c
            q = np.tanh(a @ V_q + d_q)
            rows.append((c, q, predicted, unexpected, np.mean((q - c) ** 2), u))
        every.append(rows)
    return every


def column(every, number):
    return np.array([[row[number] for row in rows] for rows in every])


def test_it_computes_its_equations():
    model = random_model()
    every = by_the_equations(model)
    kernel, bias = (np.asarray(w) for w in model.layers[-1].weights)
    np.testing.assert_allclose(model(X), column(every, 0) @ kernel + bias, atol=1e-5)
    alone = automatizer_alone(model)
    np.testing.assert_allclose(alone(X), column(every, 1) @ kernel + bias, atol=1e-5)
    traced = trace(model, X)
    np.testing.assert_allclose(traced["hidden"], column(every, 0), atol=1e-5)
    unexpected = column(every, 5)
    assert 0 < unexpected.mean() < 1
    np.testing.assert_array_equal(traced["unexpected"][..., 0], unexpected)


def test_its_losses_are_those_of_the_two_networks_and_of_the_imitation():
    model = random_model()
    every = by_the_equations(model)
    model(X, training=True)
    predicted = np.array([[row[2] for row in rows[1:]] for rows in every])
    expected = [predicted.mean(), column(every, 3).mean(), column(every, 4).mean()]
    np.testing.assert_allclose([float(loss) for loss in model.losses], expected, rtol=1e-4)
    model(X, training=False)
    assert model.losses == []


def test_no_gradient_of_the_imitation_flows_into_the_chunker():
    import tensorflow as tf

    model = random_model()
    cell = model.layers[1].cell
    with tf.GradientTape() as tape:
        model(X, training=True)
        imitated = model.losses[2]
    for_automatizer, for_chunker = tape.gradient(
        imitated, [cell.automatizer.weights, cell.chunker.weights]
    )
    assert all(np.abs(gradient).max() > 0 for gradient in for_automatizer)
    assert not any(np.any(gradient) for gradient in for_chunker)


def test_the_gradient_reaches_the_weights_with_which_the_chunker_read_a_symbol_long_ago():
    import tensorflow as tf

    cell = random_model().layers[1].cell
    states = [RANDOM.normal(size=(BATCH, size)).astype(np.float32) for size in cell.state_size]
    c, p, v, a, _, z, e = states
    symbols = X[:, 0]  # They are expected: y is the same, and nothing is read.
    with tf.GradientTape() as tape:
        _, (new_c, *_) = cell(symbols, [c, p, v, a, symbols, z, e])
    gradients = tape.gradient(new_c, cell.chunker.trainable_variables)
    with tf.GradientTape() as tape:
        W, U, b = (weight.value for weight in cell.chunker.trainable_variables)
        expected_c = tf.tanh(tf.matmul(v, W) + tf.matmul(p, U) + b)
    np.testing.assert_allclose(new_c, expected_c, atol=1e-6)
    expected = tape.gradient(expected_c, [W, U, b])
    for gradient, other in zip(gradients, expected, strict=True):
        assert np.abs(gradient).max() > 0
        np.testing.assert_allclose(gradient, other, atol=1e-5)


def test_a_stream_is_read_in_parts():
    model = random_model()
    carrying = carry_states(model, BATCH)
    parts = [carrying(part).numpy() for part in np.split(X, [4, 7], axis=1)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), model(X), atol=1e-6)


def test_it_survives_its_keras_file(tmp_path):
    model = random_model()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(X), model(X))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": "adding"}, "--dataset=adding is not a stream of one-hot vectors; expected "),
        ({"layers": 2}, "--layers=2: a history compressor is one layer, without dropout"),
    ],
)
def test_what_it_cannot_do_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        Config(**{"dataset": "blocks", "model": "history_compressor"} | values)
