"""Pictures of a search."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tuning.importance import importances
from tuning.space import Choice, height

_ACROSS = 3
_COLOURS = "viridis_r"  # Told apart by the colour-blind, and in grey; the best is darkest.


def draw(space, trials):
    """All pictures of a search by name.

    Args:
        space: A tuple of `Range` and `Choice`.
        trials: Its completed `Trial`s, one at least.
    """
    drawn = {
        "scores": draw_scores(space, trials),
        "parallel": draw_parallel(space, trials),
        "parameters": draw_costs(trials, "parameters", "parameters"),
    }
    if all(trial.latency_ms is not None for trial in trials):
        drawn["latency"] = draw_costs(trials, "latency_ms", "milliseconds for an image")
    shares = importances(space, trials)
    if shares:
        drawn["importance"] = draw_importances(shares, len(trials))
    return drawn


def draw_scores(space, trials):
    """The validation accuracy of each trial against each hyper-parameter, the best marked."""
    columns = min(_ACROSS, math.ceil(math.sqrt(len(space))))
    rows = math.ceil(len(space) / columns)
    figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    best = max(trials, key=lambda trial: trial.score)
    for axes in panels[len(space) :]:
        axes.set_axis_off()
    for axes, parameter in zip(panels, space, strict=False):
        places = [_place(parameter, trial.values[parameter.name]) for trial in trials]
        axes.plot(places, _percent(trials), "o", alpha=0.7)
        axes.plot(
            _place(parameter, best.values[parameter.name]),
            100 * best.score,
            "*",
            color="black",
            markersize=13,
            label=f"trial {best.number}, {best.score:.2%}",
        )
        if isinstance(parameter, Choice):
            slanted = {"rotation": 30, "ha": "right"} if _wide(parameter) else {}
            axes.set_xticks(range(len(parameter.values)), parameter.values, **slanted)
            axes.margins(x=0.15)
        elif parameter.log:
            axes.set_xscale("log")
        axes.set(xlabel=parameter.name, ylabel="validation accuracy (%)")
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center")
    return figure


def draw_parallel(space, trials):
    """Each trial as a line through its values, coloured by its validation accuracy."""
    figure = Figure(figsize=(max(6, 2 * (len(space) + 1)), 4.5), layout="constrained")
    axes = figure.subplots()
    scores = _percent(trials)
    low, high = min(scores), max(scores)
    worst_first = sorted(trials, key=lambda trial: trial.score)
    lines = [[height(p, trial.values[p.name]) for p in space] for trial in worst_first]
    # Through the middle of the scores' axis where they are all alike.
    ends = [(100 * t.score - low) / (high - low) if high > low else 0.5 for t in worst_first]
    colours = axes.scatter([], [], c=[], cmap=_COLOURS, vmin=low, vmax=high)
    for line, end in zip(lines, ends, strict=True):
        last = end == ends[-1] and line is lines[-1]
        colour = colours.to_rgba(low + end * (high - low))
        axes.plot([*line, end], color=colour, linewidth=3 if last else 1.2, alpha=0.9)
    for place, parameter in enumerate(space):
        axes.axvline(place, color="grey", linewidth=0.8)
        for value in _ticks(parameter):
            text = f"{value:.3g}" if isinstance(value, float) else f"{value}"
            y = height(parameter, value)
            axes.annotate(
                text,
                (place, y),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
            )
    axes.set_xticks(range(len(space) + 1), [*(p.name for p in space), "validation\naccuracy"])
    axes.set(yticks=[], ylim=(-0.05, 1.05), xlim=(-0.1, len(space) + 0.1))
    figure.colorbar(colours, label="validation accuracy (%)")
    return figure


def draw_costs(trials, attribute, label):
    """The validation accuracy against a cost, and the front no other trial is above and left of."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    front = pareto_front(trials, attribute)
    costs = [getattr(trial, attribute) for trial in front]
    axes.plot([getattr(t, attribute) for t in trials], _percent(trials), "o", alpha=0.7)
    axes.plot(
        costs,
        _percent(front),
        "s-",
        color="black",
        drawstyle="steps-post",
        markerfacecolor="none",
        label="Pareto front",
    )
    axes.set(xscale="log", xlabel=label, ylabel="validation accuracy (%)")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    return figure


def pareto_front(trials, attribute):
    """The trials of which none is both cheaper and better, the cheapest first."""
    front = []
    for trial in sorted(trials, key=lambda t: (getattr(t, attribute), -t.score)):
        if not front or trial.score > front[-1].score:
            front.append(trial)
    return front


def draw_importances(shares, count):
    """The share of each hyper-parameter in the variance of the score, the largest on top."""
    figure = Figure(figsize=(6, 1 + 0.4 * len(shares)), layout="constrained")
    axes = figure.subplots()
    names = sorted(shares, key=shares.get)
    bars = axes.barh(names, [100 * shares[name] for name in names])
    axes.bar_label(bars, fmt="%.0f %%", padding=3)
    axes.set(xlabel="share of the variance (%)", title=f"fANOVA of {count} trials")
    axes.margins(x=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _percent(trials):
    return [100 * trial.score for trial in trials]


def _wide(parameter):
    return sum(len(str(value)) + 2 for value in parameter.values) > 30


def _place(parameter, value):
    """Where a value stands on its axis: of a choice the number."""
    return parameter.values.index(value) if isinstance(parameter, Choice) else value


def _ticks(parameter):
    if isinstance(parameter, Choice):
        return parameter.values
    if parameter.log:
        return [float(value) for value in np.geomspace(parameter.low, parameter.high, 5)]
    return [float(value) for value in np.linspace(parameter.low, parameter.high, 5)]
