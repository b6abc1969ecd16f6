"""The averages of the weights are evaluated and saved."""

import numpy as np

from configs import Config
from tests.conftest import random_model
from training import callbacks
from training.averages import averaged
from training.train import compile_model, train

CONFIG = Config(model="basic_rnn", units=5, epochs=1, batch_size=10, ema=0.8, log_every=1)


def test_averages_are_evaluated_and_saved_in_place_of_the_weights(data, tmp_path, monkeypatch):
    # a(t) = 0.8 a(t-1) + 0.2 w(t), over the weights after each of four steps.
    weights = []

    genuine = callbacks.Keep.on_train_batch_end

    def watch(keep, batch, logs):
        weights.append([v.numpy() for v in keep.model.trainable_variables])
        genuine(keep, batch, logs)

    monkeypatch.setattr(callbacks.Keep, "on_train_batch_end", watch)
    run = train(CONFIG, tmp_path / "run", data)
    averages = weights[0]
    for step in weights[1:]:
        averages = [0.8 * a + 0.2 * w for a, w in zip(averages, step, strict=True)]
    saved = [v.numpy() for v in run.load_model().trainable_variables]
    for average, weight, last in zip(averages, saved, weights[-1], strict=True):
        np.testing.assert_allclose(weight, average, rtol=1e-5, atol=1e-7)
        assert np.abs(last - weight).max() > 1e-4


def test_the_exact_weights_are_restored():
    model = random_model(model="gru")
    compile_model(model, CONFIG, 4, 4)
    before = [v.numpy() for v in model.trainable_variables]
    gradients = [np.random.default_rng(0).normal(size=w.shape).astype("f4") for w in before]
    model.optimizer.apply(gradients, model.trainable_variables)
    model.optimizer.apply(gradients, model.trainable_variables)
    after = [v.numpy() for v in model.trainable_variables]
    with averaged(model):
        within = [v.numpy() for v in model.trainable_variables]
    for old, new, average, back in zip(
        before, after, within, model.trainable_variables, strict=True
    ):
        assert np.all(average != new)
        assert np.all(average != old)
        np.testing.assert_array_equal(back.numpy(), new)
