"""The chapters of the report on a trained network."""

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
# Steps of all images together whose values are held in memory.
_MAX_STEPS = 100_000


@dataclasses.dataclass(frozen=True)
class Subject:
    """A trained network that is explained.

    Attributes:
        name: Its name in the figures.
        model: The Keras model.
        config: The `Config` it was created from.
    """

    name: str
    model: keras.Model
    config: Config

    def untrained(self):
        """The network with its initial weights."""
        keras.utils.set_random_seed(self.config.seed)
        return create_model(self.config, images_spec(self.model.output_shape[-1]))

    @property
    def steps(self):
        """Steps in which the network reads an image."""
        return self.model.get_layer("scan").output.shape[1]

    @property
    def reads_rows(self):
        """Whether the steps are the rows of the image, from top to bottom."""
        return self.config.scan == "rows" and self.config.permute_seed is None


def explain(subjects, test, folder, image=0, images=2000):
    """Write a report of trained networks.

    Args:
        subjects: The `Subject` to explain, followed by those to compare it with.
        test: The `Split` of all test images.
        folder: Folder of the report. It is replaced if it exists.
        image: Index of the test image whose reading is shown.
        images: Number of test images, from the first on, for most figures. Figures of every step
            use fewer images if there are many steps; mistakes are searched among all.

    Returns:
        The path of the report, `report.html`.
    """
    folder = pathlib.Path(folder)
    subject, split = subjects[0], test[:images]
    with atomic_folder(folder) as temporary:
        report = Report(temporary, f"How {subject.name} reads")
        traced = split[: _MAX_STEPS // max(s.steps for s in subjects)]
        readings = {}
        for s in subjects:
            _log(f"trace {s.name} on {len(traced):,} images")
            readings[s.name] = reading.read(s.model, traced.inputs)
        evaluations = {s.name: evaluate(s.model, test) for s in subjects}
        hardest = mistakes.hardest(evaluations[subject.name], _HARDEST)
        _write_readings(report, subjects, readings, traced, test, image, hardest)
        _write_gradients(report, subjects, split[:_FOR_GRADIENTS])
        _write_gates(report, subject, readings[subject.name], split)
        _write_probes(report, subject, readings[subject.name], traced.targets)
        _write_mistakes(report, subjects, evaluations, split, test)
        report.write()
    return folder / "report.html"


def _log(message):
    print(f"explain: {message}", flush=True)


def _names(subjects):
    return ", ".join(subject.name for subject in subjects)


def _write_readings(report, subjects, readings, split, test, image, hardest):
    report.chapter(
        "How it reads a digit",
        "Each figure shows, from top to bottom, the values after each step. The probabilities are "
        "those that the network would give if the image ended at that step. The last images are "
        f"the hardest of all {len(test):,} for {subjects[0].name}: their class gets the lowest "
        "probability.",
    )
    _draw_readings(report, subjects, test, image, is_animated=True)
    for index in hardest:
        _draw_readings(report, subjects[:1], test, index)
    report.chapter("Averages by class", f"Averages over {len(split):,} test images.")
    for position, subject in enumerate(subjects):
        values = readings[subject.name]
        steps = reading.decided_at(values["probabilities"])
        length = values["probabilities"].shape[1]
        suffix = f"-{position + 1}" if position else ""
        figure = reading.draw_classes(values, split.targets)
        caption = f"{subject.name}: means over all units at each step, for each class."
        report.figure(f"classes{suffix}", figure, caption)
        figure = reading.draw_decisions(steps, split.targets, length)
        report.figure(
            f"decisions{suffix}",
            figure,
            f"{subject.name}: half of all answers are final after step {np.median(steps):.0f} of "
            f"{length}.",
        )


def _draw_readings(report, subjects, test, index, is_animated=False):
    """Draw how networks read one test image."""
    image, label = test.inputs[index], test.targets[index]
    for position, subject in enumerate(subjects):
        _log(f"draw how {subject.name} reads image {index}")
        values = {name: v[0] for name, v in reading.read(subject.model, image[None]).items()}
        answer = values["probabilities"][-1].argmax()
        title = f"{subject.name} reads a {label} and answers {answer}"
        name = f"reading-{index}" + (f"-{position + 1}" if position else "")
        caption = f"How {subject.name} reads test image {index}."
        report.figure(name, reading.draw_reading(image, values, title), caption)
        if is_animated:
            _log("draw the animation")
            path = report.folder / f"{name}.gif"
            reading.animate_reading(path, image, values, title, subject.reads_rows)
            report.animation(path.name, f"{caption[:-1]}, step by step.")


def _write_gradients(report, subjects, split):
    report.chapter(
        "Gradients through time",
        "The norm of the gradient shows how much the loss depends on each step. Where the curve "
        "falls to the left, the network cannot learn from early steps. The norms are means over "
        f"{len(split)} images.",
    )
    curves = {"states": {}, "inputs": {}}
    captions = []
    for subject in subjects:
        for when, model in [("untrained", subject.untrained()), ("trained", subject.model)]:
            _log(f"compute the gradients of {subject.name}, {when}")
            for name, values in gradients.norms(model, split).items():
                kind = "inputs" if name == "inputs" else "states"
                layer = "" if name in ("inputs", "hidden") else f", {name.replace('_', ' ')}"
                curves[kind][f"{subject.name}, {when}{layer}"] = values
            largest = map(max, gradients.largest_singular_values(model).values())
            captions.append(f"{subject.name}, {when}: {', '.join(f'{s:.2f}' for s in largest)}")
    titles = {"states": "gradient of the loss at h(t)", "inputs": "gradient of the loss at x(t)"}
    variables = {"states": "the hidden state", "inputs": "the input"}
    for kind, title in titles.items():
        caption = f"{_names(subjects)}: gradient norms with respect to {variables[kind]} by step."
        report.figure(f"gradients-{kind}", gradients.draw_norms(curves[kind], title), caption)
    values = "; ".join(captions)
    report.paragraph(f"Largest singular value of each recurrent matrix or its blocks: {values}.")


def _write_gates(report, subject, values, split):
    report.chapter(
        "How much each gate and row matters",
        "The accuracy with one gate held at a constant value and everything else as trained, on "
        f"{len(split):,} test images.",
    )
    whole = gates.accuracy(subject.model, split)
    accuracies = {}
    for change, accuracy in gates.knock_out(subject.model, split, values):
        _log(f"{change}: {accuracy:.2%} of {whole:.2%}")
        accuracies[change] = accuracy
    if accuracies:
        caption = f"{subject.name}: accuracy with one gate or peephole held constant."
        report.figure("gates", gates.draw_knock_outs(whole, accuracies), caption)
    _log("compute the accuracy without each row")
    lost = gates.row_saliency(subject.model, split)
    caption = f"{subject.name}: the accuracy lost when one row of the image is blank."
    report.figure("rows", gates.draw_row_saliency(lost, split.inputs.mean(axis=0)), caption)


def _write_probes(report, subject, readings, labels):
    # Flip backward states into their reading order: at step 1 only the last row has been read.
    hidden = {
        name: values[:, ::-1] if name.startswith("backward") else values
        for name, values in readings.items()
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
    report.chapter(
        "Which units store each class",
        "A linear classifier predicts the class from the hidden state after each step. It is "
        f"trained on half of {len(labels):,} test images and tested on the other half. F1, the "
        "harmonic mean of precision and recall, is 0 for a class that it never answers, and low "
        f"for one that it always answers. Units with the largest weights for each class: {units}.",
    )
    caption = (
        f"{subject.name}: how well each class is recognised after each step, and by which units."
    )
    report.figure("probes", probes.draw_probes(scores, weights, classes), caption)


def _write_mistakes(report, subjects, evaluations, split, test):
    accuracies = "; ".join(f"{name}: {e.summary()}" for name, e in evaluations.items())
    report.chapter("Mistakes", f"{accuracies}.")
    figure = mistakes.draw_calibration(
        {name: mistakes.calibration(e.probabilities, e.labels) for name, e in evaluations.items()}
    )
    caption = f"{_names(subjects)}: share of correct answers against the confidence."
    report.figure("calibration", figure, caption)
    for number, (name, evaluation) in enumerate(evaluations.items(), start=1):
        figure = draw_confusion(evaluation)
        figure.axes[0].set_title(f"{name}\n{evaluation.summary()}")
        caption = f"{name}: classes of the images and predicted classes."
        report.figure(f"confusion-{number}", figure, caption)
    answers = {name: evaluation.predictions for name, evaluation in evaluations.items()}
    figure, caption = mistakes.draw_missed(test, answers)
    report.figure("missed", figure, caption)
    robust = {}
    for subject in subjects:
        _log(f"test {subject.name} on changed images")
        robust[subject.name] = mistakes.robustness(
            lambda changed, model=subject.model: evaluate(model, changed).accuracy, split
        )
    caption = f"{_names(subjects)}: accuracy on {len(split):,} increasingly changed test images."
    report.figure("robustness", mistakes.draw_robustness(robust), caption)
