"""What a trained network shows of itself, chapter by chapter."""

import dataclasses
import pathlib

import keras
import numpy as np

from configs import Config
from datasets.dataset import images_spec
from explain import gates, gradients, mistakes, probes, reading
from explain.report import Report
from models import create_model
from training.evaluate import evaluate
from training.figures import draw_confusion
from training.files import atomic_folder

# Numbers of images.
_FOR_GRADIENTS, _HARDEST = 200, 3
# How many steps of a network, of all images together, are kept in memory.
_MAX_STEPS = 100_000


@dataclasses.dataclass(frozen=True)
class Subject:
    """A trained network that is explained.

    Attributes:
        name: What it is called in the figures.
        model: It.
        config: The `Config` it was made by.
    """

    name: str
    model: keras.Model
    config: Config

    def untrained(self):
        """The network as it was before its training."""
        keras.utils.set_random_seed(self.config.seed)
        return create_model(self.config, images_spec(self.model.output_shape[-1]))

    @property
    def steps(self):
        """How many steps it takes to read an image."""
        return self.model.get_layer("scan").output.shape[1]

    @property
    def reads_rows(self):
        """Whether its steps are the image's rows, from top to bottom."""
        return self.config.scan == "rows" and self.config.permute_seed is None


def explain(subjects, test, folder, image=0, images=2000):
    """Write a report of trained networks.

    Args:
        subjects: The `Subject` that is explained, and those beside which it is shown.
        test: The `Split` of all test images.
        folder: Where the report is written, in place of one that is there.
        image: Number of the test image whose reading is shown.
        images: By how many of the test images, the first, most of it is shown, and by fewer what
            is kept of each step if there are many steps; mistakes are looked for among all.

    Returns:
        The path of the report, `report.html`.
    """
    folder = pathlib.Path(folder)
    subject, split = subjects[0], test[:images]
    with atomic_folder(folder) as aside:
        report = Report(aside, f"{subject.name} as it reads")
        followed = split[: _MAX_STEPS // max(s.steps for s in subjects)]
        readings = {}
        for s in subjects:
            _tell(f"follow {s.name} through {len(followed):,} images")
            readings[s.name] = reading.read(s.model, followed.inputs)
        evaluations = {s.name: evaluate(s.model, test) for s in subjects}
        hardest = mistakes.hardest(evaluations[subject.name], _HARDEST)
        _read_digits(report, subjects, readings, followed, test, image, hardest)
        _follow_gradients(report, subjects, split[:_FOR_GRADIENTS])
        _take_gates_away(report, subject, readings[subject.name], split)
        _probe(report, subject, readings[subject.name], followed.targets)
        _make_mistakes(report, subjects, evaluations, split, test)
        report.write()
    return folder / "report.html"


def _tell(what):
    print(f"explain: {what}", flush=True)


def _names(subjects):
    return ", ".join(subject.name for subject in subjects)


def _read_digits(report, subjects, readings, split, test, image, hardest):
    report.chapter(
        "It reads a digit",
        "Each figure shows, from top to bottom, the values after each step of the reading. The "
        "probabilities are those that the network would give if the image ended there. The last "
        f"images are the hardest of all {len(test):,} for {subjects[0].name}: it gives the lowest "
        "probability to their class.",
    )
    _draw_readings(report, subjects, test, image, is_animated=True)
    for number in hardest:
        _draw_readings(report, subjects[:1], test, number)
    report.chapter("The classes, on average", f"Averages over {len(split):,} test images.")
    for place, subject in enumerate(subjects):
        of_this = readings[subject.name]
        steps = reading.decided_at(of_this["probabilities"])
        length = of_this["probabilities"].shape[1]
        suffix = f"-{place + 1}" if place else ""
        figure = reading.draw_classes(of_this, split.targets)
        caption = f"{subject.name}: means over all its units, at each step, for each class."
        report.figure(f"classes{suffix}", figure, caption)
        figure = reading.draw_decisions(steps, split.targets, length)
        report.figure(
            f"decisions{suffix}",
            figure,
            f"{subject.name}: half of all answers did not change any more after step "
            f"{np.median(steps):.0f} of {length}.",
        )


def _draw_readings(report, subjects, test, number, is_animated=False):
    """How networks read one test image."""
    image, label = test.inputs[number], test.targets[number]
    for place, subject in enumerate(subjects):
        _tell(f"draw how {subject.name} reads image {number}")
        one = {name: v[0] for name, v in reading.read(subject.model, image[None]).items()}
        answer = one["probabilities"][-1].argmax()
        title = f"{subject.name} reads a {label}, and takes it for a {answer}"
        name = f"reading-{number}" + (f"-{place + 1}" if place else "")
        caption = f"How {subject.name} reads test image {number}."
        report.figure(name, reading.draw_reading(image, one, title), caption)
        if is_animated:
            _tell("draw it step by step")
            path = report.folder / f"{name}.gif"
            reading.animate_reading(path, image, one, title, subject.reads_rows)
            report.animation(path.name, f"{caption[:-1]}, step by step.")


def _follow_gradients(report, subjects, split):
    report.chapter(
        "Gradients through time",
        "The norm of the gradient says how much the loss depends on each step. Where the curve "
        "falls to the left, the network cannot learn from early steps. Means over "
        f"{len(split)} images.",
    )
    curves = {"states": {}, "inputs": {}}
    captions = []
    for subject in subjects:
        for when, model in [("untrained", subject.untrained()), ("trained", subject.model)]:
            _tell(f"follow the gradients of {subject.name}, {when}")
            for name, values in gradients.norms(model, split).items():
                kind = "inputs" if name == "inputs" else "states"
                place = "" if name in ("inputs", "hidden") else f", {name.replace('_', ' ')}"
                curves[kind][f"{subject.name}, {when}{place}"] = values
            sizes = [max(found) for found in gradients.largest_singular_values(model).values()]
            captions.append(f"{subject.name}, {when}: {', '.join(f'{s:.2f}' for s in sizes)}")
    titles = {"states": "gradient of the loss at h(t)", "inputs": "gradient of the loss at x(t)"}
    of_what = {"states": "each hidden state", "inputs": "the input"}
    for kind, title in titles.items():
        caption = f"{_names(subjects)}: norms with respect to {of_what[kind]}, step by step."
        report.figure(f"gradients-{kind}", gradients.draw_norms(curves[kind], title), caption)
    largest = "; ".join(captions)
    report.paragraph(f"Largest singular value of a recurrent matrix or its blocks: {largest}.")


def _take_gates_away(report, subject, of_this, split):
    report.chapter(
        "The use of each gate",
        "The accuracy that is left if a gate is held at a value and all else stays as trained, on "
        f"{len(split):,} test images.",
    )
    whole = gates.accuracy(subject.model, split)
    left = {}
    for what, share in gates.knock_out(subject.model, split, of_this):
        _tell(f"{what}: {share:.2%} of {whole:.2%}")
        left[what] = share
    if left:
        caption = f"{subject.name}: the accuracy that is left without a gate or peephole."
        report.figure("gates", gates.draw_knock_outs(whole, left), caption)
    _tell("blank one row after the other")
    lost = gates.row_saliency(subject.model, split)
    caption = f"{subject.name}: the accuracy lost by each row of the image that is left blank."
    report.figure("rows", gates.draw_row_saliency(lost, split.inputs.mean(axis=0)), caption)


def _probe(report, subject, of_this, labels):
    # Of a way back in the order of its own steps: at first it knows the last row alone.
    hidden = {
        name: values[:, ::-1] if name.startswith("backward") else values
        for name, values in of_this.items()
        if name.endswith("hidden")
    }
    _tell("ask the hidden state for the class, step by step")
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
    report.chapter(
        "The units that store each class",
        "A linear classifier tells the class from the hidden state after each step. It is judged "
        f"by every other of {len(labels):,} test images. F1, the harmonic mean of precision and "
        "recall, is 0 for a class that it never answers, and low for one that it always answers. "
        f"The units that say most of each class: {units}.",
    )
    caption = (
        f"{subject.name}: how well each class can be told after each step, and by which units."
    )
    report.figure("probes", probes.draw_probes(scores, weights, classes), caption)


def _make_mistakes(report, subjects, evaluations, split, test):
    accuracies = "; ".join(f"{name}: {e.summary()}" for name, e in evaluations.items())
    report.chapter("Mistakes", f"{accuracies}.")
    figure = mistakes.draw_calibration(
        {name: mistakes.calibration(e.probabilities, e.labels) for name, e in evaluations.items()}
    )
    caption = f"{_names(subjects)}: how often answers of each probability are right."
    report.figure("calibration", figure, caption)
    for place, (name, evaluation) in enumerate(evaluations.items()):
        figure = draw_confusion(evaluation)
        figure.axes[0].set_title(f"{name}\n{evaluation.summary()}")
        caption = f"{name}: the classes of the images, and the classes that it answered."
        report.figure(f"confusion-{place + 1}", figure, caption)
    answers = {name: evaluation.predictions for name, evaluation in evaluations.items()}
    figure, caption = mistakes.draw_missed(test, answers)
    report.figure("missed", figure, caption)
    robust = {}
    for subject in subjects:
        _tell(f"change the images that {subject.name} is shown")
        robust[subject.name] = mistakes.robustness(
            lambda changed, model=subject.model: evaluate(model, changed).accuracy, split
        )
    caption = f"{_names(subjects)}: accuracy on {len(split):,} test images, changed more and more."
    report.figure("robustness", mistakes.draw_robustness(robust), caption)
