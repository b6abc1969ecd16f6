"""Averages over distorted views."""

import numpy as np
import pytest

from configs import Config, UserError
from tests.conftest import random_model
from training.evaluate import evaluate, evaluate_run, evaluate_views
from training.run import Run

CONFIG = Config(dataset="digits", model="basic_rnn", units=6, rotation=20, shift=2)


@pytest.fixture(scope="module")
def model():
    return random_model(model="basic_rnn", rotation=20, shift=2)


def test_views_are_averaged_the_image_itself_among_them(model, data):
    one, two, again = (evaluate_views(model, data.test, views) for views in (1, 2, 2))
    itself = evaluate(model, data.test)
    np.testing.assert_array_equal(one.probabilities, itself.probabilities)
    np.testing.assert_array_equal(two.probabilities, again.probabilities)
    other = 2 * two.probabilities - itself.probabilities
    np.testing.assert_allclose(other.sum(axis=1), 1, rtol=1e-5)
    assert other.min() > -1e-6
    assert np.abs(other - itself.probabilities).max() > 0.01
    right = two.probabilities[np.arange(23), data.test.targets]
    assert two.loss == pytest.approx(-np.log(right).mean(), rel=1e-5)


def test_views_are_reported_apart_from_the_single_pass(model, data, tmp_path):
    run = Run.create(tmp_path / "run", CONFIG)
    run.save_model(model)
    evaluation, path = evaluate_run(run, CONFIG, data, views=3)
    assert path.name == "random-3-views.json"
    assert evaluation.accuracy == evaluate_views(model, data.test, 3).accuracy


def test_a_model_trained_without_distortion_has_no_views(data):
    with pytest.raises(UserError, match=r"--views=2: basic_rnn .* expected a run with one of"):
        evaluate_views(random_model(model="basic_rnn"), data.test, 2)
