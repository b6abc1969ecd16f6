import dataclasses

import keras
import numpy as np
import pytest

from configs import Config
from models import create_model
from tests.conftest import random_model

# At 128 units on rows, read out into 10 classes: 1,290 (bidirectional: 2,570) weights of read-out.
PARAMETERS = {
    "basic_rnn": 28 * 128 + 128 * 128 + 128 + 1_290,
    "lstm": 4 * (28 * 128 + 128 * 128 + 128) + 1_290,
    "bidirectional_lstm": 2 * 4 * (28 * 128 + 128 * 128 + 128) + 2_570,
    "custom_lstm": 4 * (28 * 128 + 128 * 128 + 128) + 1_290,
    "peephole_lstm": 4 * (28 * 128 + 128 * 128 + 128) + 3 * 128 + 1_290,
    "bidirectional_peephole_lstm": 2 * (4 * (28 * 128 + 128 * 128 + 128) + 3 * 128) + 2_570,
}
(MODEL_FIELD,) = (f for f in dataclasses.fields(Config) if f.name == "model")
MODELS = MODEL_FIELD.metadata["choices"]


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_exactly_the_parameters_in_the_table(name):
    assert create_model(Config(model=name)).count_params() == PARAMETERS[name]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_rows_and_gives_logits_under_those_names(name, images):
    model = random_model(model=name)
    assert [tensor.name for tensor in model.inputs] == ["rows"]
    assert model.inputs[0].shape == (None, 28, 28)
    assert model.output_names == ["logits"]
    assert model(images).shape == (5, 7)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["int32", "float16", "float32", "float64"])
def test_pixels_of_any_dtype_give_the_same_logits(name, dtype, images):
    model = random_model(model=name)
    np.testing.assert_array_equal(model(images.astype(dtype)), model(images))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_survives_its_keras_file(name, images, tmp_path):
    model = random_model(model=name, layers=2, scan="columns", permute_seed=3, dropout=0.3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("row", [0, 27])
def test_every_row_has_a_say(name, row, images):
    # With its initial weights: with random ones the plain RNN forgets the first row altogether.
    model = create_model(Config(model=name, units=6))
    changed = images.copy()
    changed[:, row] = 255 - changed[:, row]
    assert np.all(np.abs(np.subtract(model(changed), model(images))).max(axis=1) > 1e-7)


def test_our_cell_without_peepholes_is_the_built_in_lstm(images):
    built_in, ours = random_model(model="lstm"), random_model(model="custom_lstm")
    assert [w.shape for w in ours.weights] == [w.shape for w in built_in.weights]
    np.testing.assert_allclose(ours(images), built_in(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in MODELS if "lstm" in name])
def test_every_lstm_starts_with_a_forget_bias_of_1(name):
    biases = [w.numpy() for w in create_model(Config(model=name, units=6)).weights[:-1]]
    biases = [bias for bias in biases if bias.shape == (24,)]
    assert len(biases) == (2 if name.startswith("bidirectional") else 1)
    for bias in biases:
        np.testing.assert_array_equal(bias, np.repeat([0, 1, 0, 0], 6))


def one_direction(layer, weights, images):
    layer(np.zeros((1, 28, 28)))
    layer.set_weights(weights)
    return layer(images / 255)


@pytest.mark.parametrize("read_out", ["both", "backward"])
def test_a_bidirectional_model_reads_the_final_states_of_the_directions_it_names(read_out, images):
    model = random_model(model="bidirectional_lstm", read_out=read_out)
    *directions, kernel, bias = model.get_weights()
    up = one_direction(keras.layers.LSTM(6, go_backwards=True), directions[-3:], images)
    finals = [up]
    if read_out == "both":
        finals.insert(0, one_direction(keras.layers.LSTM(6), directions[:3], images))
    expected = np.concatenate(finals, axis=1) @ kernel + bias
    np.testing.assert_allclose(model(images), expected, rtol=0, atol=1e-5)


def test_the_tutorials_read_out_starts_from_a_standard_normal_and_a_bias_of_a_tenth():
    kernel, bias = create_model(Config(read_out_init="tutorial", units=1000)).get_weights()[-2:]
    assert abs(kernel.mean()) < 0.05
    assert abs(kernel.std() - 1) < 0.05
    np.testing.assert_array_equal(bias, np.float32(0.1) * np.ones(10))


@pytest.mark.parametrize("read_out_init", ["glorot", "tutorial"])
@pytest.mark.parametrize("name", MODELS)
def test_the_seed_decides_every_random_weight(name, read_out_init):
    def kernels(seed):
        keras.utils.set_random_seed(seed)
        model = create_model(Config(model=name, units=6, read_out_init=read_out_init))
        return [w.numpy() for w in model.weights if len(w.shape) == 2]

    for one, same, other in zip(kernels(1), kernels(1), kernels(2), strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, other)


def test_dropout_acts_in_training_alone(images):
    model = random_model(dropout=0.5)
    np.testing.assert_array_equal(model(images), model(images))
    assert not np.array_equal(model(images, training=True), model(images))


def test_layers_are_stacked(images):
    assert random_model(layers=3).count_params() == (
        4 * (28 * 6 + 6 * 6 + 6) + 2 * 4 * (6 * 6 + 6 * 6 + 6) + 7 * 7
    )
    assert random_model(layers=3, model="bidirectional_peephole_lstm")(images).shape == (5, 7)
