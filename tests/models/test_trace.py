"""`trace` compared with the network itself and with the cells' equations in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import CELLS, run_with_activations, trace
from tests.conftest import random_model
from tests.models import equations

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype("float32")
NETWORKS = [
    {"model": "lstm"},
    {"model": "gru", "layers": 2, "dropout": 0.3, "rotation": 9.0},
    {"model": "peephole_fgr_lstm", "scan": "rows_and_columns"},
    {"model": "bidirectional_lstm"},
    {"model": "bidirectional_gru", "layers": 2, "scan": "columns", "permute_seed": 3},
    {"model": "bidirectional_basic_rnn", "layers": 2, "head": "last"},
    {"model": "bidirectional_lstm", "layers": 2, "head": "backward"},
]


def softmax(logits):
    shares = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def traced(model, images=IMAGES):
    return {name: np.asarray(value) for name, value in trace(model, images).items()}


@pytest.mark.parametrize("values", NETWORKS, ids=lambda values: "-".join(map(str, values.values())))
def test_the_probabilities_are_those_of_a_sequence_that_ends_there(values):
    model = random_model(**values)
    probabilities = softmax(traced(model)["outputs"])
    assert probabilities.shape == (3, 28, 7)
    before = [layer.name for layer in model.layers].index("scan")
    sequences = IMAGES
    for layer in model.layers[1 : before + 1]:
        sequences = layer(sequences)
    for steps in (1, 2, 13, 28):
        x = sequences[:, :steps]
        for layer in model.layers[before + 1 :]:
            at_last_row = layer.name == "logits" and values.get("head") == "last"
            x = layer(x[:, -1] if at_last_row else x)
        np.testing.assert_allclose(probabilities[:, steps - 1], softmax(x), rtol=0, atol=2e-6)
    np.testing.assert_allclose(probabilities[:, -1], softmax(model(IMAGES)), rtol=0, atol=2e-6)


def test_trace_computes_in_the_precision_of_the_model():
    model = random_model(compute_dtype="bfloat16", layers=2, model="bidirectional_gru")
    found = traced(model)
    assert str(found["forward_1_hidden"].dtype) == "bfloat16"
    np.testing.assert_allclose(found["outputs"][:, -1], model(IMAGES), rtol=0, atol=0.1)


def equations_of(model, backward=False):
    """States of a model with one layer after each step, `(batch, steps, units)`, from NumPy."""
    layer = model.layers[-2]
    if hasattr(layer, "forward_layer"):
        layer = layer.backward_layer if backward else layer.forward_layer
    cell = layer.equations
    if not cell.built:
        cell.build((3, 28))
    weights = [weight.numpy().astype("float64") for weight in layer.trainable_weights]
    sizes = cell.state_size if isinstance(cell.state_size, list) else [cell.state_size]
    xs = list(IMAGES.swapaxes(0, 1).astype("float64") / 255)
    xs = xs[::-1] if backward else xs
    history = equations.run(cell, weights, xs, [np.zeros((3, size)) for size in sizes])
    return [np.stack(states, axis=1) for states in zip(*history, strict=True)]


# The quick tests use one cell of each class, the slow tests all cells.
FEW = ["basic_rnn", "lstm_1997", "lstm", "peephole_cifg_lstm", "gru3"]
MANY = [pytest.param(name, marks=pytest.mark.slow) for name in CELLS if name not in FEW]


@pytest.mark.parametrize("name", [*FEW, *MANY])
def test_hidden_and_cell_states_are_those_of_the_equations(name):
    model = random_model(model=name)
    found = traced(model)
    gates = {"input_gate", "forget_gate", "output_gate", "candidate"}
    if name in ("fully_recurrent", "basic_rnn", "irnn"):
        gates = set()
    if name.startswith("gru"):
        gates = {"update_gate", "reset_gate", "candidate"}
    without = {"nig": "input_gate", "nfg": "forget_gate", "nog": "output_gate"}
    lacks = {gate for variant, gate in without.items() if variant in name}
    lacks |= {"forget_gate"} if name == "lstm_1997" else set()
    states = {"hidden", "cell"} if "lstm" in name else {"hidden"}
    assert set(found) == {"outputs"} | states | (gates - lacks)
    for quantity, expected in zip(("hidden", "cell"), equations_of(model), strict=False):
        np.testing.assert_allclose(found[quantity], expected, rtol=1e-4, atol=1e-4)


def test_states_of_a_backward_direction_stand_at_the_row_it_has_just_read():
    model = random_model(model="bidirectional_lstm")
    found = traced(model)
    for prefix, backward in [("forward_1", False), ("backward_1", True)]:
        hidden, cell = equations_of(model, backward)
        order = slice(None, None, -1 if backward else 1)
        np.testing.assert_allclose(found[f"{prefix}_hidden"][:, order], hidden, atol=1e-5)
        np.testing.assert_allclose(found[f"{prefix}_cell"][:, order], cell, atol=1e-5)


def before(states):
    """The states at the start of each step, from the states at its end."""
    return np.concatenate([np.zeros_like(states[:, :1]), states[:, :-1]], axis=1)


def test_the_gates_of_an_lstm_are_those_of_the_equations():
    model = random_model(model="peephole_lstm")
    found, (h, c) = traced(model), equations_of(model)
    w = {weight.name: weight.numpy() for weight in model.layers[-2].trainable_weights}
    z = IMAGES / 255 @ w["kernel"] + before(h) @ w["recurrent_kernel"] + w["bias"]
    z_i, z_f, z_g, z_o = np.split(z, 4, axis=-1)
    expected = {
        "input_gate": equations.sigmoid(z_i + w["peephole_i"] * before(c)),
        "forget_gate": equations.sigmoid(z_f + w["peephole_f"] * before(c)),
        "output_gate": equations.sigmoid(z_o + w["peephole_o"] * c),
        "candidate": np.tanh(z_g),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5)


def test_the_coupled_gates_add_up_to_one():
    found = traced(random_model(model="cifg_lstm"))
    np.testing.assert_allclose(found["input_gate"] + found["forget_gate"], 1, rtol=0, atol=1e-6)


def test_the_gates_of_a_gru_are_those_of_the_equations():
    model = random_model(model="gru")
    found, (h,) = traced(model), equations_of(model)
    W, U, b = (weight.numpy() for weight in model.layers[-2].trainable_weights)
    x, h = IMAGES / 255, before(h)
    (W_z, W_r, W_h), (U_z, U_r, U_h), (b_z, b_r, b_h) = (np.split(w, 3, axis=-1) for w in (W, U, b))
    r = equations.sigmoid(x @ W_r + h @ U_r + b_r)
    expected = {
        "update_gate": equations.sigmoid(x @ W_z + h @ U_z + b_z),
        "reset_gate": r,
        "candidate": np.tanh(x @ W_h + (r * h) @ U_h + b_h),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5)


def test_cells_in_a_block_have_the_same_gate():
    found = traced(random_model(model="lstm_1997", block_size=3))
    gate = found["input_gate"]
    assert gate.shape == (3, 28, 6)
    np.testing.assert_array_equal(gate[..., :1], gate[..., 1:2])
    assert np.abs(gate[..., 2] - gate[..., 3]).min() > 0


@pytest.mark.parametrize("values", NETWORKS, ids=lambda values: "-".join(map(str, values.values())))
def test_run_with_activations_gives_the_logits_of_the_model(values):
    model = random_model(**values)
    np.testing.assert_allclose(
        run_with_activations(model, IMAGES)["outputs"], model(IMAGES), rtol=0, atol=1e-5
    )


def test_intercept_replaces_a_gate():
    model = random_model(model="bidirectional_lstm", layers=2)

    def intercept(name, value):
        return keras.ops.ones_like(value) if name == "backward_2_forget_gate" else value

    # The other network has the same forget gate, open by its bias.
    found = run_with_activations(model, IMAGES, intercept)
    assert np.min(found["backward_2_forget_gate"]) == 1
    cell = model.layers[-2].backward_layer.cell
    kernel, recurrent_kernel, bias = (w.numpy() for w in cell.trainable_weights)
    bias[6:12], kernel[:, 6:12], recurrent_kernel[:, 6:12] = 50, 0, 0
    cell.set_weights([kernel, recurrent_kernel, bias])
    np.testing.assert_allclose(found["outputs"], model(IMAGES), rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        found["outputs"], run_with_activations(model, IMAGES)["outputs"], atol=1e-5
    )


# One cell of each kind, with several directions and layers.
PERTURBED = [
    {"model": "basic_rnn"},
    pytest.param({"model": "lstm_1997", "block_size": 3}, marks=pytest.mark.slow),
    pytest.param({"model": "peephole_lstm", "layers": 2}, marks=pytest.mark.slow),
    pytest.param(
        {"model": "bidirectional_gru", "scan": "rows_and_columns"}, marks=pytest.mark.slow
    ),
]


@pytest.fixture
def float64():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("values", PERTURBED)
def test_the_gradients_of_perturbations_are_the_slopes_of_the_states(values, float64):
    model = random_model(**values)
    random = np.random.default_rng(2)
    clean = run_with_activations(model, IMAGES)
    perturbations = {name: np.zeros(clean[name].shape) for name in clean if name.endswith("hidden")}
    perturbations["inputs"] = np.zeros((3, 28, model.get_layer("scan").output.shape[-1]))
    # The hidden states are float64. The logits are float32, too coarse for slopes.
    weights = {name: random.normal(size=zeros.shape) for name, zeros in perturbations.items()}
    del weights["inputs"]

    def measure(perturbations):
        found = run_with_activations(model, IMAGES, perturbations=perturbations)
        return sum(tf.reduce_sum(found[name] * values) for name, values in weights.items())

    perturbations = {name: tf.constant(zeros) for name, zeros in perturbations.items()}
    with tf.GradientTape() as tape:
        tape.watch(perturbations)
        measured = measure(perturbations)
    gradients = tape.gradient(measured, perturbations)
    for name, gradient in gradients.items():
        assert gradient.shape == perturbations[name].shape
        for _ in range(3):
            index = tuple(random.integers(gradient.shape))
            perturbation = np.zeros(gradient.shape)
            perturbation[index] = 1e-5
            slope = (
                measure({**perturbations, name: perturbation})
                - measure({**perturbations, name: -perturbation})
            ) / 2e-5
            np.testing.assert_allclose(gradient[index], slope, rtol=1e-5, atol=1e-8)
