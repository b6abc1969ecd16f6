"""Train, evaluate and export RNNs that read an image row by row.

python main.py --model=lstm --dataset=mnist --epochs=10"""

import time

from absl import flags

import datasets
from configs import UserError, config_from_flags, define_flags, override, run_script

FLAGS = flags.FLAGS
flags.DEFINE_enum("mode", "train", ["train", "import", "evaluate", "export"], "What to do.")
flags.DEFINE_string("name", None, "Name of the new run (default: model and time).")
flags.DEFINE_string("run", None, "Folder of the run to evaluate or export.")
flags.DEFINE_string("runs_dir", "runs", "Where run folders are made.")
flags.DEFINE_string("tf1_checkpoint", None, "TensorFlow 1 checkpoint to import.")
flags.DEFINE_float("tf1_forget_bias", 1.0, "The forget_bias its LSTM cells were made with.")
flags.DEFINE_string("saved_models_dir", "saved_models", "Where SavedModels are exported to.")
define_flags()


def main():
    """Do what `--mode` says."""
    needed = {"import": "tf1_checkpoint", "evaluate": "run", "export": "run"}.get(FLAGS.mode)
    for name in ("run", "tf1_checkpoint"):
        no = "" if name == needed else "no "
        if bool(FLAGS[name].value) == bool(no):
            raise UserError(f"--mode={FLAGS.mode}: expected {no}--{name}=PATH")
    {"evaluate": evaluate, "export": export}.get(FLAGS.mode, train)()


def train():
    """Train a model as the flags say, or import its weights, and export it."""
    config = config_from_flags()
    data = datasets.load(config)  # A mistake is told before TensorFlow takes its seconds.
    import training

    folder = f"{FLAGS.runs_dir}/{FLAGS.name or time.strftime(f'{config.model}-%Y%m%d-%H%M%S')}"
    if FLAGS.mode == "train":
        run = training.train(config, folder, data)
    else:
        run = training.import_tf1(config, folder, FLAGS.tf1_checkpoint, FLAGS.tf1_forget_bias, data)
    print(f"SavedModel: {_export(run)}")
    print(f"done: {run.metrics()['summary']}, see {run.folder}")


def evaluate():
    """Evaluate a run again, on its own dataset or on another of the same shape."""
    import training

    run = training.Run.open(FLAGS.run)
    config = override(run.config(), ("dataset", "data_dir", "mnist_dir"))
    evaluation, path = training.evaluate_run(run, config)
    print(f"done: {evaluation.summary()}, see {path}")


def export():
    """Export a run again, as the next version."""
    import training

    run = training.Run.open(FLAGS.run)
    override(run.config(), ())
    print(f"done: SavedModel: {_export(run)}")


def _export(run):
    import export

    folder = f"{FLAGS.saved_models_dir}/{run.config().model}"
    try:
        return export.export(run.load_model(), folder, run.card())
    except OSError as error:
        again = f"python main.py --mode=export --run={run.folder} --saved_models_dir=FOLDER"
        raise UserError(f"{error}; the run is kept; expected {again}") from error


if __name__ == "__main__":
    run_script(main)
