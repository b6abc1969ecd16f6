"""Pictures of what a classifier answered."""

import numpy as np
import pytest

from tasks import class_figures
from tasks.classification import ClassEvaluation
from tests.conftest import random_split


def evaluation_with_mistakes(count, size=60, classes=10):
    """`size` answers. The first `count` are wrong, with falling confidence."""
    split = random_split(size, classes, seed=0)
    answers = split.targets.copy()
    answers[:count] = (answers[:count] + 1) % classes
    confidence = np.linspace(0.9, 0.6, size)
    rest = (1 - confidence) / (classes - 1)
    probabilities = np.repeat(rest[:, np.newaxis], classes, axis=1)
    probabilities[np.arange(size), answers] = confidence
    return split, ClassEvaluation(split.targets, probabilities, loss=0.1)


def drawn_images(figure):
    return [axes.images[0].get_array() for axes in figure.axes if axes.images]


@pytest.mark.parametrize(("mistakes", "drawn"), [(0, 0), (5, 5), (50, 32)])
def test_the_surest_mistakes_are_drawn_in_order_with_what_was_said(mistakes, drawn):
    split, evaluation = evaluation_with_mistakes(mistakes)
    figure = class_figures.draw_mistakes(evaluation, split.inputs)
    for number, image in enumerate(drawn_images(figure)):
        np.testing.assert_array_equal(image, split.inputs[number])
    assert len(drawn_images(figure)) == drawn
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert titles[:2] == ["0 → 1  90.0%", "1 → 2  89.5%"][:mistakes]
    assert f"{mistakes} mistakes" in figure.get_suptitle()


def test_the_confusion_counts_every_answer():
    _, evaluation = evaluation_with_mistakes(7)
    axes = class_figures.draw_confusion(evaluation).axes[0]
    counts = {text.get_position(): int(text.get_text()) for text in axes.texts}
    assert sum(counts.values()) == 60
    assert sum(n for (predicted, true), n in counts.items() if predicted != true) == 7
    assert "88.33% of 60 test images" in axes.get_title()
