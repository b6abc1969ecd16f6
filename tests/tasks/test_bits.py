"""The task whose answer is several bits, beside the same in NumPy."""

import numpy as np
import pytest

from configs import Config
from datasets import Spec
from tasks import task_of

BITS = task_of(Spec("vectors", "bits", (None, 3), 5), Config(dataset="first_row"))
RANDOM = np.random.default_rng(0)
TARGETS = RANDOM.integers(0, 2, (41, 5)).astype(np.float32)
LOGITS = RANDOM.normal(loc=0.3, scale=2, size=TARGETS.shape).astype(np.float32)
PROBABILITIES = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
CROSS_ENTROPIES = -np.log(np.where(TARGETS == 1, PROBABILITIES, 1 - PROBABILITIES))
RIGHT = [set(np.flatnonzero(bits)) for bits in TARGETS]
ANSWERED = [set(np.flatnonzero(bits > 0.5)) for bits in PROBABILITIES]
IOU = np.mean(
    [len(a & b) / len(a | b) if a | b else 1 for a, b in zip(RIGHT, ANSWERED, strict=True)]
)
WRONG = sum((t == 1) != (p > 0.5) for t, p in zip(TARGETS.flat, PROBABILITIES.flat, strict=True))


def test_the_loss_is_the_mean_cross_entropy_of_a_bit():
    expected = CROSS_ENTROPIES.mean()
    assert float(BITS.loss()(TARGETS, LOGITS)) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(BITS.losses(TARGETS, LOGITS), CROSS_ENTROPIES.mean(axis=1), 1e-4)
    assert BITS.judge(LOGITS, TARGETS).loss == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_a_confident_wrong_answer_is_finite():
    assert float(BITS.loss()(np.float32([[1, 0]]), np.float32([[-200, -200]]))) == 100


def test_the_score_is_the_mean_intersection_over_union_of_the_ones():
    assert 0.2 < IOU < 0.8
    assert BITS.judge(LOGITS, TARGETS).score == pytest.approx(IOU)


@pytest.mark.parametrize(("logit", "score"), [(-1.0, 0.0), (1.0, 1.0)])
def test_the_score_of_the_same_answer_to_every_bit(logit, score):
    logits = np.full((3, 5), logit, np.float32)
    assert BITS.judge(logits, np.ones((3, 5), np.float32)).score == score
    # Without a bit that is 1 the union may be empty, and the answer right.
    assert BITS.judge(logits, np.zeros((3, 5), np.float32)).score == 1 - score


@pytest.mark.parametrize("batches", [[41], [10, 10, 10, 10, 1]])
def test_the_metric_of_keras_is_the_score_of_the_evaluation(batches):
    (metric,) = BITS.metrics()
    ends = np.cumsum(batches)
    for targets, logits in zip(
        np.split(TARGETS, ends[:-1]), np.split(LOGITS, ends[:-1]), strict=True
    ):
        metric.update_state(targets, logits)
    assert metric.name == BITS.metric == "mean_IoU"
    assert float(metric.result()) == pytest.approx(BITS.judge(LOGITS, TARGETS).score, rel=1e-5)


def test_the_predictions_are_probabilities_and_the_bits_that_they_make_likely():
    predictions = BITS.predictions(LOGITS)
    assert list(predictions) == ["probabilities", "bits"]
    assert BITS.output == "probabilities"
    np.testing.assert_allclose(predictions["probabilities"], PROBABILITIES, rtol=1e-5)
    np.testing.assert_array_equal(predictions["bits"], PROBABILITIES > 0.5)
    types = {name: np.asarray(values).dtype for name, values in predictions.items()}
    assert types == {"probabilities": np.float32, "bits": np.int64}


def test_the_summary_and_the_metrics_have_the_same_numbers():
    evaluation = BITS.judge(LOGITS, TARGETS)
    assert evaluation.summary() == (
        f"mean IoU {IOU:.2%} of 41 test sequences, {WRONG / 41:.2f} of 5 bits wrong on average"
    )
    assert evaluation.metrics() == {
        "sequences": 41,
        "score": pytest.approx(IOU),
        "loss": pytest.approx(CROSS_ENTROPIES.mean(), rel=1e-5),
        "wrong_bits": pytest.approx(WRONG / 41),
    }
    assert {type(value) for value in evaluation.metrics().values()} == {int, float}


def test_the_figure_has_the_first_targets_and_probabilities():
    (figure,) = BITS.figures(BITS.judge(LOGITS, TARGETS), None).values()
    targets, probabilities = (axes.images[0].get_array() for axes in figure.axes[:2])
    np.testing.assert_array_equal(targets, TARGETS[:12])
    np.testing.assert_allclose(probabilities, PROBABILITIES[:12], rtol=1e-5)
