"""The task whose answer is the next symbol at every step, beside the same in NumPy."""

import math

import numpy as np
import pytest

from configs import Config
from datasets import Spec, StreamSplit
from models import create_model
from tasks import task_of

SPEC = Spec("tokens", "next_token", (None,), 5, "character", ("<unk>", *"ab \n"))
TASK = task_of(SPEC, Config(dataset="text"))
RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(scale=2, size=(3, 7, 5)).astype(np.float32)
TARGETS = RANDOM.integers(0, 5, (3, 7))
EXPONENTIALS = np.exp(LOGITS.astype(np.float64))
PROBABILITIES = EXPONENTIALS / EXPONENTIALS.sum(axis=-1, keepdims=True)
NATS = np.array(
    [
        [-math.log(row[t]) for row, t in zip(*pair, strict=True)]
        for pair in zip(PROBABILITIES, TARGETS, strict=True)
    ]
)
RIGHT = np.mean(LOGITS.argmax(axis=-1) == TARGETS)


def test_the_loss_is_the_mean_cross_entropy_of_a_symbol():
    assert float(TASK.loss()(TARGETS, LOGITS)) == pytest.approx(NATS.mean(), rel=1e-5)
    np.testing.assert_allclose(TASK.losses(TARGETS, LOGITS), NATS.mean(axis=1), rtol=1e-5)
    assert TASK.judge(LOGITS, TARGETS).loss == pytest.approx(NATS.mean(), rel=1e-5)


def test_the_metrics_of_keras_are_those_of_the_evaluation():
    score, accuracy = TASK.metrics()
    for n in range(3):
        score.update_state(TARGETS[n : n + 1], LOGITS[n : n + 1])
        accuracy.update_state(TARGETS[n : n + 1], LOGITS[n : n + 1])
    evaluation = TASK.judge(LOGITS, TARGETS)
    assert score.name == TASK.metric
    assert float(score.result()) == pytest.approx(evaluation.score, rel=1e-5)
    assert float(accuracy.result()) == pytest.approx(RIGHT)


def test_the_summary_and_the_metrics_have_the_same_numbers():
    evaluation = TASK.judge(LOGITS, TARGETS)
    perplexity = math.exp(NATS.mean())
    assert evaluation.summary() == (
        f"perplexity {perplexity:.4g} on 21 test characters ({NATS.mean():.4f} nats each), "
        f"{RIGHT:.2%} right"
    )
    assert evaluation.metrics() == {
        "characters": 21,
        "score": pytest.approx(-NATS.mean()),
        "loss": pytest.approx(NATS.mean()),
        "perplexity": pytest.approx(perplexity),
        "bits_per_character": pytest.approx(NATS.mean() / math.log(2)),
        "accuracy": pytest.approx(RIGHT),
    }
    assert {type(value) for value in evaluation.metrics().values()} == {int, float}
    assert TASK.show(evaluation.score) == f"perplexity {perplexity:.4g}"
    assert TASK.show_named(evaluation.score) == TASK.show(evaluation.score)


def test_a_better_model_has_a_higher_score():
    sure = np.where(np.arange(5) == TARGETS[..., None], 3.0, 0.0).astype(np.float32)
    assert TASK.judge(sure, TARGETS).score > TASK.judge(-sure, TARGETS).score


@pytest.mark.parametrize("steps", [4, 7, 100])
def test_a_text_is_evaluated_as_one_sequence_whatever_the_length_of_its_parts(steps):
    model = create_model(Config(dataset="text", model="peephole_lstm", units=6), SPEC)
    model.set_weights([RANDOM.normal(scale=0.6, size=w.shape) for w in model.weights])
    symbols = RANDOM.integers(0, 5, 23).astype(np.int32)
    logits = model.predict_on_batch(symbols[None, :-1])
    evaluation = TASK.evaluate(model, StreamSplit.of_symbols(symbols, steps))
    np.testing.assert_array_equal(evaluation.symbols, symbols[1:])
    expected = TASK.judge(logits, symbols[None, 1:])
    np.testing.assert_allclose(evaluation.nats, expected.nats, atol=1e-5)
    assert evaluation.score == pytest.approx(expected.score, rel=1e-5)


def test_the_predictions_are_probabilities_at_every_step():
    (name,) = predictions = TASK.predictions(LOGITS)
    assert name == TASK.output == "probabilities"
    np.testing.assert_allclose(predictions[name], PROBABILITIES, rtol=1e-5)


def test_the_figure_has_the_mean_bits_of_the_most_frequent_symbols():
    evaluation = TASK.judge(LOGITS, TARGETS)
    (figure,) = TASK.figures(evaluation, None).values()
    axes = figure.axes[0]
    counts = np.bincount(TARGETS.ravel(), minlength=5)
    order = np.argsort(-counts, kind="stable")
    expected = [NATS[symbol == TARGETS].mean() / math.log(2) for symbol in order if counts[symbol]]
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], expected)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == [repr(SPEC.vocabulary[n])[1:-1] for n in order if counts[n]]
