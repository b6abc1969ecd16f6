"""Every cell against its oracles and in every use that Keras allows, on every backend."""

import contextlib
import os

import keras
import numpy as np
import pytest

from models import BasicRNNCell, GRUCell, LSTM1997Cell, LSTMCell
from tests.models import equations
from tests.models.oracles import (
    BATCH,
    CASES,
    FEATURES,
    ORACLES,
    STEPS,
    UNITS,
    Case,
    deviation,
    finite_differences,
    keras_layer,
    numpy_equations,
    tensorflow_kernel,
)

# One cell of each class, with all its options.
RICHEST = (
    "irnn",
    "peephole_fgr_lstm",
    "peephole_cifg_lstm",
    "lstm_1997 (blocks of 2)",
    "gru1",
    "gru3",
)
# The difference allowed between two ways to compute the same in float64.
ROUNDING = ORACLES[numpy_equations]
every_cell = pytest.mark.parametrize("name", CASES)
every_kind = pytest.mark.parametrize("name", RICHEST)
# These tests take a second each on JAX, so a few cells stand for all there.
every_cell_on_tensorflow = pytest.mark.parametrize(
    "name", CASES if keras.backend.backend() == "tensorflow" else RICHEST
)


@pytest.fixture(autouse=True)
def no_gradients():
    """PyTorch converts tensors to NumPy arrays only if it does not record gradients."""
    with gradients(False):
        yield


def gradients(recorded):
    """A context in which PyTorch records gradients or not. Other backends do not need one."""
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.set_grad_enabled(recorded)


@pytest.fixture
def random():
    return np.random.default_rng(2)


@pytest.fixture
def xs(random):
    return random.normal(size=(BATCH, STEPS, FEATURES))


def an_rnn(name, dtype="float64", dropout=0.0, recurrent_dropout=0.0, **options):
    cell = CASES[name](UNITS, dropout=dropout, recurrent_dropout=recurrent_dropout, dtype=dtype)
    return keras.layers.RNN(cell, dtype=dtype, **options)


def randomize(layer, random):
    """Give every weight of a built layer random values, and return them."""
    weights = [random.normal(scale=0.7, size=w.shape) for w in layer.trainable_weights]
    for weight, value in zip(layer.trainable_weights, weights, strict=True):
        weight.assign(value)
    return weights


def zeros(cell, batch=BATCH):
    sizes = [cell.state_size] if isinstance(cell.state_size, int) else cell.state_size
    return [np.zeros((batch, size)) for size in sizes]


def hidden_states(cell, weights, xs):
    """The hidden states by the equations, from zero states: `(batch, steps, units)`."""
    history = equations.run(cell, weights, np.moveaxis(xs, 1, 0), zeros(cell, len(xs)))
    return np.stack([states[0] for states in history], axis=1)


# The cells that each oracle must compare, so that it cannot skip one. The first two compare all.
COMPARED_BY = {
    keras_layer: {"basic_rnn", "irnn", "custom_lstm", "gru", "gru1", "gru2", "gru3"},
    tensorflow_kernel: {
        *("custom_lstm", "lstm_1997", "lstm_1997 (blocks of 2)", "peephole_lstm"),
        *(f"{variant}_lstm" for variant in ("cifg", "nig", "nfg", "nog", "fgr")),
        *(f"peephole_{variant}_lstm" for variant in ("cifg", "nig", "nfg", "nog", "fgr")),
        *("gru", "gru1", "gru2", "gru3"),
    },
}


@every_cell
@pytest.mark.parametrize(
    "oracle",
    [numpy_equations, finite_differences, keras_layer, tensorflow_kernel],
    ids=lambda oracle: oracle.__name__,
)
def test_a_cell_equals_its_oracle(name, oracle):
    if oracle is tensorflow_kernel and keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's kernels need Keras's TensorFlow backend")
    deviation = oracle(name)
    if name in COMPARED_BY.get(oracle, CASES):
        assert deviation <= ORACLES[oracle]
    else:
        assert deviation is None


@pytest.mark.skipif("KERAS_BACKEND" not in os.environ, reason="no backend was requested")
def test_keras_runs_on_the_requested_backend():
    assert keras.backend.backend() == os.environ["KERAS_BACKEND"]


@pytest.mark.parametrize(
    ("name", "layer", "options"),
    [
        ("basic_rnn", keras.layers.SimpleRNN, {}),
        ("irnn", keras.layers.SimpleRNN, {"activation": "relu"}),
        ("custom_lstm", keras.layers.LSTM, {}),
        ("gru", keras.layers.GRU, {"reset_after": False}),
    ],
)
def test_on_a_masked_sequence_a_cell_equals_kerass_layer(name, layer, options, xs, random):
    # On JAX Keras's own layers compute partly in float32.
    dtype = "float64" if keras.backend.backend() == "tensorflow" else "float32"
    ours = an_rnn(name, dtype, return_sequences=True, go_backwards=True)
    theirs = layer(UNITS, return_sequences=True, go_backwards=True, dtype=dtype, **options)
    mask = np.array([[True, False, True], [False, True, True]])
    ours(xs)
    theirs(xs)
    weights = randomize(ours, random)
    for weight, value in zip(theirs.trainable_weights, weights, strict=True):
        weight.assign(value)
    atol = ORACLES[keras_layer]
    np.testing.assert_allclose(ours(xs, mask=mask), theirs(xs, mask=mask), rtol=0, atol=atol)


@every_cell_on_tensorflow
def test_every_weight_changes_every_unit(name):
    case = Case(name)
    *_, before = case.history()
    for weight, value in zip(case.cell.trainable_weights, case.weights, strict=True):
        weight.assign(value + 0.3)
        *_, after = case.history()
        weight.assign(value)
        change = np.abs(after[0] - before[0]).max(axis=0)
        alive = np.any(before[0] > 0, axis=0) if name == "irnn" else np.full(UNITS, True)
        assert np.all(change[alive] > 1e-6), weight.name


@every_cell_on_tensorflow
def test_return_sequences_returns_the_hidden_state_of_each_step(name, xs, random):
    layer = an_rnn(name, return_sequences=True)
    layer(xs)
    weights = randomize(layer, random)
    expected = hidden_states(layer.cell, weights, xs)
    np.testing.assert_allclose(layer(xs), expected, rtol=0, atol=ROUNDING)


@every_cell_on_tensorflow
def test_values_survive_bidirectional_which_rebuilds_the_cell_from_its_config(name, xs, random):
    layer = keras.layers.Bidirectional(an_rnn(name), dtype="float64")
    layer(xs)
    weights = randomize(layer, random)
    half = len(weights) // 2
    up = hidden_states(layer.forward_layer.cell, weights[:half], xs)[:, -1]
    down = hidden_states(layer.backward_layer.cell, weights[half:], xs[:, ::-1])[:, -1]
    np.testing.assert_allclose(layer(xs), np.concatenate([up, down], -1), rtol=0, atol=ROUNDING)


@every_cell_on_tensorflow
def test_masked_steps_are_skipped(name, xs, random):
    layer = an_rnn(name)
    mask = np.array([[True, False, True], [False, True, True]])
    layer(xs)
    weights = randomize(layer, random)
    expected = [
        hidden_states(layer.cell, weights, image[None, steps])[0, -1]
        for image, steps in zip(xs, mask, strict=True)
    ]
    np.testing.assert_allclose(layer(xs, mask=mask), expected, rtol=0, atol=ROUNDING)


@every_kind
def test_a_stateful_layer_continues_from_its_last_state(name, xs, random):
    layer = an_rnn(name, stateful=True)
    layer(xs[:, :1])
    weights = randomize(layer, random)
    layer.reset_state()
    layer(xs[:, :1])
    expected = hidden_states(layer.cell, weights, xs)[:, -1]
    np.testing.assert_allclose(layer(xs[:, 1:]), expected, rtol=0, atol=ROUNDING)


@every_kind
def test_cells_and_layers_can_be_stacked(name, xs, random):
    cells = [CASES[name](UNITS, dtype="float64") for _ in "ab"]
    stack = keras.layers.StackedRNNCells(cells, dtype="float64")
    pair = keras.layers.RNN(stack, dtype="float64")
    pair(xs)
    weights = randomize(pair, random)
    half = len(weights) // 2
    first, second = cells
    between = hidden_states(first, weights[:half], xs)
    expected = hidden_states(second, weights[half:], between)[:, -1]
    np.testing.assert_allclose(pair(xs), expected, rtol=0, atol=ROUNDING)

    layers = keras.Sequential([an_rnn(name, return_sequences=True), an_rnn(name)])
    layers.build(xs.shape)
    for weight, value in zip(layers.trainable_weights, weights, strict=True):
        weight.assign(value)
    np.testing.assert_allclose(layers(xs), expected, rtol=0, atol=ROUNDING)


@every_cell_on_tensorflow
def test_dropout_masks_the_inputs_and_the_hidden_state_in_the_products_only(name, random):
    case = Case(name, dropout=0.4, recurrent_dropout=0.6)
    x_mask = keras.ops.convert_to_numpy(case.cell.get_dropout_mask(case.xs[0]))
    h_mask = keras.ops.convert_to_numpy(case.cell.get_recurrent_dropout_mask(case.states[0]))
    assert set(np.unique(x_mask.astype("float32"))) <= {0, np.float32(1 / 0.6)}
    assert set(np.unique(h_mask.astype("float32"))) <= {0, np.float32(1 / 0.4)}
    expected = equations.run(case.cell, case.weights, case.xs, case.states, x_mask, h_mask)
    assert deviation(case.history(training=True), expected) <= ROUNDING
    without = equations.run(case.cell, case.weights, case.xs, case.states)
    assert deviation(case.history(training=False), without) <= ROUNDING


@pytest.mark.parametrize("which", ["dropout", "recurrent_dropout"])
def test_all_steps_of_a_sequence_have_the_same_mask_and_each_call_another(which):
    layer = an_rnn("irnn", **{which: 0.5}, return_sequences=True)
    xs = np.ones((BATCH, 4, UNITS))
    layer(xs)
    # The output is either the input of each step or the initial state.
    inputs = which == "dropout"
    layer.cell.kernel.assign(np.eye(UNITS) * inputs)
    layer.cell.recurrent_kernel.assign(np.eye(UNITS) * (not inputs))

    def draw():
        states = keras.ops.ones((BATCH, UNITS), "float64")
        outputs = layer(xs, initial_state=[states], training=True)
        return keras.ops.convert_to_numpy(outputs) > 0  # (batch, steps, units)

    first, second = draw(), draw()
    for step in range(4):
        np.testing.assert_array_equal(first[:, step], first[:, 0])
    assert 0 < first.mean() < 1
    assert not np.array_equal(first, second)
    assert not np.array_equal(first[0], first[1])


@every_cell_on_tensorflow
@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-6), ("bfloat16", 0.02)])
def test_lower_precision_differs_by_rounding_only(name, dtype, atol, xs, random):
    layer, exact = an_rnn(name, dtype), an_rnn(name)
    layer(xs)
    exact(xs)
    for weight, value in zip(layer.trainable_weights, randomize(exact, random), strict=True):
        weight.assign(value)
    output = layer(xs)
    assert keras.backend.standardize_dtype(output.dtype) == dtype
    output = keras.ops.convert_to_numpy(keras.ops.cast(output, "float64"))
    expected = keras.ops.convert_to_numpy(exact(xs))
    difference = np.abs(output - expected)
    assert difference.max() < atol * max(1, np.abs(expected).max())
    assert difference.max() > 0


@every_kind
def test_mixed_precision_keeps_float32_weights(name, xs):
    layer = an_rnn(name, "mixed_bfloat16")
    output = layer(xs)
    assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
    assert {w.dtype for w in layer.trainable_weights} == {"float32"}


@every_cell
def test_all_weights_learn_in_a_step_of_training(name, xs, random):
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), an_rnn(name, "float32")])
    before = randomize(model, random)
    model.compile("sgd", "mse", run_eagerly=True)
    with gradients(True):
        model.train_on_batch(xs, random.normal(size=(BATCH, UNITS)))
    for weight, value in zip(model.trainable_weights, before, strict=True):
        learned = keras.ops.convert_to_numpy(weight)
        assert np.all(np.isfinite(learned))
        assert not np.array_equal(learned, value.astype("float32")), weight.name


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch does not compile by XLA")
@every_kind
def test_compiled_by_xla_a_model_predicts_the_same_and_learns(name, xs, random):
    inputs = keras.Input((STEPS, FEATURES))
    outputs = an_rnn(name, "float32", dropout=0.2, recurrent_dropout=0.2)(inputs)
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse", jit_compile=True)
    before = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    np.testing.assert_allclose(
        model.predict(xs, verbose=0), keras.ops.convert_to_numpy(model(xs)), rtol=0, atol=1e-6
    )
    model.train_on_batch(xs, random.normal(size=(BATCH, UNITS)))
    for weight, value in zip(model.trainable_weights, before, strict=True):
        assert np.all(np.isfinite(weight))
        assert not np.array_equal(weight, value), weight.name


@every_kind
def test_a_cell_survives_its_keras_file(name, xs, random, tmp_path):
    inputs = keras.Input((STEPS, FEATURES))
    layer = an_rnn(name, "float32", dropout=0.1, recurrent_dropout=0.3)
    model = keras.Model(inputs, layer(inputs))
    randomize(model, random)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    cell = loaded.layers[-1].cell
    assert (cell.dropout, cell.recurrent_dropout) == (0.1, 0.3)
    np.testing.assert_array_equal(loaded(xs), model(xs))


def test_the_seed_of_the_masks_survives_the_config():
    config = GRUCell(UNITS, dropout=0.5, seed=3).get_config()
    masks = [
        keras.ops.convert_to_numpy(GRUCell.from_config(config).get_dropout_mask(np.ones((2, 50))))
        for _ in "ab"
    ]
    np.testing.assert_array_equal(masks[0], masks[1])


@every_cell
def test_the_initial_state_is_zero_in_the_cells_dtype(name):
    cell = CASES[name](UNITS, dtype="bfloat16")
    states, expected = cell.get_initial_state(BATCH), zeros(cell)
    for state, zero in zip(states, expected, strict=True):
        assert keras.backend.standardize_dtype(state.dtype) == "bfloat16"
        np.testing.assert_array_equal(keras.ops.cast(state, "float32"), zero)


@pytest.mark.parametrize("use_peephole", [False, True])
@pytest.mark.parametrize("variant", [None, *LSTMCell.variants])
def test_an_lstm_starts_with_a_forget_bias_of_1_and_peepholes_of_0(use_peephole, variant):
    cell = LSTMCell(UNITS, use_peephole, variant)
    cell.build((BATCH, FEATURES))
    i, f, c, o = np.repeat([[0], [1], [0], [0]], UNITS, axis=1)
    expected = {
        "cifg": [i - 1, c, o],  # f = 1 - sigmoid(-1) = sigmoid(1)
        "nig": [f, c, o],
        "nfg": [i, c, o],
        "nog": [i, f, c],
    }.get(variant, [i, f, c, o])
    np.testing.assert_array_equal(cell.bias, np.concatenate(expected))
    for weight in cell.trainable_weights:
        if weight.name.startswith("peephole"):
            np.testing.assert_array_equal(weight, np.zeros(UNITS))
    names = [weight.name for weight in cell.trainable_weights]
    assert any(name.startswith("peephole") for name in names) == use_peephole


def test_an_irnn_starts_as_the_identity():
    cell = BasicRNNCell(UNITS, "irnn")
    cell.build((BATCH, 500))
    np.testing.assert_array_equal(cell.recurrent_kernel, np.eye(UNITS))
    np.testing.assert_array_equal(cell.bias, np.zeros(UNITS))
    assert 0.0009 < keras.ops.convert_to_numpy(cell.kernel).std() < 0.0011


def test_the_cell_of_1997_with_blocks_of_1_is_the_lstm_without_forget_gate_and_peepholes():
    ours, nfg = Case("lstm_1997"), Case("nfg_lstm")
    assert [w.shape for w in ours.weights] == [w.shape for w in nfg.weights]
    assert deviation(ours.history(), nfg.history()) == 0


@pytest.mark.parametrize(
    ("cell", "rows", "pixels"),
    [("gru", 38_700, 30_600), ("gru1", 33_100, 30_400), ("gru2", 32_900, 30_200),
     ("gru3", 13_100, 10_400)],
)  # fmt: skip
def test_the_grus_have_the_papers_parameter_counts_at_100_units(cell, rows, pixels):
    for features, count in [(28, rows), (1, pixels)]:
        layer = CASES[cell](100)
        layer.build((BATCH, features))
        assert layer.count_params() == count


def test_coupled_gates_save_a_quarter_of_the_weights():
    plain, coupled = LSTMCell(UNITS), LSTMCell(UNITS, variant="cifg")
    plain.build((BATCH, FEATURES))
    coupled.build((BATCH, FEATURES))
    assert 4 * coupled.count_params() == 3 * plain.count_params()


def test_units_may_be_an_integer_of_numpy():
    assert type(GRUCell(np.int64(8)).get_config()["units"]) is int


@pytest.mark.parametrize(
    ("make", "received", "expected"),
    [
        (lambda: LSTMCell(0), "LSTMCell: received units=0", "a positive integer"),
        (lambda: GRUCell(-1), "GRUCell: received units=-1", "a positive integer"),
        (lambda: BasicRNNCell(2.0), "BasicRNNCell: received units=2.0", "a positive integer"),
        (lambda: LSTMCell(None), "LSTMCell: received units=None", "a positive integer"),
        (lambda: GRUCell(8, "gru4"), "GRUCell: received variant='gru4'", "None, gru1, gru2, gru3"),
        (lambda: LSTM1997Cell(8, block_size=3), "received block_size=3", "divides units=8"),
        (lambda: LSTM1997Cell(8, block_size=0), "received block_size=0", "a positive integer"),
        (lambda: LSTMCell(8, "cifg"), "LSTMCell: received use_peephole='cifg'", "True or False"),
        (lambda: GRUCell(True), "GRUCell: received units=True", "a positive integer"),
        (lambda: GRUCell(8, dropout="0.1"), "received dropout='0.1'", "a fraction"),
        (lambda: LSTMCell(8, dropout=1), "received dropout=1", "at least 0, below 1"),
        (lambda: GRUCell(8, recurrent_dropout=-0.1), "received recurrent_dropout=-0.1", "at least"),
    ],
)
def test_a_bad_argument_is_refused_with_what_was_received_and_expected(make, received, expected):
    with pytest.raises(ValueError, match=r"received .* expected") as error:
        make()
    assert received in str(error.value)
    assert expected in str(error.value)
