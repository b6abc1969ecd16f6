"""How well an exported model reads digits that people draw or photograph, and when it is unsure.

    python -m benchmarks.photographs --dataset=mnist --saved_model=saved_models/lstm/1

The first table: test images in each form of `benchmarks.pictures`. The SavedModel's signature
`serving_bytes` reads the encoded files, as TensorFlow Serving would ask it.

The second table is about answers below a probability, which client and page call "not sure": how
many they are of the right answers, of the wrong ones, and of the answers to pictures that have no
digit in them.
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
flags.DEFINE_integer("images", 100, "Test images that each set is made of.", 1)
define_flags()

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def main():
    """Make the sets, have each read, print the tables, write the JSON."""
    path = pathlib.Path(FLAGS.saved_model)
    if not (path / "saved_model.pb").is_file():
        raise UserError(
            f"--saved_model={path}: there is no saved_model.pb in it; expected the folder of an "
            "exported version, such as saved_models/lstm/1"
        )
    test = datasets.load(config_from_flags()).test
    import tensorflow as tf

    signatures = tf.saved_model.load(str(path)).signatures

    def read(encoded):
        answer = signatures["serving_bytes"](image_bytes=tf.constant(encoded))
        return {name: values.numpy() for name, values in answer.items()}

    print(contest.circumstances()["machine"])
    results = {"sets": _print_sets(test[: FLAGS.images], read)}
    pixels = signatures["serving_default"](rows=tf.cast(test.inputs, tf.float32))
    probabilities = pixels["probabilities"].numpy()
    others = read(list(pictures.not_digits().values()))["probabilities"]
    results["not sure"] = _print_thresholds(probabilities, test.targets, others)
    contest.write_json("photographs", results)


def _print_sets(test, read):
    print(f"| {len(test)} images | right | shown as they were |\n| --- | ---: | ---: |")
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
