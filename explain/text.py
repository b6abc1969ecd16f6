"""The chapters on a network that reads a text: what its answers depend on, and what its units say.

Each `write_*` function writes a chapter from the material of `explain.explanation`.
"""

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from datasets import ArraySplit
from explain import features, gradients
from explain.reading import sequence_shape
from explain.style import STYLES
from models import trace

# Numbers of symbols.
CONTEXTS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_TRACED, _BEFORE = 10_000, 500
_LAGS, _BEFORE_LAGS = 100, 50
_LINES = 4
# Symbols of a line of text in a figure, by what a symbol is.
_WIDTHS = {"character": 80, "word": 20}
# Numbers of predictions.
_FOR_CONTEXTS, _FOR_GRADIENTS = 2000, 200
# Inputs and hidden values of all steps of a batch; probabilities of a text that is traced.
_VALUES_AT_ONCE, _MAX_PROBABILITIES = 20_000_000, 20_000_000
_SHOWN_AS = {"\n": "↵", "<eos>": "↵"}


class TextReading:
    """The values of a network while it reads a part of the test text as one sequence.

    Attributes:
        symbols: The symbols as text, a list of N strings.
        first: The index of the symbol that the shown passage begins with.
        values: The result of `models.trace`, arrays `(N, ...)` by name.
        bits: The surprise of each symbol, `float64 (N,)`: minus the logarithm of its probability
            to base 2. It is NaN for the first symbol, which is not predicted.

    Args:
        subject: The `Subject`.
        test: The `StreamSplit` of the test text.
        index: The number of the example that the passage begins with.
    """

    def __init__(self, subject, test, index):
        passage = index * test.steps
        count = min(_TRACED, _MAX_PROBABILITIES // len(subject.vocabulary))
        before = min(_BEFORE, count // 2)
        begin = max(0, min(passage - before, len(test.symbols) - count))
        self.first = max(1, passage - begin)
        ids = test.symbols[begin : begin + count]
        self.symbols = [subject.vocabulary[symbol] for symbol in ids]
        self.values = _trace(subject.model, ids)
        outputs = self.values.pop("outputs")
        nats = subject.task.judge(outputs[None, :-1], ids[None, 1:]).nats
        self.bits = np.concatenate([[np.nan], nats / np.log(2)])

    def named(self, *endings):
        """The values whose names end in one of `endings`, by name."""
        return {name: v for name, v in self.values.items() if name.endswith(endings)}


def _trace(model, ids):
    """The result of `models.trace` for one sequence `(N,)`: `float32 (N, ...)` by name."""

    @tf.function(input_signature=[tf.TensorSpec((1, None), model.input.dtype)], autograph=False)
    def traced(ids):
        return {name: tf.cast(v[0], tf.float32) for name, v in trace(model, ids).items()}

    return {name: value.numpy() for name, value in traced(ids[None]).items()}


def context_losses(task, model, symbols, contexts=CONTEXTS):
    """Compute the loss by the number of symbols that the model reads before it predicts.

    All contexts end before the same symbols, and the states are 0 before each context.

    Args:
        task: The `Task` of the data.
        model: A model made by `create_model`.
        symbols: `int (N,)`, with at least two symbols.
        contexts: Numbers of symbols; those of more than half of the text are left out.

    Returns:
        The mean cross-entropy in nats by context, and the number of predictions.
    """
    contexts = [context for context in contexts if context <= max(1, len(symbols) // 2)]
    count = min(_FOR_CONTEXTS, len(symbols) - contexts[-1])
    ends = np.linspace(contexts[-1], len(symbols) - 1, count).astype(int)

    head = model.layers[-1]
    # The head is large if there are many symbols: it only runs after the last step.
    hidden = keras.Model(model.input, head.input)

    @tf.function(input_signature=[tf.TensorSpec((None, None), model.input.dtype)], autograph=False)
    def predict(ids):
        return head(hidden(ids, training=False)[:, -1:])

    losses = {}
    values = sequence_shape(model, symbols[None])[1] + head.input.shape[-1]
    for context in contexts:
        size = max(1, _VALUES_AT_ONCE // (context * values))
        outputs = [
            predict(symbols[some[:, None] - np.arange(context, 0, -1)]).numpy()
            for some in np.split(ends, range(size, count, size))
        ]
        losses[context] = task.judge(np.concatenate(outputs), symbols[ends][:, None]).loss
    return losses, count


class _LastPrediction:
    """The loss of the last prediction only, for `gradients.norms`."""

    def __init__(self, task):
        self._task = task

    def losses(self, targets, outputs):
        return self._task.losses(targets[:, None], outputs[:, None])


def gradients_back(task, model, symbols, lags=_LAGS):
    """Compute the norm of the gradient of one prediction's loss at each earlier step.

    Args:
        task: The `Task` of the data.
        model: A model made by `create_model`.
        symbols: `int (N,)`.
        lags: The largest number of steps back, less in a text that is too short.

    Returns:
        `float64 (lags + 1,)` by the name of the hidden state, from the step of the prediction
        backwards, and the number of predictions over which they are means. Each example begins 50
        steps before the earliest one.
    """
    lags = min(lags, max(0, len(symbols) - 2 - _BEFORE_LAGS))
    steps = min(lags + 1 + _BEFORE_LAGS, len(symbols) - 1)
    count = min(_FOR_GRADIENTS, len(symbols) - steps)
    begins = np.linspace(0, len(symbols) - steps - 1, count).astype(int)
    split = ArraySplit(symbols[begins[:, None] + np.arange(steps)], symbols[begins + steps])
    norms = gradients.norms(_LastPrediction(task), model, split)
    del norms["inputs"]
    return {name: values[::-1][: lags + 1] for name, values in norms.items()}, count


def write_context(material):
    """Write the chapter on the loss against the context."""
    step, symbols = material.spec.step, material.split.symbols
    curves = {}
    for subject in material.subjects:
        losses, count = context_losses(subject.task, subject.model, symbols)
        curves[subject.name] = losses
        bits = ", ".join(f"{loss / np.log(2):.3f} after {c}" for c, loss in losses.items())
        print(f"explain: bits per {step} of {subject.name}: {bits}", flush=True)
    material.report.chapter(
        "How much context it uses",
        f"The mean cross-entropy of the same {count:,} {step}s of the test text, if the network "
        f"reads only so many {step}s before each. Its states are 0 before them. While a curve "
        f"falls, the network uses {step}s that far back.",
    )
    caption = f"{material.names}: loss against the number of {step}s that are read before."
    material.report.figure("context", draw_context(curves, step), caption)


def draw_context(curves, step):
    """Draw the results of `context_losses` by the name of the network, in bits."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for (name, losses), (colour, dashes) in zip(curves.items(), STYLES, strict=False):
        bits = np.array(list(losses.values())) / np.log(2)
        axes.plot(list(losses), bits, "o", color=colour, linestyle=dashes, label=name)
    axes.set_xscale("log")
    axes.set_xticks(list(losses), list(losses))
    axes.minorticks_off()
    axes.set(xlabel=f"{step}s of context", ylabel=f"cross-entropy (bits per {step})")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def write_passage(material):
    """Write the chapter on the surprise along a passage."""
    step, readings = material.spec.step, material.text_readings
    material.report.chapter(
        "How it reads a passage",
        f"The surprise of each {step} of the test text, in bits: minus the logarithm of the "
        "probability that the network gave to it before it was read. The network begins to read "
        f"{next(iter(readings.values())).first:,} {step}s before the passage.",
    )
    caption = f"{material.names}: surprise along a passage of the test text."
    figure = draw_passage(readings, step)
    material.report.figure("passage", figure, caption)


def draw_passage(readings, step):
    """Draw the bits of each symbol above the text, for each network.

    Args:
        readings: `TextReading`s of the same text by the name of the network.
        step: What a symbol is called.
    """
    reading = next(iter(readings.values()))
    width = _WIDTHS[step]
    begins = range(reading.first, len(reading.symbols), width)[:_LINES]
    figure = Figure(figsize=(11, 0.6 + 1.5 * len(begins)), layout="constrained")
    top = max(np.nanmax(r.bits[begins[0] : begins[-1] + width]) for r in readings.values())
    for axes, begin in zip(figure.subplots(len(begins), squeeze=False)[:, 0], begins, strict=True):
        symbols = reading.symbols[begin : begin + width]
        for (name, each), (colour, dashes) in zip(readings.items(), STYLES, strict=False):
            bits = each.bits[begin : begin + width]
            x, y = np.arange(len(bits) + 1) - 0.5, [*bits, bits[-1]]
            style = {"color": colour, "linestyle": dashes, "linewidth": 1.3}
            axes.plot(x, y, drawstyle="steps-post", label=name, **style)
        _write_symbols(axes, symbols)
        axes.set(xlim=(-0.5, width - 0.5), ylim=(0, 1.05 * top), ylabel="bits")
        axes.grid(axis="y", alpha=0.3)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(readings)
    )
    return figure


def _write_symbols(axes, symbols):
    """Write symbols under the axes, each below its own step."""
    shown = [_SHOWN_AS.get(symbol, symbol) for symbol in symbols]
    options = (
        {}
        if max(map(len, shown)) == 1
        else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    )
    axes.set_xticks(range(len(shown)), shown, family="monospace", **options)
    axes.tick_params(axis="x", length=0, pad=2)


def write_gradients(material):
    """Write the chapter on gradients through time."""
    step, symbols = material.spec.step, material.split.symbols
    curves = {}
    for subject in material.subjects:
        for when, model in [("untrained", subject.untrained()), ("trained", subject.model)]:
            norms, count = gradients_back(subject.task, model, symbols)
            for name, values in norms.items():
                layer = "" if name == "hidden" else f", {name.replace('_', ' ')}"
                label = f"{subject.name}, {when}{layer}"
                curves[label] = values
                shown = {lag: values[lag] for lag in (0, len(values) // 2, len(values) - 1)}
                shown = ", ".join(f"{norm:.2g} at {lag}" for lag, norm in shown.items())
                print(f"explain: gradient norm of {label}, by {step}s back: {shown}", flush=True)
    material.report.chapter(
        "Gradients through time",
        "The norm of the gradient of the loss of one prediction with respect to the hidden state "
        "some steps earlier. It shows how much an earlier state still changes the prediction. "
        "Where a curve has fallen far, the network hardly learns from that distance. The norms "
        f"are means over {count} predictions.",
    )
    title = "gradient of one prediction's loss at the hidden state"
    xlabel = f"{step}s before the prediction"
    figure = gradients.draw_norms(curves, title, xlabel, first=0)
    caption = f"{material.names}: gradient norms by the number of {step}s back."
    material.report.figure("gradients-back", figure, caption)


def write_units(material):
    """Write the chapter on units that follow a feature of the text."""
    step, readings = material.spec.step, material.text_readings
    symbols = next(iter(readings.values())).symbols
    found = find_units(readings, step)
    material.report.chapter(
        "Units with a clear meaning",
        "For each feature of the text, the hidden or cell value that follows it the most closely. "
        f"It is chosen by its correlation with the feature on the first half of {len(symbols):,} "
        f"{step}s of the test text. The correlation r that is shown is that on the second half. "
        "The first row of each strip is the text, darker where the feature is higher. The other "
        "rows are the values of the units, from their lowest (dark) to their highest (bright), or "
        "from the highest to the lowest if r is negative. An r near 0 means that no single unit "
        "follows the feature.",
    )
    caption = f"{material.names}: the unit that follows each feature of the text the most closely."
    material.report.figure("units", draw_units(readings, found, step), caption)


def find_units(readings, step):
    """Find the best unit of each network for each feature.

    Args:
        readings: `TextReading`s of the same text by the name of the network.
        step: What a symbol is called.

    Returns:
        A dict from the name of a feature to its values `(N,)` and a list, for each network, of the
        name of the unit, its values `(N,)`, and its correlation with the feature: see
        `features.best_unit`.
    """
    symbols = next(iter(readings.values())).symbols
    found = {}
    for feature, wanted in features.features(symbols, step).items():
        units = []
        for reading in readings.values():
            states = reading.named("hidden", "cell")
            names = [
                f"{name.replace('_', ' ')} {unit}"
                for name, values in states.items()
                for unit in range(values.shape[-1])
            ]
            values = np.concatenate(list(states.values()), axis=-1)
            unit, correlation = features.best_unit(values, wanted)
            units.append((names[unit], values[:, unit], correlation))
        found[feature] = wanted, units
    return found


def draw_units(readings, found, step):
    """Draw the result of `find_units`: a strip for each feature over a passage of the text."""
    symbols, width = next(iter(readings.values())).symbols, _WIDTHS[step]
    rows = 1 + len(readings)
    size = (11, 0.3 + len(found) * (0.45 + 0.22 * rows))
    figure = Figure(figsize=size, layout="constrained")
    for axes, (feature, (wanted, units)) in zip(
        figure.subplots(len(found), squeeze=False)[:, 0], found.items(), strict=True
    ):
        begin = _most_varied(wanted, width)
        part = slice(begin, begin + width)
        grey, heat = matplotlib.colormaps["Greys"], matplotlib.colormaps["cividis"]
        colours = [grey(0.5 * _scaled(wanted, part))]
        labels = ["the text"]
        for name, (unit, values, correlation) in zip(readings, units, strict=True):
            turned = -values if correlation < 0 else values
            colours.append(heat(_scaled(turned, part)))
            r = f"{round(correlation, 2) + 0.0:.2f}".replace("-", "−")
            labels.append(f"{name}: {unit}, r = {r}")
        axes.imshow(np.array(colours), aspect="auto", interpolation="none")
        for x, symbol in enumerate(symbols[part]):
            shown = _SHOWN_AS.get(symbol, symbol)[:10]
            options = {"ha": "center", "va": "center", "family": "monospace"}
            axes.text(x, 0, shown, fontsize=8 if len(shown) < 5 else 6, **options)
        axes.set_yticks(range(rows), labels, fontsize=8)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.set_title(feature, loc="left", fontsize=9)
    return figure


def _most_varied(feature, width):
    """The beginning of the part of the second half in which a feature varies the most."""
    half = len(feature) // 2
    begins = range(half, max(half + 1, len(feature) - width + 1), max(1, width // 4))
    return max(begins, key=lambda begin: np.var(feature[begin : begin + width]))


def _scaled(values, part):
    """A part of values, scaled so that nearly all of them lie between 0 and 1."""
    low, high = np.percentile(values, [1, 99])
    if low == high:
        low, high = values.min(), values.max()
    return np.clip((values[part] - low) / max(high - low, 1e-9), 0, 1)


def write_gates(material):
    """Write the chapter on the gates by kind of symbol."""
    step, readings = material.spec.step, material.text_readings
    means = {name: mean_gates(reading) for name, reading in readings.items()}
    means = {name: gates for name, gates in means.items() if gates}
    material.report.chapter(
        f"Gates by kind of {step}",
        f"The mean value of each gate, over all units, at the step that reads a {step} of the "
        "kind. A gate is open at 1 and closed at 0.",
    )
    caption = f"{', '.join(means)}: the mean of each gate by the kind of {step} that is read."
    material.report.figure("gates", draw_gates(means), caption)


def mean_gates(reading):
    """The mean of each gate over all units and all symbols of a kind.

    Returns:
        `{gate: {kind: mean}}`, for the kinds in `TextReading.symbols`.
    """
    kind = features.kinds(reading.symbols)
    shown = [each for each in features.KINDS if each in kind]
    return {
        name: {each: float(values[kind == each].mean()) for each in shown}
        for name, values in reading.named("gate").items()
    }


def draw_gates(means):
    """Draw the results of `mean_gates` by the name of the network: one heat map for each."""
    counts = [len(gates) for gates in means.values()]
    figure = Figure(figsize=(7, 1 + 0.55 * len(counts) + 0.35 * sum(counts)), layout="constrained")
    panels = figure.subplots(len(means), squeeze=False, height_ratios=counts, sharex=True)[:, 0]
    for axes, (name, gates) in zip(panels, means.items(), strict=True):
        kinds = list(next(iter(gates.values())))
        values = np.array([[gates[gate][kind] for kind in kinds] for gate in gates])
        heat = axes.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if value < 0.5 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
        axes.set_yticks(range(len(gates)), [gate.replace("_", " ") for gate in gates])
        axes.set_xticks(range(len(kinds)), kinds)
        axes.set_title(name, fontsize="medium")
    figure.colorbar(heat, ax=panels, label="mean of the gate")
    return figure


def write_symbols(material):
    """Write the chapter on the scores and the surprise of each symbol."""
    step, report = material.spec.step, material.report
    summaries = "; ".join(f"{name}: {e.summary()}" for name, e in material.evaluations.items())
    report.chapter(f"Surprise of each {step}", f"{summaries}.")
    for number, subject in enumerate(material.subjects, start=1):
        evaluation = material.evaluations[subject.name]
        for kind, figure in subject.task.figures(evaluation, material.test).items():
            caption = f"{subject.name}: mean {kind} of the most frequent {step}s of the test text."
            report.figure(f"{kind}-{number}", figure, caption)
