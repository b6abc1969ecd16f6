import numpy as np
import pytest

from tests.conftest import random_split
from training import figures
from training.evaluate import Evaluation


def evaluation_with_mistakes(count, size=60, classes=10):
    """`size` answers of which the first `count` are wrong, the earlier the surer."""
    split = random_split(size, classes, seed=0)
    answers = split.targets.copy()
    answers[:count] = (answers[:count] + 1) % classes
    confidence = np.linspace(0.9, 0.6, size)
    rest = (1 - confidence) / (classes - 1)
    probabilities = np.repeat(rest[:, np.newaxis], classes, axis=1)
    probabilities[np.arange(size), answers] = confidence
    return split, Evaluation(split.targets, probabilities, loss=0.1)


def drawn_images(figure):
    return [axes.images[0].get_array() for axes in figure.axes if axes.images]


@pytest.mark.parametrize(("mistakes", "drawn"), [(0, 0), (5, 5), (50, 32)])
def test_the_surest_mistakes_are_drawn_in_order_with_what_was_said(mistakes, drawn):
    split, evaluation = evaluation_with_mistakes(mistakes)
    figure = figures.draw_mistakes(evaluation, split.inputs)
    for number, image in enumerate(drawn_images(figure)):
        np.testing.assert_array_equal(image, split.inputs[number])
    assert len(drawn_images(figure)) == drawn
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert titles[:2] == ["0 → 1  90.0%", "1 → 2  89.5%"][:mistakes]
    assert f"{mistakes} mistakes" in figure.get_suptitle()


def test_the_confusion_counts_every_answer():
    _, evaluation = evaluation_with_mistakes(7)
    axes = figures.draw_confusion(evaluation).axes[0]
    counts = {text.get_position(): int(text.get_text()) for text in axes.texts}
    assert sum(counts.values()) == 60
    assert sum(n for (predicted, true), n in counts.items() if predicted != true) == 7
    assert "88.33% of 60 test images" in axes.get_title()


HISTORY = [
    {"accuracy": 0.5, "loss": 1.5, "val_accuracy": 0.25, "val_loss": 2.0},
    {"accuracy": 0.75, "loss": 0.5, "val_accuracy": 0.5, "val_loss": 1.0},
]
UNVALIDATED = [{"accuracy": 0.125, "loss": 3.0}]


def test_the_curves_show_every_epoch_and_validation_only_where_there_is_one():
    loss, accuracy = figures.draw_curves(HISTORY).axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[1.5, 0.5], [2.0, 1.0]]
    assert [list(line.get_ydata()) for line in accuracy.lines] == [[50, 75], [25, 50]]
    assert list(loss.lines[0].get_xdata()) == [1, 2]
    assert [len(axes.lines) for axes in figures.draw_curves(UNVALIDATED).axes] == [1, 1]


def test_a_comparison_draws_what_all_runs_have():
    loss, accuracy = figures.draw_comparison({"a": HISTORY, "b": HISTORY[:1]}).axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[2.0, 1.0], [2.0]]
    assert accuracy.get_title() == "validation accuracy"
    assert [line.get_label() for line in accuracy.lines] == ["a", "b"]
    loss, _ = figures.draw_comparison({"a": HISTORY, "b": UNVALIDATED}).axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[1.5, 0.5], [3.0]]
