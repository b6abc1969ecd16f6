import keras
import numpy as np
import pytest
import tensorflow as tf

from models import LSTMCell

BATCH, STEPS, FEATURES, UNITS = 2, 3, 5, 7


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(x, h, c, weights):
    """The equations of `LSTMCell`'s docstring, gate by gate, in NumPy."""
    W, U, b, *p = weights
    W_i, W_f, W_c, W_o = np.split(W, 4, axis=1)
    U_i, U_f, U_c, U_o = np.split(U, 4, axis=1)
    b_i, b_f, b_c, b_o = np.split(b, 4)
    p_i, p_f, p_o = p or (0, 0, 0)
    i = sigmoid(x @ W_i + h @ U_i + p_i * c + b_i)
    f = sigmoid(x @ W_f + h @ U_f + p_f * c + b_f)
    g = np.tanh(x @ W_c + h @ U_c + b_c)
    c = f * c + i * g
    o = sigmoid(x @ W_o + h @ U_o + p_o * c + b_o)
    return o * np.tanh(c), c


@pytest.fixture
def random():
    return np.random.default_rng(0)


def random_weights(layer, random):
    """Give every weight of a built layer random values, and return them."""
    weights = [random.normal(scale=0.7, size=weight.shape) for weight in layer.weights]
    layer.set_weights(weights)
    return weights


def random_cell(random, use_peephole, dtype="float64"):
    cell = LSTMCell(UNITS, use_peephole=use_peephole, dtype=dtype)
    cell.build((BATCH, FEATURES))
    return cell, random_weights(cell, random)


def random_sequence(random):
    xs = random.normal(size=(STEPS, BATCH, FEATURES))
    h, c = random.normal(size=(2, BATCH, UNITS))
    return xs, h, c


@pytest.mark.parametrize("use_peephole", [False, True])
def test_several_steps_from_a_nonzero_state_equal_the_equations_in_float64(random, use_peephole):
    cell, weights = random_cell(random, use_peephole)
    xs, h, c = random_sequence(random)
    states = [h, c]
    for x in xs:
        output, states = cell(x, states)
        h, c = lstm_step(x, h, c, weights)
        np.testing.assert_allclose(output, h, rtol=0, atol=1e-12)
        np.testing.assert_allclose(states[0], h, rtol=0, atol=1e-12)
        np.testing.assert_allclose(states[1], c, rtol=0, atol=1e-12)


def test_without_peepholes_it_equals_the_keras_cell_with_the_same_weights_in_the_same_order(random):
    cell, weights = random_cell(random, use_peephole=False)
    keras_cell = keras.layers.LSTMCell(UNITS, dtype="float64")
    keras_cell.build((BATCH, FEATURES))
    assert [w.name for w in cell.weights] == [w.name for w in keras_cell.weights]
    keras_cell.set_weights(weights)
    xs, h, c = random_sequence(random)
    ours = theirs = [h, c]
    for x in xs:
        _, ours = cell(x, ours)
        _, theirs = keras_cell(x, theirs)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=0, atol=1e-14)


def test_with_peepholes_it_equals_tensorflow_1s_own_kernel(random):
    cell, (W, U, b, p_i, p_f, p_o) = random_cell(random, use_peephole=True, dtype="float32")
    xs, h, c = (array.astype(np.float32) for array in random_sequence(random))
    # The kernel packs [x, h] on top of each other and its gates in the order i, c, f, o.
    packed = [np.split(w, 4, axis=-1) for w in (np.concatenate([W, U]), b)]
    w, bias = (np.concatenate([i, g, f, o], axis=-1) for i, f, g, o in packed)
    as_float32 = [np.asarray(array, np.float32) for array in (w, p_i, p_f, p_o, bias)]
    _, cs, _, _, _, _, hs = tf.raw_ops.BlockLSTM(
        seq_len_max=STEPS, x=xs, cs_prev=c, h_prev=h, w=as_float32[0], wci=as_float32[1],
        wcf=as_float32[2], wco=as_float32[3], b=as_float32[4], forget_bias=0.0, cell_clip=-1.0,
        use_peephole=True,
    )  # fmt: skip
    states = [h, c]
    for step in range(STEPS):
        output, states = cell(xs[step], states)
        np.testing.assert_allclose(output, hs[step], rtol=0, atol=1e-6)
        np.testing.assert_allclose(states[1], cs[step], rtol=0, atol=1e-6)


@pytest.mark.parametrize("gate", ["peephole_i", "peephole_f", "peephole_o"])
def test_every_peephole_matters(random, gate):
    cell, _ = random_cell(random, use_peephole=True)
    xs, h, c = random_sequence(random)
    before, _ = cell(xs[0], [h, c])
    getattr(cell, gate).assign_add(np.full(UNITS, 0.1))
    after, _ = cell(xs[0], [h, c])
    assert np.all(np.abs(np.subtract(after, before)) > 1e-6)


def test_a_new_peephole_cell_is_a_plain_lstm_with_forget_bias_1(random):
    plain, peephole = LSTMCell(UNITS), LSTMCell(UNITS, use_peephole=True)
    plain.build((BATCH, FEATURES))
    peephole.build((BATCH, FEATURES))
    peephole.set_weights([*plain.get_weights(), *peephole.get_weights()[3:]])
    xs, h, c = (array.astype(np.float32) for array in random_sequence(random))
    np.testing.assert_array_equal(peephole(xs[0], [h, c])[0], plain(xs[0], [h, c])[0])
    expected_bias = np.repeat([0, 1, 0, 0], UNITS)
    np.testing.assert_array_equal(peephole.bias, expected_bias)


def test_the_state_before_the_first_row_is_zero(random):
    cell, weights = random_cell(random, use_peephole=True)
    x = random.normal(size=(BATCH, 1, FEATURES))
    h, _ = lstm_step(x[:, 0], np.zeros((BATCH, UNITS)), np.zeros((BATCH, UNITS)), weights)
    output = keras.layers.RNN(cell, dtype="float64")(x)
    np.testing.assert_allclose(output, h, rtol=0, atol=1e-12)


@pytest.mark.parametrize("use_peephole", [False, True])
def test_gradients_of_inputs_states_and_weights_equal_finite_differences(random, use_peephole):
    cell, _ = random_cell(random, use_peephole)
    xs, h, c = random_sequence(random)
    projection = random.normal(size=(BATCH, UNITS))
    variables = [tf.Variable(xs), tf.Variable(h), tf.Variable(c)]
    variables += [weight.value for weight in cell.weights]

    def loss():
        states = [variables[1], variables[2]]
        for step in range(STEPS):
            output, states = cell(variables[0][step], states)
        return tf.reduce_sum(output * projection) + tf.reduce_sum(states[1] ** 2)

    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, variables)
    step = 1e-6
    for variable, gradient in zip(variables, gradients, strict=True):
        direction = random.normal(size=variable.shape)
        variable.assign_add(step * direction)
        above = loss()
        variable.assign_sub(2 * step * direction)
        below = loss()
        variable.assign_add(step * direction)
        slope = (above - below) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-6)


@pytest.mark.parametrize("use_peephole", [False, True])
def test_values_survive_bidirectional_which_rebuilds_the_cell_from_its_config(random, use_peephole):
    layer = keras.layers.Bidirectional(
        keras.layers.RNN(
            LSTMCell(UNITS, use_peephole=use_peephole, dtype="float64"), dtype="float64"
        ),
        dtype="float64",
    )
    x = random.normal(size=(BATCH, STEPS, FEATURES))
    layer(x)
    weights = random_weights(layer, random)
    half = len(weights) // 2
    expected = []
    for half_weights, rows in [
        (weights[:half], range(STEPS)),
        (weights[half:], range(STEPS)[::-1]),
    ]:
        h = c = np.zeros((BATCH, UNITS))
        for row in rows:
            h, c = lstm_step(x[:, row], h, c, half_weights)
        expected.append(h)
    np.testing.assert_allclose(layer(x), np.concatenate(expected, axis=1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("units", [0, -1, 2.0, None])
def test_a_bad_size_is_refused(units):
    with pytest.raises(ValueError, match=f"units={units}; expected a positive integer"):
        LSTMCell(units)
