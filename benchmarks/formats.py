"""Accuracy, size and speed of a run's model in each export format.

    python -m benchmarks.formats --run=runs/NAME

The model is exported in all formats. Each format then reads all test images of the run's dataset.
The table shows its accuracy, how many answers equal those of the SavedModel, and the largest
difference of a probability from the SavedModel's. Then the formats take turns at answering requests
in this process: the SavedModel with all processors, ONNX and LiteRT with one thread.
"""

import dataclasses
import functools
import tempfile

import numpy as np
from absl import flags

import datasets
from benchmarks import contest
from configs import define_flags, names_of, override, run_script
from export.formats import FILES, check_formats
from training.run import Run

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(contest)
flags.DEFINE_string("run", None, "Folder of the run to export.", required=True)
flags.DEFINE_multi_integer("images", [1, 64], "Images per request.", 1)
flags.DEFINE_float("turn_seconds", 0.5, "Minimal seconds of a turn.", 0)
define_flags()


def main():
    """Export, measure, print the table, write the JSON."""
    check_formats(list(FILES))
    run = Run.open(FLAGS.run)
    config = override(run.config(), ("dataset", *names_of(location=True)))
    test = datasets.load(dataclasses.replace(config, validation_size=None)).test
    from export.saved_model import export
    from tasks import task_of

    with tempfile.TemporaryDirectory() as folder:
        model = run.load_model()
        task = task_of(run.spec(model), config)
        path = export(model, task, folder, run.card(), list(FILES))
        answers = _answers(path)
        results = _results(path, answers, test)
    for images in FLAGS.images:
        rows = np.resize(test.inputs, (images, 28, 28)).astype(np.float32)
        work = {
            name: contest.requests(functools.partial(answer, rows), FLAGS.turn_seconds)
            for name, answer in answers.items()
        }
        for name, rates in contest.take_turns(work).items():
            results[name][f"ms, {images}"] = [1e3 / rate for rate in rates]
    contest.print_environment()
    _print_table(results)
    contest.write_json("formats", results)


def _answers(path):
    """Functions from `rows` to predictions by name, by the name of the exported file."""
    import tensorflow as tf

    from export.formats import load

    classify = tf.saved_model.load(path).signatures["serving_default"]

    def answer(rows):
        return {name: values.numpy() for name, values in classify(rows=tf.constant(rows)).items()}

    files = [file for name in FILES if name != "saved_model" for file in FILES[name]]
    return {"SavedModel": answer} | {file: load(path / file, threads=1) for file in files}


def _results(path, answers, test):
    """Size, accuracy and differences on all test images, by the name of the file."""
    read = {name: _read(answer, test.inputs) for name, answer in answers.items()}
    expected, expected_classes = read["SavedModel"]
    return {
        name: {
            "bytes": _size(path, name),
            "images": len(test),
            "accuracy": float(np.mean(classes == test.targets)),
            "same classes": int(np.sum(classes == expected_classes)),
            "largest difference": float(np.abs(probabilities - expected).max()),
        }
        for name, (probabilities, classes) in read.items()
    }


def _read(answer, images):
    """Probabilities and classes of images, in batches of a thousand."""
    parts = [images[start : start + 1000] for start in range(0, len(images), 1000)]
    answered = [answer(part.astype(np.float32)) for part in parts]
    names = "probabilities", "classes"
    return [np.concatenate([each[name] for each in answered]) for name in names]


def _size(path, name):
    """The size of a format in bytes: one file, or all files of a SavedModel."""
    saved_model = [path / "saved_model.pb", *path.glob("variables/*")]
    files = saved_model if name == "SavedModel" else [path / name]
    return sum(file.stat().st_size for file in files)


def _print_table(results):
    heads = ["format", "KB", "accuracy", "same class as SavedModel", "largest difference"]
    heads += [f"ms, {images} image{'s' * (images > 1)}" for images in FLAGS.images]
    print(f"| {' | '.join(heads)} |\n| --- |{' ---: |' * (len(heads) - 1)}")
    for name, result in results.items():
        cells = [
            *(name, f"{result['bytes'] / 1000:,.0f}", f"{result['accuracy']:.2%}"),
            f"{result['same classes']:,} of {result['images']:,}",
            f"{result['largest difference']:.1e}",
            *(f"{contest.Spread(result[f'ms, {images}']):.2f}" for images in FLAGS.images),
        ]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    run_script(main)
