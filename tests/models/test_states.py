"""Models that carry their states from one part of a sequence to the next."""

import keras
import numpy as np
import pytest

from configs import Config
from configs.cells import CELLS
from datasets import Spec
from models import TiedHead, carry_states, create_model, reset_states, stateless, with_states

SYMBOLS = Spec("tokens", "next_token", (None,), 11, "character", tuple("?abcdefghij"))
RANDOM = np.random.default_rng(0)
IDS = RANDOM.integers(0, 11, (3, 12)).astype(np.int32)


def random_model(**values):
    # The outputs of a fully recurrent network are units.
    units = 12 if values.get("model") == "fully_recurrent" else 6
    model = create_model(Config(dataset="text", **{"units": units} | values), SYMBOLS)
    random = np.random.default_rng(1)
    model.set_weights([random.normal(scale=0.4, size=w.shape) for w in model.weights])
    return model


def states_of(carrying):
    return [v for v in carrying.non_trainable_variables if v.path.startswith("carry_states")]


def in_parts(model, ids, *ends):
    starts = (0, *ends)
    parts = [
        model.predict_on_batch(ids[:, a:b])
        for a, b in zip(starts, (*ends, ids.shape[1]), strict=True)
    ]
    return np.concatenate(parts, axis=1)


FEW = ("lstm", "gru", "peephole_lstm")


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("lstm", 2),
        *(pytest.param(name, 2, marks=pytest.mark.slow) for name in FEW[1:]),
        *(pytest.param(name, 1, marks=pytest.mark.slow) for name in CELLS if name not in FEW),
    ],
)
def test_a_sequence_in_parts_has_the_answers_of_the_whole(name, layers):
    model = random_model(model=name, layers=layers)
    carrying = carry_states(model, batch_size=3)
    whole = model.predict_on_batch(IDS)
    assert whole.shape == (3, 12, 11)
    np.testing.assert_allclose(in_parts(carrying, IDS, 5, 9), whole, atol=1e-5)
    # The states go on, so that the same symbols have other answers.
    assert np.abs(carrying.predict_on_batch(IDS)[:, 0] - whole[:, 0]).max() > 1e-3
    reset_states(carrying)
    np.testing.assert_allclose(in_parts(carrying, IDS, 4), whole, atol=1e-5)


def test_the_last_batch_may_have_fewer_tracks():
    model = random_model(model="gru")
    carrying = carry_states(model, batch_size=3)
    whole = model.predict_on_batch(IDS)
    carrying.predict_on_batch(IDS[:, :7])
    last = carrying.predict_on_batch(IDS[:2, 7:])
    np.testing.assert_allclose(last, whole[:2, 7:], atol=1e-5)


def test_the_weights_are_shared_and_the_states_are_variables_that_are_not_trained():
    model = random_model(model="lstm", layers=2)
    carrying = carry_states(model, batch_size=3)
    assert stateless(carrying) is model
    assert stateless(model) is model
    assert [w.path for w in carrying.trainable_variables] == [w.path for w in model.weights]
    states = states_of(carrying)
    assert [tuple(state.shape) for state in states] == [(3, 6)] * 4
    before = [w.numpy() for w in model.weights]
    carrying.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    carrying.train_on_batch(IDS[:, :-1], IDS[:, 1:])
    for old, weight in zip(before, model.weights, strict=True):
        assert np.abs(weight.numpy() - old).max() > 0
    assert all(np.abs(state).max() > 0 for state in states)


def test_no_gradient_flows_into_an_earlier_call():
    """A training step after other symbols, with the same states given, has the same gradients."""
    import tensorflow as tf

    model = random_model(model="peephole_lstm")
    carrying, step = carry_states(model, batch_size=3), with_states(model)
    carrying.predict_on_batch(IDS[:, :5])
    states = [tf.constant(state.numpy()) for state in states_of(carrying)]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(carrying(IDS[:, 5:]) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(step([tf.constant(IDS[:, 5:]), *states])[0] ** 2)
    for got, expected in zip(
        gradients, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        np.testing.assert_allclose(
            tf.convert_to_tensor(got), tf.convert_to_tensor(expected), rtol=1e-4, atol=1e-5
        )


def test_the_states_in_and_out_are_in_the_order_of_the_layers():
    model = random_model(model="lstm", layers=2)
    step = with_states(model)
    logits, *states = step.predict_on_batch([IDS, *[np.zeros((3, 6), np.float32)] * 4])
    np.testing.assert_allclose(logits, model.predict_on_batch(IDS), atol=1e-5)
    first = keras.Model(model.input, model.get_layer("recurrent_1").output)
    _, hidden, cell = first.predict_on_batch(IDS)
    np.testing.assert_allclose(states[0], hidden, atol=1e-5)
    np.testing.assert_allclose(states[1], cell, atol=1e-5)


def test_a_tied_head_multiplies_by_the_matrix_of_the_embedding(tmp_path):
    model = random_model(model="gru", embedding_size=6, tie_embeddings=True)
    hidden = keras.Model(model.input, model.layers[-2].output[0]).predict_on_batch(IDS)
    matrix, bias = model.get_layer("embedding").embeddings.numpy(), model.weights[-1].numpy()
    np.testing.assert_allclose(model.predict_on_batch(IDS), hidden @ matrix.T + bias, atol=1e-5)
    untied = random_model(model="gru", embedding_size=6)
    assert untied.count_params() - model.count_params() == 6 * 11

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.layers[-1], TiedHead)
    assert loaded.layers[-1].embedding is loaded.get_layer("embedding")
    np.testing.assert_array_equal(loaded.predict_on_batch(IDS), model.predict_on_batch(IDS))


def test_one_hot_vectors_and_embeddings_are_the_rows_of_a_matrix():
    one_hot = random_model(model="basic_rnn")
    embedded = random_model(model="basic_rnn", embedding_size=11)
    _, *others = one_hot.get_weights()
    embedded.set_weights([np.eye(11), one_hot.get_weights()[0], *others])
    np.testing.assert_allclose(
        embedded.predict_on_batch(IDS), one_hot.predict_on_batch(IDS), atol=1e-6
    )


def test_learned_embeddings_have_dropout_in_training_and_one_hot_vectors_do_not():
    config = Config(dataset="text", model="gru", units=6, embedding_size=5, dropout=0.25)
    model = create_model(config, SYMBOLS)
    embedding, dropped = (model.get_layer(name).output for name in ("embedding", "dropout_0"))
    vectors = keras.Model(model.input, [embedding, dropped])
    whole, in_training = vectors(IDS, training=True)
    kept = in_training.numpy() != 0
    assert 0 < kept.mean() < 1
    np.testing.assert_allclose(in_training.numpy()[kept], whole.numpy()[kept] / 0.75, rtol=1e-6)
    np.testing.assert_array_equal(*vectors(IDS, training=False))
    one_hot = create_model(Config(dataset="text", model="gru", units=6, dropout=0.25), SYMBOLS)
    assert [layer.name for layer in one_hot.layers if "dropout" in layer.name] == ["dropout_1"]


def test_small_weights_are_drawn_from_a_narrow_normal_distribution_and_biases_are_0():
    keras.utils.set_random_seed(3)
    config = Config(dataset="text", model="custom_lstm", units=64, weights_init="small")
    model = create_model(config, SYMBOLS)
    for weight in model.weights:
        values = weight.numpy()
        if values.ndim == 1:
            assert not values.any()
        else:
            assert abs(values.std() - 0.01) < 0.001
            assert abs(values.mean()) < 0.001
