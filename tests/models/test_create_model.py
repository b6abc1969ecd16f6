import dataclasses

import keras
import numpy as np
import pytest

import models
from configs import Config
from models import (
    BasicRNNCell,
    FullyRecurrentCell,
    GRUCell,
    LSTM1997Cell,
    LSTMCell,
    create_model,
)
from tests.conftest import MNIST, random_model

# The weights of one gate or candidate of 128 units that reads rows, and of one peephole.
GATE, PEEPHOLE = 28 * 128 + 128 * 128 + 128, 128
CELLS = {
    "fully_recurrent": GATE,
    "basic_rnn": GATE,
    "irnn": GATE,
    "lstm_1997": 3 * GATE,
    "lstm": 4 * GATE,
    "custom_lstm": 4 * GATE,
    "cifg_lstm": 3 * GATE,
    "nig_lstm": 3 * GATE,
    "nfg_lstm": 3 * GATE,
    "nog_lstm": 3 * GATE,
    "niaf_lstm": 4 * GATE,
    "noaf_lstm": 4 * GATE,
    "fgr_lstm": 4 * GATE + 9 * 128 * 128,
    "peephole_lstm": 4 * GATE + 3 * PEEPHOLE,
    "peephole_cifg_lstm": 3 * GATE + 2 * PEEPHOLE,
    "peephole_nig_lstm": 3 * GATE + 2 * PEEPHOLE,
    "peephole_nfg_lstm": 3 * GATE + 2 * PEEPHOLE,
    "peephole_nog_lstm": 3 * GATE + 2 * PEEPHOLE,
    "peephole_niaf_lstm": 4 * GATE + 3 * PEEPHOLE,
    "peephole_noaf_lstm": 4 * GATE + 3 * PEEPHOLE,
    "peephole_fgr_lstm": 4 * GATE + 3 * PEEPHOLE + 9 * 128 * 128,
    "gru": 3 * GATE,
    "gru1": 3 * GATE - 2 * 28 * 128,
    "gru2": 3 * GATE - 2 * 28 * 128 - 2 * 128,
    "gru3": GATE + 2 * 128,
}
# The head reads one or two directions and has 10 classes.
PARAMETERS = {name: cell + 128 * 10 + 10 for name, cell in CELLS.items()}
PARAMETERS["fully_recurrent"] = GATE  # Its outputs are units.
PARAMETERS |= {f"bidirectional_{name}": 2 * cell + 256 * 10 + 10 for name, cell in CELLS.items()}
del PARAMETERS["bidirectional_fully_recurrent"]
# An LSTM that also reads 20 numbers, k, beta, q, s, gamma of two heads, e and a; and the head.
PARAMETERS["ntm"] = 4 * (GATE + 20 * 128) + 129 * (2 * 26 + 2 * 20) + 148 * 10 + 10
(MODEL_FIELD,) = (f for f in dataclasses.fields(Config) if f.name == "model")
# A history compressor does not read images.
MODELS = [name for name in MODEL_FIELD.metadata["choices"] if name != "history_compressor"]

every_model = pytest.mark.parametrize("name", MODELS)
# All bidirectional models are built in the same way, so two stand for all.
every_cell = pytest.mark.parametrize(
    "name", [*CELLS, "bidirectional_lstm", "bidirectional_peephole_lstm"]
)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)


@every_model
def test_every_model_has_exactly_the_parameters_in_the_table(name):
    assert create_model(Config(model=name), MNIST).count_params() == PARAMETERS[name]


def test_every_cell_is_a_model():
    assert {"lstm", *models.CELLS} == set(CELLS)


@pytest.mark.parametrize(
    "cell", [BasicRNNCell, FullyRecurrentCell, GRUCell, LSTM1997Cell, LSTMCell]
)
def test_every_variant_has_a_name(cell):
    found = {entry.keywords.get("variant") for entry in models.CELLS.values() if entry.func is cell}
    assert found == {None, *cell.variants}


@every_cell
def test_every_model_takes_rows_and_gives_logits_under_those_names(name, images):
    model = random_model(model=name, units=8)
    assert [tensor.name for tensor in model.inputs] == ["rows"]
    assert model.inputs[0].shape == (None, 28, 28)
    assert model.output_names == ["logits"]
    assert model(images).shape == (5, 7)


@pytest.mark.parametrize("dtype", ["int32", "float16", "float32", "float64"])
def test_pixels_are_the_same_in_any_dtype(dtype, images):
    model = random_model()
    np.testing.assert_array_equal(model(images.astype(dtype)), model(images))


@pytest.mark.parametrize(
    "name",
    [
        *("lstm_1997", "bidirectional_peephole_cifg_lstm"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("lstm", "irnn", "peephole_fgr_lstm", "gru1", "bidirectional_lstm")
        ),
    ],
)
def test_a_model_survives_its_keras_file(name, images, tmp_path):
    model = random_model(
        model=name, layers=2, scan="columns", permute_seed=3, dropout=0.3, recurrent_dropout=0.2
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))


@every_cell
def test_the_first_and_the_last_row_change_the_logits(name, images):
    # The weights are the initial ones: with random weights the plain RNN forgets the first row.
    keras.utils.set_random_seed(0)
    model = create_model(Config(model=name, units=16), MNIST)
    first, last = images.copy(), images.copy()
    first[:, 0], last[:, 27] = 255 - first[:, 0], 255 - last[:, 27]
    logits = np.reshape(model(np.concatenate([images, first, last])), (3, 5, 10))
    changed = logits[2:] if name == "fully_recurrent" else logits[1:]  # It forgets the first row.
    assert np.all(np.abs(changed - logits[0]).max(axis=-1) > 1e-7)


def test_custom_lstm_computes_the_same_as_kerass_lstm(images):
    built_in, ours = random_model(model="lstm"), random_model(model="custom_lstm")
    assert [w.shape for w in ours.weights] == [w.shape for w in built_in.weights]
    np.testing.assert_allclose(ours(images), built_in(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["lstm", "custom_lstm", "bidirectional_peephole_lstm"])
def test_an_lstm_starts_with_a_forget_bias_of_1(name):
    biases = [w.numpy() for w in create_model(Config(model=name, units=6), MNIST).weights[:-1]]
    biases = [bias for bias in biases if bias.shape == (24,)]
    assert len(biases) == (2 if name.startswith("bidirectional") else 1)
    for bias in biases:
        np.testing.assert_array_equal(bias, np.repeat([0, 1, 0, 0], 6))


def test_blocks_of_the_lstm_of_1997_share_their_gates():
    model = create_model(Config(model="lstm_1997", units=12, block_size=4), MNIST)
    assert model.get_layer("recurrent_1").cell.count_params() == (12 + 2 * 3) * (28 + 12 + 1)


@pytest.mark.parametrize("name", ["lstm", "peephole_cifg_lstm", "bidirectional_gru"])
def test_recurrent_dropout_acts_in_training_only(name, images):
    model = random_model(model=name, recurrent_dropout=0.5)
    np.testing.assert_array_equal(model(images), model(images))
    assert not np.array_equal(model(images, training=True), model(images))


def one_direction(layer, weights, images):
    layer(np.zeros((1, 28, 28)))
    layer.set_weights(weights)
    return layer(images / 255)


@pytest.mark.parametrize("head", ["both", "backward", "last"])
def test_a_bidirectional_model_reads_the_states_it_names(head, images):
    model = random_model(model="bidirectional_lstm", head=head)
    *directions, kernel, bias = model.get_weights()
    # At the last row the backward direction has read only that row.
    seen = images[:, -1:] if head == "last" else images
    up = one_direction(keras.layers.LSTM(6, go_backwards=True), directions[-3:], seen)
    states = [up]
    if head != "backward":
        states.insert(0, one_direction(keras.layers.LSTM(6), directions[:3], images))
    expected = np.concatenate(states, axis=1) @ kernel + bias
    np.testing.assert_allclose(model(images), expected, rtol=0, atol=1e-5)


def test_the_tutorials_head_starts_from_a_standard_normal_and_a_bias_of_a_tenth():
    kernel, bias = create_model(Config(head_init="tutorial", units=1000), MNIST).get_weights()[-2:]
    assert abs(kernel.mean()) < 0.05
    assert abs(kernel.std() - 1) < 0.05
    np.testing.assert_array_equal(bias, np.float32(0.1) * np.ones(10))


@pytest.mark.parametrize(
    ("name", "head_init"), [*((cell, "glorot") for cell in CELLS), ("lstm", "tutorial")]
)
def test_the_seed_decides_every_random_weight(name, head_init):
    def random_weights(seed):
        keras.utils.set_random_seed(seed)
        model = create_model(Config(model=name, units=12, head_init=head_init), MNIST)
        return [w.numpy() for w in model.weights if len(np.unique(w)) > 2]  # No 0s and 1s.

    one, same, other = random_weights(1), random_weights(1), random_weights(2)
    # An IRNN has two random weights, its kernel and its head: its recurrence starts as identity.
    assert len(one) >= (2 if name == "irnn" else 3)
    for a, b, c in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_dropout_acts_in_training_only(images):
    model = random_model(dropout=0.5)
    np.testing.assert_array_equal(model(images), model(images))
    assert not np.array_equal(model(images, training=True), model(images))


@pytest.mark.parametrize("name", ["lstm", "bidirectional_peephole_lstm"])
def test_in_bfloat16_the_logits_are_close_and_the_weights_float32(name, images):
    exact, rounded = random_model(model=name), random_model(model=name, compute_dtype="bfloat16")
    assert {weight.dtype for weight in rounded.weights} == {"float32"}
    logits, expected = rounded(images), exact(images)
    assert logits.dtype == "float32"
    difference = np.abs(np.subtract(logits, expected)).max()
    assert 1e-6 < difference < 0.1


def test_layers_are_stacked(images):
    assert random_model(layers=3).count_params() == (
        4 * (28 * 6 + 6 * 6 + 6) + 2 * 4 * (6 * 6 + 6 * 6 + 6) + 7 * 7
    )
    assert random_model(layers=3, model="bidirectional_peephole_lstm")(images).shape == (5, 7)
