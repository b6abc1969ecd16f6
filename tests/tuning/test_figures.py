"""The figures show the trials: the plotted values are read back."""

import dataclasses
import itertools
import random

import numpy as np
import pytest

from tests.tuning.conftest import SCORE, TEXT_SCORE
from tuning import figures
from tuning.importance import importances
from tuning.space import parse_space
from tuning.trial import Trial

SPACE = parse_space("learning_rate:1e-4..1e-2:log,units:8..64,model:lstm|gru|irnn")


def trial(number, score, learning_rate=1e-3, units=8, model="lstm", epochs=1, **costs):
    values = {"learning_rate": learning_rate, "units": units, "model": model}
    return Trial(number, "completed", values, score, (score,), epochs=epochs, **costs)


TRIALS = [
    trial(0, 0.90, 1e-4, 8, "lstm", parameters=100),
    trial(1, 0.98, 1e-3, 36, "irnn", parameters=300),
    trial(2, 0.95, 1e-2, 64, "gru", parameters=200),
    trial(3, 0.97, 1e-3, 36, "gru", parameters=400),
]


def test_scores_are_plotted_against_each_hyper_parameter_with_the_best_marked():
    figure = figures.draw_scores(SPACE, TRIALS, SCORE)
    rate, units, model, _ = figure.axes
    assert [axes.get_xlabel() for axes in (rate, units, model)] == [p.name for p in SPACE]
    assert (rate.get_xscale(), units.get_xscale()) == ("log", "linear")
    for axes, x in [
        (rate, [1e-4, 1e-3, 1e-2, 1e-3]),
        (units, [8, 36, 64, 36]),
        (model, [0, 2, 1, 1]),
    ]:
        points, best = axes.lines
        assert list(points.get_xdata()) == x
        np.testing.assert_allclose(points.get_ydata(), [90, 98, 95, 97])
        assert (best.get_xdata()[0], best.get_ydata()[0]) == (x[1], 98)
    assert [text.get_text() for text in model.get_xticklabels()] == ["lstm", "gru", "irnn"]
    assert figure.legends[0].get_texts()[0].get_text() == "trial 1, 98.00%"


def test_each_trial_is_a_line_through_its_values_with_the_best_on_top_and_thickest():
    axes = figures.draw_parallel(SPACE, TRIALS, SCORE).axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) == 4]
    heights = [line.get_ydata() for line in lines]
    np.testing.assert_allclose(heights[0], [0, 0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(heights[1], [1, 1, 0.5, 5 / 8])
    np.testing.assert_allclose(heights[-1], [0.5, 0.5, 1, 1])
    assert lines[-1].get_linewidth() > max(line.get_linewidth() for line in lines[:-1])
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks == ["learning_rate", "units", "model", "validation\nscore"]


def test_each_trial_of_the_pareto_front_is_better_than_all_cheaper_trials():
    assert [t.number for t in figures.pareto_front(TRIALS, "parameters")] == [0, 2, 1]
    axes = figures.draw_costs(TRIALS, "parameters", "parameters", SCORE).axes[0]
    points, front = axes.lines
    assert list(points.get_xdata()) == [100, 300, 200, 400]
    assert list(front.get_xdata()) == [100, 200, 300]
    np.testing.assert_allclose(front.get_ydata(), [90, 95, 98])


def test_log_likelihoods_are_plotted_in_nats_with_the_highest_as_the_best():
    trials = [dataclasses.replace(t, score=10 * t.score - 12) for t in TRIALS]
    nats = [-3, -2.2, -2.5, -2.3]
    figure = figures.draw_scores(SPACE, trials, TEXT_SCORE)
    points, best = figure.axes[0].lines
    np.testing.assert_allclose(points.get_ydata(), nats)
    assert best.get_ydata()[0] == pytest.approx(-2.2)
    assert figure.axes[0].get_ylabel() == "validation log-likelihood (nats)"
    assert figure.legends[0].get_texts()[0].get_text() == "trial 1, perplexity 9.025"
    axes = figures.draw_parallel(SPACE, trials, TEXT_SCORE).axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert [line.get_ydata()[-1] for line in lines] == pytest.approx([0, 5 / 8, 7 / 8, 1])
    assert axes.get_xticklabels()[-1].get_text() == "validation\nlog-likelihood"
    front = figures.draw_costs(trials, "parameters", "parameters", TEXT_SCORE).axes[0].lines[1]
    np.testing.assert_allclose(front.get_ydata(), [-3, -2.5, -2.2])


def test_equal_trials_are_plotted_without_importances():
    alike = [trial(n, 0.9, parameters=100, latency_ms=0.5) for n in range(2)]
    assert set(figures.draw(SPACE, alike, SCORE)) == {"scores", "parallel", "parameters", "latency"}
    assert importances(SPACE, alike) == {}


def random_trials(score):
    """40 trials of random values. `score` computes the score from them."""
    draw = random.Random(0)
    trials = []
    for number in range(40):
        rate, units = draw.random(), draw.randrange(8, 65)
        model, epochs = draw.choice(SPACE[2].values), draw.choice([1, 3])
        values = (1e-4 * 100**rate, units, model)
        trials.append(trial(number, score(rate, units, model, epochs), *values, epochs))
    return trials


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("learning_rate", lambda rate, units, model, epochs: rate),
        ("units", lambda rate, units, model, epochs: units / 64),
        ("model", lambda rate, units, model, epochs: float(model == "gru")),
        ("epochs", lambda rate, units, model, epochs: epochs / 3),
    ],
)
def test_the_hyper_parameter_that_decides_the_score_is_the_most_important(name, score):
    shares = importances(SPACE, random_trials(score))
    assert set(shares) == {"learning_rate", "units", "model", "epochs"}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[name] > 0.9
    bars = figures.draw_importances(shares, 40).axes[0].patches
    np.testing.assert_allclose(max(bar.get_width() for bar in bars), 100 * shares[name])


def test_the_importance_of_a_logarithmic_range_is_computed_on_its_scale():
    # On a linear scale, rates above 1e-3 would be 91 % of the range, and all score alike.
    shares = importances(
        SPACE, random_trials(lambda rate, units, model, epochs: (rate < 0.5) + (units > 36) / 2)
    )
    assert shares["learning_rate"] > 2 * shares["units"]
    assert all(one >= other for one, other in itertools.pairwise(shares.values()))
