"""Real-time recurrent learning, compared with backpropagation through time and with NumPy."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs import Config, UserError
from datasets import Spec, load
from models import (
    FullyRecurrentCell,
    OutputUnits,
    carry_states,
    create_model,
    for_learning,
    stateless,
)
from models.learning import LearningCell, RealTimeCell
from tests.models.equations import sigmoid
from training.train import train

BATCH, STEPS, FEATURES, UNITS, SIZE = 3, 50, 4, 6, 2
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(BATCH, STEPS, FEATURES))
D = RANDOM.normal(size=(BATCH, STEPS, UNITS))  # The loss is the sum of D * h.
WEIGHTS = [RANDOM.normal(size=shape) for shape in [(FEATURES, UNITS), (UNITS, UNITS), (UNITS,)]]
BITS = Spec("vectors", "step_bits", (None, FEATURES), SIZE)


def a_cell():
    cell = FullyRecurrentCell(UNITS, dtype="float64")
    cell.build((BATCH, FEATURES))
    for weight, value in zip(cell.weights, WEIGHTS, strict=True):
        weight.assign(value)
    return cell


# The targets of the step before. A target of -1 does not force its unit.
FORCED = np.where(
    RANDOM.random((BATCH, STEPS, SIZE)) < 0.3, RANDOM.random((BATCH, STEPS, SIZE)), -1
)


def gradients(kind, parts=1, forced=0):
    """The sum of the gradients of parts of the sequence, with the states carried."""
    cell = a_cell()
    learning = kind(cell, forced)
    layer = keras.layers.RNN(learning, return_sequences=True, return_state=True, dtype="float64")
    x = np.concatenate([X, FORCED], axis=-1) if forced else X
    states, total = learning.get_initial_state(BATCH), [0, 0, 0]
    for part, d in zip(np.split(x, parts, axis=1), np.split(D, parts, axis=1), strict=True):
        with tf.GradientTape() as tape:
            h, *states = layer(part, initial_state=states)
            loss = tf.reduce_sum(d * h)
        total = [sum(pair) for pair in zip(total, tape.gradient(loss, cell.weights), strict=True)]
    return total


def assert_equal_to_ten_digits(ours, expected):
    for one, other in zip(ours, expected, strict=True):
        size = np.abs(other).max()
        np.testing.assert_allclose(one / size, other / size, rtol=0, atol=1e-10)


@pytest.mark.parametrize("forced", [0, SIZE])
@pytest.mark.parametrize("parts", [1, 5, STEPS])
def test_the_gradient_is_that_of_backpropagation_through_all_50_steps(parts, forced):
    through_time = gradients(LearningCell, forced=forced)
    assert_equal_to_ten_digits(gradients(RealTimeCell, parts, forced), through_time)


def test_without_a_teacher_backpropagation_is_that_of_the_cell():
    layer = keras.layers.RNN(a_cell(), return_sequences=True, dtype="float64")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(D * layer(X))
    expected = tape.gradient(loss, layer.cell.weights)
    assert_equal_to_ten_digits(gradients(LearningCell), expected)


def test_a_teacher_replaces_the_output_units_that_the_next_step_reads():
    W, U, b = WEIGHTS
    h, expected = np.zeros((BATCH, UNITS)), []
    for x, targets in zip(X.swapaxes(0, 1), FORCED.swapaxes(0, 1), strict=True):
        for example, unit in zip(*np.nonzero(targets >= 0), strict=True):
            h[example, unit] = targets[example, unit]
        h = sigmoid(x @ W + h @ U + b)
        expected.append(h.copy())
    forced = np.concatenate([X, FORCED], axis=-1)
    for kind in (LearningCell, RealTimeCell):
        cell = kind(a_cell(), SIZE)
        found = keras.layers.RNN(cell, return_sequences=True, dtype="float64")(forced)
        np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-9)


def test_the_derivatives_are_those_of_finite_differences():
    def final_units(weights):
        W, U, b = weights
        h = np.zeros((BATCH, UNITS))
        for x in X.swapaxes(0, 1):
            h = sigmoid(x @ W + h @ U + b)
        return h

    layer = keras.layers.RNN(RealTimeCell(a_cell()), return_state=True, dtype="float64")
    P = layer(X)[2].numpy().reshape(BATCH, UNITS, FEATURES + UNITS + 1, UNITS)
    parts = np.split(P, [FEATURES, FEATURES + UNITS], axis=2)
    for index, derivatives in enumerate(parts):
        direction = RANDOM.normal(size=WEIGHTS[index].shape)
        above, below = list(WEIGHTS), list(WEIGHTS)
        above[index] = WEIGHTS[index] + 1e-6 * direction
        below[index] = WEIGHTS[index] - 1e-6 * direction
        slope = (final_units(above) - final_units(below)) / 2e-6
        found = np.sum(derivatives * direction.reshape(derivatives.shape[2:]), axis=(2, 3))
        np.testing.assert_allclose(found, slope, atol=1e-7)


def test_no_gradient_flows_back_in_time():
    layer = keras.layers.RNN(RealTimeCell(a_cell()), return_sequences=True, dtype="float64")
    inputs = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(layer(inputs))
    assert tape.gradient(loss, inputs) is None


def test_a_model_in_real_time_has_the_same_outputs_weights_and_name():
    config = Config(dataset="delayed_xor", model="fully_recurrent", units=UNITS)
    model = create_model(config, BITS)
    learning = for_learning(model)
    np.testing.assert_allclose(learning(X), model(X), atol=1e-6)
    assert [id(w) for w in learning.trainable_weights] == [id(w) for w in model.trainable_weights]
    assert learning.name == model.name
    assert stateless(learning) is model
    carrying = carry_states(learning, BATCH)
    assert stateless(carrying) is model
    halves = [carrying(part).numpy() for part in np.split(X, 2, axis=1)]
    np.testing.assert_allclose(np.concatenate(halves, axis=1), model(X), atol=1e-6)


def test_the_first_units_are_the_outputs():
    config = Config(dataset="delayed_xor", model="fully_recurrent", units=UNITS)
    model = create_model(config, BITS)
    h = keras.Model(model.input, model.layers[1].output[0])(X).numpy()
    np.testing.assert_allclose(sigmoid(model(X).numpy()), h[..., :SIZE], rtol=1e-5)
    full = np.array([[0.0, 1.0, 0.5]], np.float32)
    assert np.isfinite(OutputUnits(3)(full)).all()
    with pytest.raises(UserError, match="--units=1: in a fully recurrent network, each of the 2 "):
        create_model(Config(dataset="delayed_xor", model="fully_recurrent", units=1), BITS)


def test_the_teacher_has_the_targets_of_the_step_before_and_is_absent_in_the_validation():
    for name, size in [("delayed_xor", 1), ("reber", 7)]:
        config = Config(
            dataset=name, model="fully_recurrent", length=12, train_size=25, teacher_forcing=True
        )
        data = load(config)
        forced = data.with_teacher()
        plain, shown = (
            next(split.batches(5, 0).as_numpy_iterator()) for split in (data.train, forced.train)
        )
        inputs, targets = shown
        np.testing.assert_array_equal(plain[1], targets)
        np.testing.assert_array_equal(plain[0], inputs[..., :-size])
        np.testing.assert_array_equal(inputs[:, 1:, -size:], targets[:, :-1])
        assert (forced.validation.inputs[..., -size:] == -1).all()
        assert forced.test is data.test


@pytest.mark.slow
def test_the_stream_is_learned_online_and_with_a_teacher(tmp_path):
    config = Config(
        dataset="delayed_xor", length=1, model="fully_recurrent", units=4, train_size=3000,
        batch_size=1, steps_per_batch=1, epochs=1, optimizer="sgd", learning_rate=0.5,
        schedule="constant", gradient="rtrl", validation_size=None, seed=1,
    )  # fmt: skip
    for forced in (False, True):
        run = train(dataclasses.replace(config, teacher_forcing=forced), tmp_path / str(forced))
        assert run.metrics()["test"]["score"] > 0.99


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "gru"}, "--gradient=rtrl: --model=gru is not a fully recurrent network; "),
        ({"layers": 2}, "--layers=2: --gradient=rtrl is for the weights of one layer"),
        ({"recurrent_dropout": 0.1}, "--recurrent_dropout=0.1: --gradient=rtrl is for"),
        (
            {"teacher_forcing": True, "dataset": "adding"},
            "--teacher_forcing: --dataset=adding has ",
        ),
        ({"teacher_forcing": True, "layers": 2}, "--layers=2: --teacher_forcing is for one layer"),
        ({"dropout": 0.1}, "--dropout=0.1: the outputs of a fully recurrent network are units"),
        ({"head_init": "tutorial"}, "--head_init=tutorial: the outputs of a fully recurrent"),
    ],
)
def test_what_real_time_learning_cannot_do_is_refused(values, message):
    config = {"dataset": "delayed_xor", "model": "fully_recurrent", "gradient": "rtrl"}
    with pytest.raises(UserError, match=message):
        Config(**config | values)
