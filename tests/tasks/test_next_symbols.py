"""The task whose answers are the symbols that may come next, beside the same in plain Python."""

import numpy as np
import pytest

from configs import Config, UserError
from datasets import Spec
from tasks import task_of

TASK = task_of(Spec("vectors", "next_symbols", (None, 5), 5), Config(dataset="reber"))
RANDOM = np.random.default_rng(0)
LENGTHS = [1, 4, 2, 4, 3, 4]
TARGETS = np.zeros((6, 4, 5), np.float32)
for each, length in zip(TARGETS, LENGTHS, strict=True):
    for step in range(length):
        each[step, RANDOM.permutation(5)[: 1 + step % 2]] = 1
LOGITS = RANDOM.normal(size=TARGETS.shape).astype(np.float32)
LOGITS[:4] += 4 * TARGETS[:4]  # Most of these answers are right.


def expected_right():
    """For each example, whether each answer before its end is right."""
    for targets, logits, length in zip(TARGETS, LOGITS, LENGTHS, strict=True):
        yield [
            {*np.argsort(-line)[: int(target.sum())]} == {*np.flatnonzero(target)}
            for target, line in zip(targets[:length], logits[:length], strict=True)
        ]


RIGHT = list(expected_right())


def expected_losses():
    """The mean cross-entropy of all symbols before the end of each example."""
    probabilities = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
    nats = -np.log(np.where(TARGETS == 1, probabilities, 1 - probabilities))
    return [example[:length].mean() for example, length in zip(nats, LENGTHS, strict=True)]


def test_the_loss_leaves_out_the_steps_after_the_end():
    np.testing.assert_allclose(TASK.losses(TARGETS, LOGITS), expected_losses(), rtol=1e-5)
    np.testing.assert_allclose(TASK.loss()(TARGETS, LOGITS), expected_losses(), rtol=1e-5)
    changed = np.where(TARGETS.max(axis=-1, keepdims=True) > 0, LOGITS, 99)
    np.testing.assert_allclose(TASK.losses(TARGETS, changed), expected_losses(), rtol=1e-5)


def test_the_score_is_the_share_of_examples_that_are_right_at_every_step():
    assert 0 < np.mean(list(map(all, RIGHT))) < 1
    evaluation = TASK.judge(LOGITS, TARGETS)
    assert evaluation.score == np.mean(list(map(all, RIGHT)))
    assert evaluation.steps == sum(LENGTHS)
    assert evaluation.wrong_steps == sum(not right for each in RIGHT for right in each)
    assert evaluation.loss == pytest.approx(np.mean(expected_losses()), rel=1e-5)
    assert evaluation.metrics()["score"] == evaluation.score
    assert f"{evaluation.wrong_steps} of 18 steps wrong" in evaluation.summary()


def test_two_equal_outputs_are_not_right():
    assert TASK.judge(np.zeros_like(LOGITS), TARGETS).score == 0


@pytest.mark.parametrize("batches", [[6], [4, 2]])
def test_the_metric_of_keras_is_the_score_of_the_evaluation(batches):
    (metric,) = TASK.metrics()
    start = 0
    for size in batches:
        metric.update_state(TARGETS[start : start + size], LOGITS[start : start + size])
        start += size
    assert metric.name == TASK.metric == "share_right_at_every_step"
    assert float(metric.result()) == pytest.approx(TASK.judge(LOGITS, TARGETS).score)


def test_the_predictions_are_probabilities():
    predictions = TASK.predictions(LOGITS)
    assert list(predictions) == [TASK.output] == ["probabilities"]
    np.testing.assert_allclose(predictions["probabilities"], 1 / (1 + np.exp(-LOGITS)), rtol=1e-5)


def test_a_model_of_two_directions_is_refused():
    with pytest.raises(UserError, match=r"a backward direction would read the symbols that --data"):
        Config(dataset="reber", model="bidirectional_gru")
