"""The task whose answer is a number, beside the same in NumPy."""

import numpy as np
import pytest

from configs import Config
from datasets import ArraySplit, Spec
from tasks import task_of
from tasks.number import TOLERANCE, NumberEvaluation

NUMBER = task_of(Spec("vectors", "number", (None, 3), 2), Config(dataset="adding"))
RANDOM = np.random.default_rng(0)
TARGETS = RANDOM.uniform(0, 2, (41, 2)).astype(np.float32)
# Errors of both signs. One number of an example is often within the tolerance, both seldom.
OUTPUTS = TARGETS + RANDOM.normal(scale=TOLERANCE, size=TARGETS.shape).astype(np.float32)
ERRORS = np.abs(OUTPUTS.astype(np.float64) - TARGETS.astype(np.float64))
WITHIN = np.array([all(error < 0.04 for error in errors) for errors in ERRORS])


def test_the_loss_is_the_mean_squared_error():
    expected = np.mean(ERRORS**2)
    assert float(NUMBER.loss()(TARGETS, OUTPUTS)) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(NUMBER.losses(TARGETS, OUTPUTS), np.mean(ERRORS**2, axis=1), 1e-5)
    assert NUMBER.judge(OUTPUTS, TARGETS).loss == pytest.approx(expected, rel=1e-12)


def test_the_score_is_the_share_of_examples_with_all_numbers_within_the_tolerance():
    assert 0 < WITHIN.sum() < len(WITHIN)
    assert NUMBER.judge(OUTPUTS, TARGETS).score == WITHIN.mean()


def test_an_error_of_the_tolerance_is_not_within_it():
    targets = np.zeros((3, 1), np.float32)
    values = np.float32([[0.0399], [-0.0399], [0.0401]])
    assert NumberEvaluation(targets, values, "sequences").score == pytest.approx(2 / 3)


@pytest.mark.parametrize("batches", [[41], [10, 10, 10, 10, 1]])
def test_the_metric_of_keras_is_the_score_of_the_evaluation(batches):
    (metric,) = NUMBER.metrics()
    ends = np.cumsum(batches)
    for targets, outputs in zip(
        np.split(TARGETS, ends[:-1]), np.split(OUTPUTS, ends[:-1]), strict=True
    ):
        metric.update_state(targets, outputs)
    assert metric.name == NUMBER.metric == "share_within_0.04"
    assert float(metric.result()) == pytest.approx(NUMBER.judge(OUTPUTS, TARGETS).score, rel=1e-6)


def test_the_predictions_are_the_outputs():
    assert list(NUMBER.predictions(OUTPUTS)) == ["values"] == [NUMBER.output]
    np.testing.assert_array_equal(NUMBER.predictions(OUTPUTS)["values"], OUTPUTS)


def test_the_summary_and_the_metrics_have_the_same_numbers():
    evaluation = NUMBER.judge(OUTPUTS, TARGETS)
    assert evaluation.summary() == (
        f"{WITHIN.mean():.2%} of 41 test sequences within 0.04, "
        f"mean squared error {np.mean(ERRORS**2):.3g}"
    )
    assert evaluation.metrics() == {
        "sequences": 41,
        "score": WITHIN.mean(),
        "loss": pytest.approx(np.mean(ERRORS**2)),
        "mean_squared_error": pytest.approx(np.mean(ERRORS**2)),
        "mean_absolute_error": pytest.approx(np.mean(ERRORS)),
        "max_absolute_error": pytest.approx(np.max(ERRORS)),
    }
    assert {type(value) for value in evaluation.metrics().values()} == {int, float}


def test_every_example_of_a_split_is_evaluated_once_in_order():
    class Model:
        """Its answer to a sequence is the first two values of the first step."""

        def predict_on_batch(self, inputs):
            self.sizes.append(len(inputs))
            return np.asarray(inputs)[:, 0, :2]

        sizes = []

    inputs = np.zeros((41, 2000, 3), np.float32)  # In batches of 14.
    inputs[:, 0, :2] = OUTPUTS
    evaluation = NUMBER.evaluate(Model(), ArraySplit(inputs, TARGETS))
    assert Model.sizes == [14, 14, 13]
    np.testing.assert_array_equal(evaluation.values, OUTPUTS)
    assert evaluation.score == WITHIN.mean()


def test_the_figure_has_every_answer_and_the_summary():
    evaluation = NUMBER.judge(OUTPUTS, TARGETS)
    (figure,) = NUMBER.figures(evaluation, None).values()
    (axes,) = figure.axes
    (points,) = axes.lines
    np.testing.assert_array_equal(points.get_xdata(), TARGETS.ravel())
    np.testing.assert_array_equal(points.get_ydata(), OUTPUTS.ravel())
    assert axes.get_title().replace("\n", ", ") == evaluation.summary()
