"""Train, evaluate and export RNNs that read an image row by row.

python main.py --model=lstm --dataset=mnist --epochs=10
"""

import pathlib
import time

from absl import flags

from configs import UserError, config_from_flags, define_flags, override, run_script

FLAGS = flags.FLAGS
flags.DEFINE_enum("mode", "train", ["train", "evaluate", "export"], "What to do.")
flags.DEFINE_string("name", None, "Name of the new run (default: model and time).")
flags.DEFINE_string("run", None, "Folder of the run to evaluate or export.")
flags.DEFINE_string("runs_dir", "runs", "Where run folders are made.")
flags.DEFINE_string("saved_models_dir", "saved_models", "Where SavedModels are exported to.")
define_flags()


def main():
    """Do what `--mode` says."""
    if FLAGS.mode != "train" and not FLAGS.run:
        raise UserError(f"--mode={FLAGS.mode}: expected --run=FOLDER, the run to {FLAGS.mode}")
    {"train": train, "evaluate": evaluate, "export": export}[FLAGS.mode]()


def train():
    """Train a model as the flags say, and export it."""
    config = config_from_flags()
    import datasets

    # Before TensorFlow is imported, which takes seconds: a mistake should be told at once.
    data = datasets.load(config)
    import training

    name = FLAGS.name or time.strftime(f"{config.model}-%Y%m%d-%H%M%S")
    run = training.train(config, pathlib.Path(FLAGS.runs_dir) / name, data)
    test = run.metrics()["test"]
    try:
        version = _export(run)
    except OSError as error:
        again = f"python main.py --mode=export --run={run.folder} --saved_models_dir=FOLDER"
        raise UserError(f"{error}; the run is finished and kept; expected {again}") from error
    print(f"pictures: {run.folder}/curves.png, confusion.png, mistakes.png")
    print(f"SavedModel: {version}")
    print(f"done: {test['accuracy']:.2%} of {test['images']:,} test images right, see {run.folder}")


def evaluate():
    """Evaluate a run again, on its own dataset or on another of the same shape."""
    import training

    run = training.Run.open(FLAGS.run)
    config = override(run.config(), ("dataset", "data_dir", "mnist_dir"))
    evaluation, path = training.evaluate_run(run, config)
    images = f"{len(evaluation.labels):,} {path.stem} test images"
    print(f"done: {evaluation.accuracy:.2%} of {images} right, see {path}")


def export():
    """Export a run again, as the next version."""
    import training

    run = training.Run.open(FLAGS.run)
    override(run.config(), ())
    print(f"done: SavedModel: {_export(run)}")


def _export(run):
    import export

    folder = pathlib.Path(FLAGS.saved_models_dir) / run.config().model
    return export.export(run.load_model(), folder, run.card())


if __name__ == "__main__":
    run_script(main)
