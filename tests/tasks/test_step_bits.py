import keras
import numpy as np
import pytest

from configs import Config
from datasets import Spec, StreamSplit
from models import create_model
from tasks import task_of

TASK = task_of(Spec("vectors", "step_bits", (None, 3), 2), Config(dataset="delayed_xor"))
TARGETS = np.array(
    [[[0, 1], [1, -1], [-1, -1], [1, 0]], [[1, 1], [0, 0], [-1, 1], [-1, -1]], [[-1, -1]] * 4],
    np.float32,
)
LOGITS = np.random.default_rng(0).normal(size=TARGETS.shape).astype(np.float32)


def one_by_one():
    """The losses of the bits that are asked for, and whether they are right, by example."""
    examples = []
    for targets, logits in zip(TARGETS.reshape(3, -1), LOGITS.reshape(3, -1), strict=True):
        losses, right = [], []
        for target, logit in zip(targets, logits.astype(float), strict=True):
            if target >= 0:
                p = 1 / (1 + np.exp(-logit))
                losses.append(-np.log(p if target else 1 - p))
                right.append((logit > 0) == bool(target))
        examples.append((losses, right))
    return examples


def test_only_the_bits_that_are_asked_for_count():
    losses = [np.mean(loss) if loss else 0 for loss, _ in one_by_one()]
    np.testing.assert_allclose(TASK.losses(TARGETS, LOGITS), losses, rtol=1e-5)
    changed = np.where(TARGETS < 0, 7 * LOGITS + 1, LOGITS)
    np.testing.assert_allclose(TASK.losses(TARGETS, changed), losses, rtol=1e-5)
    evaluation = TASK.judge(LOGITS, TARGETS)
    assert evaluation.loss == pytest.approx(np.mean(losses), rel=1e-5)
    shares = [np.mean(right) for _, right in one_by_one() if right]
    assert evaluation.score == pytest.approx(np.mean(shares))
    wrong = sum(not each for _, right in one_by_one() for each in right)
    assert evaluation.wrong_bits == pytest.approx(wrong / 3)
    (metric,) = TASK.metrics()
    metric.update_state(TARGETS, LOGITS)
    assert float(metric.result()) == pytest.approx(evaluation.score)


def test_the_loss_of_bits_that_are_all_asked_for_is_that_of_keras():
    targets = np.abs(TARGETS)
    expected = keras.losses.binary_crossentropy(targets, LOGITS, from_logits=True)
    np.testing.assert_allclose(
        TASK.losses(targets, LOGITS), keras.ops.mean(expected, axis=-1), rtol=1e-5
    )


def test_the_summary_and_the_metrics_have_the_same_numbers():
    evaluation = TASK.judge(LOGITS, TARGETS)
    metrics = evaluation.metrics()
    assert evaluation.summary() == (
        f"{metrics['score']:.2%} of the bits of 3 test sequences right, "
        f"{metrics['wrong_bits']:.2f} wrong bits in each on average"
    )
    assert {type(value) for value in metrics.values()} == {int, float}


def test_a_stream_is_evaluated_as_one_sequence():
    random = np.random.default_rng(1)
    config = Config(dataset="delayed_xor", model="gru", units=4)
    model = create_model(config, TASK.spec)
    inputs = random.normal(size=(23, 3)).astype(np.float32)
    targets = random.integers(-1, 2, (23, 2)).astype(np.float32)
    whole = TASK.judge(model.predict_on_batch(inputs[None]), targets[None])
    for steps in (5, 23):
        evaluation = TASK.evaluate(model, StreamSplit(inputs, targets, steps))
        np.testing.assert_allclose(evaluation.probabilities, whole.probabilities, atol=1e-6)
        assert evaluation.score == whole.score


def test_an_answer_is_described_by_its_wrong_bits():
    probabilities = np.array([[0.9, 0.9], [0.9, 0.1]])
    assert TASK.describe(probabilities, np.array([[1, 0], [-1, 0]])) == "answers 1 of 3 bits wrong"


def test_a_bit_that_is_not_asked_for_has_no_colour_in_the_figure():
    figure = TASK.figures(TASK.judge(LOGITS, TARGETS), None)["answers"]
    targets, probabilities = (
        np.ma.filled(axes.images[0].get_array(), np.nan) for axes in figure.axes[:2]
    )
    np.testing.assert_array_equal(np.isnan(targets), TARGETS[0] < 0)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-LOGITS[0])), rtol=1e-5)
