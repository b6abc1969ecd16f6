"""Figures of a search."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tuning.importance import importances
from tuning.space import Choice, to_unit_interval

_MAX_COLUMNS = 3
# Readable for colour-blind readers and in grey. Reversed, so that the best trial is darkest.
_COLORMAP = "viridis_r"


def draw(space, trials, score):
    """All figures of a search, by name.

    Args:
        space: A tuple of `Range` and `Choice`.
        trials: Its completed `Trial`s, at least one.
        score: The `Score` of the search.
    """
    drawn = {
        "scores": draw_scores(space, trials, score),
        "parallel": draw_parallel(space, trials, score),
        "parameters": draw_costs(trials, "parameters", "parameters", score),
    }
    if all(trial.latency_ms is not None for trial in trials):
        example = "an image" if score.task.spec.reads == "images" else "a sequence"
        drawn["latency"] = draw_costs(trials, "latency_ms", f"milliseconds for {example}", score)
    shares = importances(space, trials)
    if shares:
        drawn["importance"] = draw_importances(shares, len(trials))
    return drawn


def draw_scores(space, trials, score):
    """Scatter plots of the score against each hyper-parameter, with the best trial marked."""
    columns = min(_MAX_COLUMNS, math.ceil(math.sqrt(len(space))))
    rows = math.ceil(len(space) / columns)
    figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    best = max(trials, key=lambda trial: trial.score)
    for axes in panels[len(space) :]:
        axes.set_axis_off()
    for axes, parameter in zip(panels, space, strict=False):
        x = [_x_value(parameter, trial.values[parameter.name]) for trial in trials]
        axes.plot(x, _y_values(trials, score), "o", alpha=0.7)
        axes.plot(
            _x_value(parameter, best.values[parameter.name]),
            score.axis_value(best.score),
            "*",
            color="black",
            markersize=13,
            label=f"trial {best.number}, {score.show(best.score)}",
        )
        if isinstance(parameter, Choice):
            rotated = {"rotation": 30, "ha": "right"} if _has_long_labels(parameter) else {}
            axes.set_xticks(range(len(parameter.values)), parameter.values, **rotated)
            axes.margins(x=0.15)
        elif parameter.log:
            axes.set_xscale("log")
        axes.set(xlabel=parameter.name, ylabel=score.axis_label)
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center")
    return figure


def draw_parallel(space, trials, score):
    """Parallel coordinates: each trial is a line through its values, coloured by its score."""
    figure = Figure(figsize=(max(6, 2 * (len(space) + 1)), 4.5), layout="constrained")
    axes = figure.subplots()
    scores = _y_values(trials, score)
    low, high = min(scores), max(scores)
    worst_first = sorted(trials, key=lambda trial: trial.score)
    lines = [[to_unit_interval(p, trial.values[p.name]) for p in space] for trial in worst_first]
    # Equal scores are drawn in the middle of their axis.
    ends = [(y - low) / (high - low) if high > low else 0.5 for y in _y_values(worst_first, score)]
    colours = axes.scatter([], [], c=[], cmap=_COLORMAP, vmin=low, vmax=high)
    for line, end in zip(lines, ends, strict=True):
        best = end == ends[-1] and line is lines[-1]
        colour = colours.to_rgba(low + end * (high - low))
        axes.plot([*line, end], color=colour, linewidth=3 if best else 1.2, alpha=0.9)
    for x, parameter in enumerate(space):
        axes.axvline(x, color="grey", linewidth=0.8)
        for value in _ticks(parameter):
            text = f"{value:.3g}" if isinstance(value, float) else f"{value}"
            y = to_unit_interval(parameter, value)
            axes.annotate(
                text,
                (x, y),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
            )
    axes.set_xticks(
        range(len(space) + 1), [*(p.name for p in space), score.name.replace(" ", "\n")]
    )
    axes.set(yticks=[], ylim=(-0.05, 1.05), xlim=(-0.1, len(space) + 0.1))
    figure.colorbar(colours, label=score.axis_label)
    return figure


def draw_costs(trials, attribute, label, score):
    """The score of each trial against a cost, and the Pareto front.

    Args:
        trials: Completed `Trial`s.
        attribute: The attribute of a `Trial` that holds the cost.
        label: The label of the cost's axis.
        score: The `Score` of the search.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    front = pareto_front(trials, attribute)
    axes.plot([getattr(t, attribute) for t in trials], _y_values(trials, score), "o", alpha=0.7)
    axes.plot(
        [getattr(t, attribute) for t in front],
        _y_values(front, score),
        "s-",
        color="black",
        drawstyle="steps-post",
        markerfacecolor="none",
        label="Pareto front",
    )
    axes.set(xscale="log", xlabel=label, ylabel=score.axis_label)
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    return figure


def pareto_front(trials, attribute):
    """The trials that are better than each cheaper trial, the cheapest first."""
    front = []
    for trial in sorted(trials, key=lambda t: (getattr(t, attribute), -t.score)):
        if not front or trial.score > front[-1].score:
            front.append(trial)
    return front


def draw_importances(shares, count):
    """Bars: the share of each hyper-parameter in the variance of the score, the largest on top."""
    figure = Figure(figsize=(6, 1 + 0.4 * len(shares)), layout="constrained")
    axes = figure.subplots()
    names = sorted(shares, key=shares.get)
    bars = axes.barh(names, [100 * shares[name] for name in names])
    axes.bar_label(bars, fmt="%.0f %%", padding=3)
    axes.set(xlabel="share of the variance (%)", title=f"fANOVA of {count} trials")
    axes.margins(x=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _x_value(parameter, value):
    """The coordinate of a value on the axis of its parameter: the index for a choice."""
    return parameter.values.index(value) if isinstance(parameter, Choice) else value


def _y_values(trials, score):
    return [score.axis_value(trial.score) for trial in trials]


def _has_long_labels(parameter):
    return sum(len(str(value)) + 2 for value in parameter.values) > 30


def _ticks(parameter):
    if isinstance(parameter, Choice):
        return parameter.values
    if parameter.log:
        return [float(value) for value in np.geomspace(parameter.low, parameter.high, 5)]
    return [float(value) for value in np.linspace(parameter.low, parameter.high, 5)]
