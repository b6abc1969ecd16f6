"""The Neural Turing machine, compared with its equations in NumPy, slot by slot."""

import keras
import numpy as np
import pytest

from models import FastRNN, NTMCell, trace
from models.ntm_cell import _EMPTY, _EPSILON

BATCH, STEPS, FEATURES, UNITS, SLOTS, WIDTH = 2, 6, 3, 5, 7, 4
CASES = {
    "lstm": {},
    "feed_forward": {"controller": "feed_forward"},
    "heads": {"read_heads": 2, "write_heads": 3},
}
every_case = pytest.mark.parametrize("options", CASES.values(), ids=CASES)
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(BATCH, STEPS, FEATURES))


def a_layer(options, slots=SLOTS, dtype="float64", **of_layer):
    """A layer with random weights, the same for all numbers of slots."""
    cell = NTMCell(UNITS, memory_slots=slots, memory_width=WIDTH, dtype=dtype, **options)
    layer = FastRNN(cell, dtype=dtype, return_sequences=True, return_state=True, **of_layer)
    layer.build(X.shape)
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(scale=0.8, size=w.shape) for w in layer.trainable_weights])
    return layer


def random_states(layer):
    """States of a memory in use: weightings with the sum 1."""
    random = np.random.default_rng(2)
    *others, memory, w = [random.normal(size=(BATCH, size)) for size in layer.cell.state_size]
    w = softmax(w.reshape(BATCH, -1, layer.cell.memory_slots)).reshape(w.shape)
    return [*others, memory, w]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def softmax(x):
    shares = np.exp(x - x.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def step_of_an_example(cell, weights, x, states):
    """The states after a step, from the equations in the docstring of the cell, in loops."""
    h_and_r, *c, memory, w = states
    h, r = h_and_r[: cell.units], h_and_r[cell.units :]
    a = x @ weights["kernel"] + r @ weights["read_kernel"] + weights["bias"]
    if cell.controller == "lstm":
        a_i, a_f, a_g, a_o = np.split(a + h @ weights["recurrent_kernel"], 4)
        c = [sigmoid(a_f) * c[0] + sigmoid(a_i) * np.tanh(a_g)]
        h = sigmoid(a_o) * np.tanh(c[0])
    else:
        h = np.tanh(a)
    parameters = list(h @ weights["head_kernel"] + weights["head_bias"])

    def take(count):
        return np.array([parameters.pop(0) for _ in range(count)])

    heads, width = cell.read_heads + cell.write_heads, cell.memory_width
    keys = [take(width) for _ in range(heads)]
    strengths, gates = (take(heads) for _ in "bq")
    shifts = [softmax(take(3)) for _ in range(heads)]
    sharpness = 1 + softplus(take(heads))
    erased = [sigmoid(take(width)) for _ in range(cell.write_heads)]
    added = [take(width) for _ in range(cell.write_heads)]
    assert not parameters

    memory, w = memory.reshape(cell.memory_slots, width), w.reshape(heads, -1)
    new_w = np.empty_like(w)
    for head in range(heads):
        k, q = keys[head], sigmoid(gates[head])
        cosines = [k @ m / np.sqrt((k @ k + _EPSILON) * (m @ m + _EPSILON)) for m in memory]
        w_g = q * softmax(softplus(strengths[head]) * np.array(cosines)) + (1 - q) * w[head]
        w_s = np.zeros(cell.memory_slots)
        for slot in range(cell.memory_slots):
            for number, shift in enumerate((-1, 0, 1)):
                w_s[slot] += shifts[head][number] * w_g[(slot - shift) % cell.memory_slots]
        powers = (w_s + _EPSILON) ** sharpness[head]
        new_w[head] = powers / powers.sum()
    new_memory = memory.copy()
    for slot in range(cell.memory_slots):
        for e, of_head in zip(erased, new_w[cell.read_heads :], strict=True):
            new_memory[slot] *= 1 - of_head[slot] * e
        for a, of_head in zip(added, new_w[cell.read_heads :], strict=True):
            new_memory[slot] += of_head[slot] * a
    read = [
        sum(of_head[slot] * new_memory[slot] for slot in range(cell.memory_slots))
        for of_head in new_w[: cell.read_heads]
    ]
    return [np.concatenate([h, *read]), *c, new_memory.ravel(), new_w.ravel()]


def by_the_equations(layer, xs, states):
    """The outputs `(batch, steps, size)` and the final states."""
    names = {w.name: w.numpy() for w in layer.cell.trainable_weights}
    outputs, final = [], []
    for example, x in enumerate(xs):
        of_example, history = [state[example] for state in states], []
        for x_t in x:
            of_example = step_of_an_example(layer.cell, names, x_t, of_example)
            history.append(of_example[0])
        outputs.append(history)
        final.append(of_example)
    return np.array(outputs), [np.stack(each) for each in zip(*final, strict=True)]


@every_case
def test_it_computes_its_equations(options):
    layer = a_layer(options)
    states = random_states(layer)
    outputs, *final = layer(X, initial_state=states)
    expected, expected_states = by_the_equations(layer, X, states)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-12)
    for state, of_equations in zip(final, expected_states, strict=True):
        np.testing.assert_allclose(state, of_equations, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["feed_forward", "heads"])
def test_compiled_it_computes_the_same_with_the_same_gradients(name):
    import tensorflow as tf

    layer = a_layer(CASES[name])
    states = [tf.constant(state) for state in random_states(layer)]
    direction = RANDOM.normal(size=(BATCH, STEPS, layer.cell.output_size))

    def loss():
        with tf.GradientTape() as tape:
            outputs, *_ = layer(tf.constant(X), initial_state=states)
            value = tf.reduce_sum(outputs * direction)
        return value, tape.gradient(value, [w.value for w in layer.trainable_weights])

    value, gradients = loss()  # Keras's loop.
    compiled_value, compiled = tf.function(loss, autograph=False)()
    np.testing.assert_allclose(compiled_value, value, rtol=1e-12)
    for gradient, other in zip(compiled, gradients, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=0, atol=1e-11)


@every_case
def test_its_gradients_are_those_of_finite_differences(options):
    import tensorflow as tf

    layer = a_layer(options)
    states = random_states(layer)
    direction = RANDOM.normal(size=(BATCH, STEPS, layer.cell.output_size))
    step = 1e-6
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(layer(X, initial_state=states)[0] * direction)
    gradients = tape.gradient(value, [w.value for w in layer.trainable_weights])
    for weight, gradient in zip(layer.trainable_weights, gradients, strict=True):
        before, towards = weight.numpy(), RANDOM.normal(size=weight.shape)
        values = []
        for sign in (1, -1):
            weight.assign(before + sign * step * towards)
            outputs, _ = by_the_equations(layer, X, states)
            values.append(np.sum(outputs * direction))
        weight.assign(before)
        expected = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * towards), expected, rtol=1e-5, atol=1e-6)


@every_case
def test_at_first_the_memory_is_empty_and_all_heads_are_at_slot_0(options):
    cell = a_layer(options).cell
    *others, memory, w = (np.asarray(state) for state in cell.get_initial_state(BATCH))
    assert [state.shape for state in (*others, memory, w)] == [
        (BATCH, size) for size in cell.state_size
    ]
    assert not any(state.any() for state in others)
    np.testing.assert_array_equal(memory, np.full_like(memory, _EMPTY))
    w = w.reshape(BATCH, -1, SLOTS)
    np.testing.assert_array_equal(w[..., 0], 1)
    np.testing.assert_array_equal(w[..., 1:], 0)


def test_the_number_of_slots_may_change_after_training():
    layer, larger = a_layer({}), a_layer({}, slots=3 * SLOTS)
    larger.set_weights(layer.get_weights())
    outputs, *_, w = larger(X)
    assert outputs.shape == (BATCH, STEPS, UNITS + WIDTH)
    assert w.shape == (BATCH, 2 * 3 * SLOTS)
    states = [np.asarray(state) for state in larger.cell.get_initial_state(BATCH)]
    expected, _ = by_the_equations(larger, X, states)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-12)


@every_case
def test_weightings_are_shares_of_the_slots(options):
    *_, w = a_layer(options)(3 * X)
    w = np.asarray(w).reshape(BATCH, -1, SLOTS)
    assert (w >= 0).all()
    np.testing.assert_allclose(w.sum(axis=-1), 1, rtol=1e-12)


@every_case
def test_it_survives_its_keras_file(options, tmp_path):
    layer = a_layer(options, dtype="float32")
    inputs = keras.Input((None, FEATURES))
    model = keras.Model(inputs, layer(inputs)[0])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[1].cell.get_config() == layer.cell.get_config()
    np.testing.assert_array_equal(loaded(X), model(X))


def test_a_trace_shows_the_memory_and_the_weightings_of_every_step():
    layer = a_layer({}, dtype="float32")
    inputs = keras.Input((None, FEATURES))
    model = keras.Model(inputs, keras.layers.Dense(3)(layer(inputs)[0]))
    traced = trace(model, X)
    assert traced["memory"].shape == (BATCH, STEPS, SLOTS * WIDTH)
    assert traced["weightings"].shape == (BATCH, STEPS, 2 * SLOTS)
    for step in (1, 3, STEPS):
        outputs, _, c, memory, w = layer(X[:, :step])
        last = {"hidden": outputs[:, -1], "cell": c, "memory": memory, "weightings": w}
        for name, expected in last.items():
            np.testing.assert_allclose(traced[name][:, step - 1], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory_slots": 0}, "NTMCell: received memory_slots=0; expected a positive integer"),
        ({"memory_width": 2.0}, "received memory_width=2.0; expected a positive integer"),
        ({"read_heads": True}, "received read_heads=True; expected a positive integer"),
        ({"write_heads": -1}, "received write_heads=-1; expected a positive integer"),
        ({"controller": "gru"}, "received controller='gru'; expected 'lstm' or 'feed_forward'"),
        ({"units": 0}, "received units=0; expected a positive integer"),
    ],
)
def test_sizes_and_names_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        NTMCell(**{"units": UNITS} | options)
