"""Accuracy of an exported model on drawn and photographed digits, and its confidence.

    python -m benchmarks.photographs --dataset=mnist --saved_model=saved_models/lstm/1

The first table shows the accuracy on test images in each form of `benchmarks.pictures`. The
signature `serving_bytes` of the SavedModel reads the encoded files, as in TensorFlow Serving.

Client and page mark answers below a probability as "not sure". The second table shows the share of
such answers among the right answers, the wrong answers, and the answers to pictures without a
digit.
"""

import pathlib

import numpy as np
from absl import flags

import datasets
from benchmarks import contest, pictures
from configs import UserError, config_from_flags, define_flags, run_script

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(contest)
flags.DEFINE_string("saved_model", None, "Folder of the exported version.", required=True)
flags.DEFINE_integer("images", 100, "Number of test images in each set.", 1)
define_flags()

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def main():
    """Create and read the sets, print the tables, write the JSON."""
    path = pathlib.Path(FLAGS.saved_model)
    if not (path / "saved_model.pb").is_file():
        raise UserError(
            f"--saved_model={path}: this folder has no saved_model.pb; expected the folder of an "
            "exported version, such as saved_models/lstm/1"
        )
    test = datasets.load(config_from_flags()).test
    import tensorflow as tf

    signatures = tf.saved_model.load(str(path)).signatures

    def read(encoded):
        answer = signatures["serving_bytes"](image_bytes=tf.constant(encoded))
        return {name: values.numpy() for name, values in answer.items()}

    print(contest.environment()["machine"])
    results = {"sets": _print_sets(test[: FLAGS.images], read)}
    pixels = signatures["serving_default"](rows=tf.cast(test.inputs, tf.float32))
    probabilities = pixels["probabilities"].numpy()
    others = read(list(pictures.not_digits().values()))["probabilities"]
    results["not sure"] = _print_thresholds(probabilities, test.targets, others)
    contest.write_json("photographs", results)


def _print_sets(test, read):
    print(f"| {len(test)} images | right | unchanged |\n| --- | ---: | ---: |")
    results = {}
    for name, draw in pictures.SETS.items():
        answer = read(
            [draw(image, np.random.default_rng(n)) for n, image in enumerate(test.inputs)]
        )
        right = int((answer["classes"] == test.targets).sum())
        same = int((answer["rows"] == test.inputs).all(axis=(1, 2)).sum())
        results[name] = {"right": right, "unchanged": same}
        print(f"| {name} | {right} | {same} |", flush=True)
    return results


def _print_thresholds(probabilities, labels, others):
    is_right = probabilities.argmax(axis=1) == labels
    groups = {
        f"{is_right.sum():,} right answers": probabilities[is_right],
        f"{(~is_right).sum():,} wrong answers": probabilities[~is_right],
        f"{len(others)} pictures without a digit": others,
    }
    print(f"\n| not sure below | {' | '.join(groups)} |\n| ---: | ---: | ---: | ---: |")
    results = {}
    for threshold in THRESHOLDS:
        below = [float((each.max(axis=1) < threshold).mean()) for each in groups.values()]
        results[str(threshold)] = below
        print(f"| {threshold} | {' | '.join(f'{share:.1%}' for share in below)} |")
    return results


if __name__ == "__main__":
    run_script(main)
