from tests.conftest import CLASSIFICATION
from training import figures

HISTORY = [
    {"accuracy": 0.5, "loss": 1.5, "val_accuracy": 0.25, "val_loss": 2.0},
    {"accuracy": 0.75, "loss": 0.5, "val_accuracy": 0.5, "val_loss": 1.0},
]
UNVALIDATED = [{"accuracy": 0.125, "loss": 3.0}]


def test_the_curves_show_every_epoch_and_validation_only_where_there_is_one():
    loss, accuracy = figures.draw_curves(HISTORY, CLASSIFICATION).axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[1.5, 0.5], [2.0, 1.0]]
    assert [list(line.get_ydata()) for line in accuracy.lines] == [[0.5, 0.75], [0.25, 0.5]]
    assert list(loss.lines[0].get_xdata()) == [1, 2]
    assert [len(axes.lines) for axes in figures.draw_curves(UNVALIDATED, CLASSIFICATION).axes] == [
        1,
        1,
    ]


def test_a_comparison_draws_what_all_runs_have():
    loss, accuracy = figures.draw_comparison({"a": HISTORY, "b": HISTORY[:1]}, CLASSIFICATION).axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[2.0, 1.0], [2.0]]
    assert accuracy.get_title() == "validation accuracy"
    assert [line.get_label() for line in accuracy.lines] == ["a", "b"]
    loss, _ = figures.draw_comparison({"a": HISTORY, "b": UNVALIDATED}, CLASSIFICATION).axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[1.5, 0.5], [3.0]]
