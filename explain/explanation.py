"""The chapters of the report on a trained network, and which of them apply to it."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from configs import Config
from datasets.dataset import spec_of
from datasets.splits import Split
from explain import gates, gradients, mistakes, probes, reading, text
from explain.report import Report
from models import create_model
from tasks import task_of
from tasks.class_figures import draw_confusion
from training.files import atomic_folder

# Numbers of examples.
_FOR_GRADIENTS, _HARDEST = 200, 3
# Steps of all examples together whose values are held in memory.
_MAX_STEPS = 100_000


@dataclasses.dataclass(frozen=True)
class Subject:
    """A trained network that is explained.

    Attributes:
        name: Its name in the figures.
        model: The Keras model.
        config: The `Config` it was created from.
        vocabulary: The symbols that a model of text knows.
    """

    name: str
    model: keras.Model
    config: Config
    vocabulary: tuple = ()

    @property
    def spec(self):
        """The `Spec` of the data that it was trained on."""
        size = self.model.output_shape[-1]
        return spec_of(self.config, self.model.input_shape, size, self.vocabulary)

    @property
    def task(self):
        """Its `Task`."""
        return task_of(self.spec, self.config)

    def untrained(self):
        """The network with its initial weights."""
        keras.utils.set_random_seed(self.config.seed)
        return create_model(self.config, self.spec)

    def read(self, inputs):
        """The result of `explain.reading.read`."""
        return reading.read(self.task, self.model, inputs)

    @property
    def reads_rows(self):
        """Whether the steps are the rows of an image, from top to bottom."""
        is_in_order = self.config.scan == "rows" and self.config.permute_seed is None
        return self.spec.reads == "images" and is_in_order


@dataclasses.dataclass(frozen=True)
class _Material:
    """What the chapters are written from.

    Attributes:
        report: The `Report`.
        subjects: The `Subject` to explain, followed by those to compare it with.
        test: The `Split` of all test examples.
        split: The part of it for most figures.
        index: Index of the test example whose reading is shown.
    """

    report: Report
    subjects: list
    test: Split
    split: Split
    index: int

    @property
    def subject(self):
        """The `Subject` to explain."""
        return self.subjects[0]

    @property
    def task(self):
        return self.subject.task

    @property
    def spec(self):
        return self.subject.spec

    @property
    def names(self):
        """The names of all networks in words."""
        return ", ".join(subject.name for subject in self.subjects)

    @functools.cached_property
    def traced(self):
        """The part of `split` for figures of every step."""
        steps = max(reading.sequence_shape(s.model, self.test.inputs)[0] for s in self.subjects)
        return self.split[: max(1, _MAX_STEPS // steps)]

    @functools.cached_property
    def readings(self):
        """The results of `explain.reading.read` for `traced` by the name of the network."""
        readings = {}
        for s in self.subjects:
            _log(f"trace {s.name} on {len(self.traced):,} {s.spec.examples}")
            readings[s.name] = s.read(self.traced.inputs)
        return readings

    @functools.cached_property
    def text_readings(self):
        """The `explain.text.TextReading` of each network by its name."""
        readings = {}
        for s in self.subjects:
            _log(f"trace {s.name} on the test text")
            readings[s.name] = text.TextReading(s, self.test, self.index)
        return readings

    @functools.cached_property
    def evaluations(self):
        """The `Evaluation` of each network on `test` by its name."""
        return {s.name: s.task.evaluate(s.model, self.test) for s in self.subjects}


def explain(subjects, test, folder, image=0, images=2000):
    """Write a report of trained networks.

    Args:
        subjects: The `Subject` to explain, followed by those to compare it with.
        test: The `Split` of all test examples.
        folder: Folder of the report. It is replaced if it exists.
        image: Index of the test example whose reading is shown.
        images: Number of test examples, from the first on, for most figures. Figures of every step
            use fewer examples if there are many steps; mistakes are searched among all.

    Returns:
        The path of the report, `report.html`.
    """
    folder = pathlib.Path(folder)
    with atomic_folder(folder) as temporary:
        report = Report(temporary, f"How {subjects[0].name} reads")
        material = _Material(report, subjects, test, test[:images], image)
        left_out = {}
        for part in _PARTS:
            failed = next((c for c in part.conditions if not c.holds(material)), None)
            if failed is None:
                part.write(material)
            elif part.name and failed.otherwise:
                left_out.setdefault(failed.otherwise, []).append(part.name)
        if left_out:
            report.paragraph(
                " ".join(
                    f"Left out, because {reason}: {', '.join(names)}."
                    for reason, names in left_out.items()
                )
            )
        report.write()
    return folder / "report.html"


def _log(message):
    print(f"explain: {message}", flush=True)


def _write_reading(material):
    spec = material.spec
    material.report.chapter(
        f"How it reads {'a digit' if _IMAGES.holds(material) else 'a sequence'}",
        "Each figure shows, from top to bottom, the values after each step. The "
        f"{reading.ANSWERS[spec.answers].plural} are those that the network would give if the "
        f"{_one(spec)} ended at that step.",
    )
    _draw_readings(material, material.subjects, material.index, is_animated=True)


def _write_hardest(material):
    material.report.paragraph(
        f"The last {material.spec.examples} are the hardest of all {len(material.test):,} for "
        f"{material.subject.name}: their class gets the lowest probability."
    )
    evaluation = material.evaluations[material.subject.name]
    for index in mistakes.hardest(evaluation, _HARDEST):
        _draw_readings(material, material.subjects[:1], index)


def _one(spec):
    """What one example is called, such as `"image"`."""
    return spec.examples.removesuffix("s")


def _draw_readings(material, subjects, index, is_animated=False):
    """Draw how networks read one test example."""
    example, target = material.test.inputs[index], material.test.targets[index]
    noun, report = _one(material.spec), material.report
    for position, subject in enumerate(subjects):
        _log(f"draw how {subject.name} reads {noun} {index}")
        task = subject.task
        values = {name: v[0] for name, v in subject.read(example[None]).items()}
        title = f"{subject.name} {task.describe(values[task.output][-1], target)}"
        name = f"reading-{index}" + (f"-{position + 1}" if position else "")
        caption = f"How {subject.name} reads test {noun} {index}."
        report.figure(name, reading.draw_reading(task, example, values, title), caption)
        if is_animated:
            _log("draw the animation")
            path = report.folder / f"{name}.gif"
            reading.animate_reading(path, task, example, values, title, subject.reads_rows)
            report.animation(path.name, f"{caption[:-1]}, step by step.")


def _write_averages(material):
    split, examples, report = material.traced, material.spec.examples, material.report
    report.chapter("Averages by class", f"Averages over {len(split):,} test {examples}.")
    for position, subject in enumerate(material.subjects):
        values = material.readings[subject.name]
        steps = reading.decided_at(values["probabilities"])
        length = values["probabilities"].shape[1]
        suffix = f"-{position + 1}" if position else ""
        figure = reading.draw_classes(values, split.targets)
        caption = f"{subject.name}: means over all units at each step, for each class."
        report.figure(f"classes{suffix}", figure, caption)
        figure = reading.draw_decisions(steps, split.targets, length, examples)
        report.figure(
            f"decisions{suffix}",
            figure,
            f"{subject.name}: half of all answers are final after step {np.median(steps):.0f} of "
            f"{length}.",
        )


def _write_gradients(material):
    split, report = material.split[:_FOR_GRADIENTS], material.report
    report.chapter(
        "Gradients through time",
        "The norm of the gradient shows how much the loss depends on each step. Where the curve "
        "falls to the left, the network cannot learn from early steps. The norms are means over "
        f"{len(split)} {material.spec.examples}.",
    )
    curves = {"states": {}, "inputs": {}}
    captions = []
    for subject in material.subjects:
        for when, model in [("untrained", subject.untrained()), ("trained", subject.model)]:
            _log(f"compute the gradients of {subject.name}, {when}")
            for name, values in gradients.norms(subject.task, model, split).items():
                kind = "inputs" if name == "inputs" else "states"
                layer = "" if name in ("inputs", "hidden") else f", {name.replace('_', ' ')}"
                curves[kind][f"{subject.name}, {when}{layer}"] = values
            largest = map(max, gradients.largest_singular_values(model).values())
            captions.append(f"{subject.name}, {when}: {', '.join(f'{s:.2f}' for s in largest)}")
    titles = {"states": "gradient of the loss at h(t)", "inputs": "gradient of the loss at x(t)"}
    variables = {"states": "the hidden state", "inputs": "the input"}
    for kind, title in titles.items():
        caption = f"{material.names}: gradient norms with respect to {variables[kind]} by step."
        report.figure(f"gradients-{kind}", gradients.draw_norms(curves[kind], title), caption)
    values = "; ".join(captions)
    report.paragraph(f"Largest singular value of each recurrent matrix or its blocks: {values}.")


def _write_gates(material):
    subject, task, split = material.subject, material.task, material.split
    material.report.chapter(
        f"How much each gate {'and row ' if _IMAGES.holds(material) else ''}matters",
        f"The {task.score_name} with one gate held at a constant value and everything else as "
        f"trained, on {len(split):,} test {material.spec.examples}.",
    )
    whole = gates.score(task, subject.model, split)
    scores = {}
    values = material.readings[subject.name]
    for change, score in gates.knock_out(task, subject.model, split, values):
        _log(f"{change}: {task.show(score)} of {task.show(whole)}")
        scores[change] = score
    caption = f"{subject.name}: {task.score_name} with one gate or peephole held constant."
    material.report.figure("gates", gates.draw_knock_outs(task, whole, scores), caption)


def _write_rows(material):
    subject, split, report = material.subject, material.split, material.report
    if not _GATES.holds(material):  # Otherwise the chapter of the gates goes on.
        text = f"The accuracy with one row of the image blank, on {len(split):,} test images."
        report.chapter("How much each row matters", text)
    _log("compute the accuracy without each row")
    lost = gates.row_saliency(subject.task, subject.model, split)
    caption = f"{subject.name}: the accuracy lost when one row of the image is blank."
    report.figure("rows", gates.draw_row_saliency(lost, split.inputs.mean(axis=0)), caption)


def _write_probes(material):
    labels, subject = material.traced.targets, material.subject
    # Flip backward states into their reading order: at step 1 only the last row has been read.
    hidden = {
        name: values[:, ::-1] if name.startswith("backward") else values
        for name, values in material.readings[subject.name].items()
        if name.endswith("hidden")
    }
    _log("train a linear classifier of the hidden state for each step")
    classes, scores, weights = probes.probe(np.concatenate(list(hidden.values()), axis=-1), labels)
    if not len(classes):
        return
    unit_names = [
        f"{name.removesuffix('hidden').replace('_', ' ')}{unit}"
        for name, values in hidden.items()
        for unit in range(values.shape[-1])
    ]
    units = "; ".join(
        f"{c}: {', '.join(unit_names[unit] for unit in units)}"
        for c, units in probes.most_informative(weights, classes)
    )
    material.report.chapter(
        "Units that store each class",
        "A linear classifier predicts the class from the hidden state after each step. It is "
        f"trained on half of {len(labels):,} test {material.spec.examples} and tested on the other "
        "half. F1, the harmonic mean of precision and recall, is 0 for a class that it never "
        "answers, and low for one that it always answers. Units with the largest weights for each "
        f"class: {units}.",
    )
    caption = (
        f"{subject.name}: how well each class is recognised after each step, and by which units."
    )
    material.report.figure("probes", probes.draw_probes(scores, weights, classes), caption)


def _write_mistakes(material):
    summaries = "; ".join(f"{name}: {e.summary()}" for name, e in material.evaluations.items())
    material.report.chapter("Mistakes", f"{summaries}.")


def _write_calibration(material):
    calibrations = {
        name: mistakes.calibration(e.probabilities, e.labels)
        for name, e in material.evaluations.items()
    }
    figure = mistakes.draw_calibration(calibrations, material.spec.examples)
    caption = f"{material.names}: share of correct answers against the confidence."
    material.report.figure("calibration", figure, caption)


def _write_confusion(material):
    examples = material.spec.examples
    for number, (name, evaluation) in enumerate(material.evaluations.items(), start=1):
        figure = draw_confusion(evaluation)
        figure.axes[0].set_title(f"{name}\n{evaluation.summary()}")
        caption = f"{name}: classes of the {examples} and predicted classes."
        material.report.figure(f"confusion-{number}", figure, caption)


def _write_answers(material):
    for number, subject in enumerate(material.subjects, start=1):
        evaluation = material.evaluations[subject.name]
        for kind, figure in subject.task.figures(evaluation, material.test).items():
            caption = f"{subject.name}: {kind} to test {material.spec.examples}."
            material.report.figure(f"{kind}-{number}", figure, caption)


def _write_missed(material):
    answers = {name: evaluation.predictions for name, evaluation in material.evaluations.items()}
    figure, caption = mistakes.draw_missed(material.test, answers)
    material.report.figure("missed", figure, caption)


def _write_robustness(material):
    robust = {}
    for subject in material.subjects:
        _log(f"test {subject.name} on changed images")
        robust[subject.name] = mistakes.robustness(
            lambda changed, s=subject: s.task.evaluate(s.model, changed).score, material.split
        )
    caption = (
        f"{material.names}: accuracy on {len(material.split):,} increasingly changed test images."
    )
    material.report.figure("robustness", mistakes.draw_robustness(robust), caption)


class _Condition(NamedTuple):
    """When a part of the report applies.

    Attributes:
        holds: A function of the `_Material`.
        otherwise: Why the part does not apply, as the end of a sentence; empty if another part
            replaces it.
    """

    holds: Callable
    otherwise: str = ""


class _Part(NamedTuple):
    """A part of the report.

    Attributes:
        write: A function of the `_Material`.
        conditions: The `_Condition`s that must all hold. The first one that does not hold tells
            why the part is left out.
        name: Its name in the list of parts that were left out; empty if it is not in the list.
    """

    write: Callable
    conditions: tuple[_Condition, ...] = ()
    name: str = ""


_IMAGES = _Condition(lambda m: m.spec.reads == "images", "sequences are not images")
_CLASSES = _Condition(lambda m: m.spec.answers == "class", "the answers are not classes")
_NOT_CLASSES = _Condition(lambda m: m.spec.answers != "class")
_GATES = _Condition(
    lambda m: bool(gates.gate_names(m.readings[m.subject.name])), "the cells have no gates"
)

_TEXT = _Condition(lambda m: m.spec.reads == "tokens")
_NOT_TEXT = _Condition(lambda m: m.spec.reads != "tokens")
_AT_THE_END = _Condition(
    lambda m: not m.spec.answers_at_every_step, "the networks answer at every step"
)
_TEXT_GATES = _Condition(
    lambda m: any(r.named("gate") for r in m.text_readings.values()), "the cells have no gates"
)

_PARTS = (
    _Part(_write_reading, (_NOT_TEXT,)),
    _Part(text.write_passage, (_TEXT,)),
    _Part(text.write_context, (_TEXT,)),
    _Part(_write_hardest, (_CLASSES,), "the hardest examples"),
    _Part(_write_averages, (_CLASSES,), "averages by class"),
    _Part(_write_gradients, (_NOT_TEXT, _AT_THE_END), "gradients through time"),
    _Part(text.write_gradients, (_TEXT,)),
    _Part(text.write_units, (_TEXT,)),
    _Part(text.write_gates, (_TEXT, _TEXT_GATES), "the gates by kind of symbol"),
    _Part(_write_gates, (_AT_THE_END, _GATES), "the score without each gate"),
    _Part(_write_rows, (_IMAGES,), "the score without each row"),
    _Part(_write_probes, (_CLASSES,), "the units that store each class"),
    _Part(_write_mistakes, (_NOT_TEXT,)),
    _Part(_write_calibration, (_CLASSES,), "calibration"),
    _Part(_write_confusion, (_CLASSES,), "the confusion matrix"),
    _Part(_write_answers, (_NOT_CLASSES, _NOT_TEXT)),
    _Part(text.write_symbols, (_TEXT,)),
    _Part(_write_missed, (_IMAGES,), "pictures of misclassified examples"),
    _Part(_write_robustness, (_IMAGES,), "robustness to changes"),
)
