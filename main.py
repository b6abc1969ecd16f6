"""Train, evaluate and export RNNs that read an image row by row.

python main.py --model=lstm --dataset=mnist --epochs=10"""

import pathlib
import shlex
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # Python leaves it out by -P and -I.

from absl import flags

import datasets
from configs import (
    Interrupted,
    UserError,
    config_from_flags,
    define_flags,
    define_name,
    define_path,
    define_paths,
    names_of,
    override,
    require_tensorflow,
    run_script,
)
from configs.scopes import kind_of
from export.formats import check_formats, require_fixed_steps
from tasks import task_of
from training import runs
from training.memory import require_memory, telling_memory
from training.run import Run
from training.signals import interruptible

FLAGS = flags.FLAGS
LOCATIONS = names_of(location=True)
REPLACEABLE = (*LOCATIONS, "detect_anomaly")  # Flags that may change when a run is resumed.
EXPORTING = ("saved_models_dir", "export_formats")
NOT_KEPT = (*EXPORTING, "distribute", "ray", "workers", "peer_seconds")  # In its flags.txt.
TF1 = ("tf1_forget_bias", "tf1_names", "tf1_averages")  # How to import a checkpoint.
MODES = ["train", "import", "evaluate", "export", "list", "compare"]
flags.DEFINE_enum("mode", "train", MODES, "The task of this command.")
define_name("name", "Name of the new run, a folder in --runs_dir (default: model and time).")
flags.DEFINE_bool("resume", False, "Go on with --run, or with the run of --name if it exists.")
define_path(
    "run", None, "Folder of the run to resume, evaluate or export, or its name in --runs_dir."
)
define_paths("runs", None, "Folders or names of the runs to compare, separated by commas.")
define_path("runs_dir", "runs", "Where run folders are made.")
flags.DEFINE_enum(
    "distribute",
    "none",
    ["none", "mirrored", "multi_worker"],
    "Where to train: on one device, on all of this machine, or on the machines of TF_CONFIG.",
)
flags.DEFINE_string(
    "ray",
    None,
    "Have Ray start the workers of --distribute=multi_worker: local, on this machine; auto, or "
    "host:port of a cluster's head.",
)
flags.DEFINE_integer("workers", 2, "How many workers Ray starts.", 1)
flags.DEFINE_float("peer_seconds", 60, "How long a worker waits for the others.", 0)
define_path("tf1_checkpoint", None, "TensorFlow 1 checkpoint to import.")
flags.DEFINE_float(
    "tf1_forget_bias",
    None,
    "The forget_bias its LSTM cells were made with (default: 1; 0 for CudnnCompatibleLSTMCell).",
)
flags.DEFINE_list(
    "tf1_names", [], "Rename its variables before they are searched: old:new,old:new."
)
flags.DEFINE_bool("tf1_averages", False, "Import its moving averages, not the last weights.")
flags.DEFINE_integer("views", 1, "Distorted views of an image to average in --mode=evaluate.", 1)
define_path("saved_models_dir", "saved_models", "Where SavedModels are exported to.")
flags.DEFINE_list(
    "export_formats",
    ["saved_model"],
    "Formats to export: saved_model, and beside it onnx, litert (float32 and int8), or both.",
)
define_flags()


def main():
    """Do what `--mode` says."""
    require_tensorflow()
    do, needed = {
        "train": (train, "run" if FLAGS.resume and not FLAGS.name else None),
        "import": (train, "tf1_checkpoint"),
        "evaluate": (evaluate, "run"),
        "export": (export, "run"),
        "list": (lambda: print(runs.table(FLAGS.runs_dir)), None),
        "compare": (lambda: print(f"done: see {runs.compare(FLAGS.runs, FLAGS.runs_dir)}"), "runs"),
    }[FLAGS.mode]
    _check_mode(needed)
    check_formats(FLAGS.export_formats)
    do()


def _check_mode(needed):
    """Raise a `UserError` if a flag is missing, or was given, that `--mode` needs, or ignores."""
    mode = f"--mode={FLAGS.mode}" if FLAGS["mode"].present else "no --mode, which means train"
    if FLAGS.resume and FLAGS.mode != "train":
        raise UserError(
            f"--resume: received {mode}; expected --mode=train or no --mode with it, since only "
            "training can be resumed"
        )
    if needed and not FLAGS[needed].value:
        if FLAGS.resume:
            raise UserError(
                "--resume: received neither --run nor --name; expected --run=PATH or --name=NAME "
                "of the run to go on with: python main.py --mode=list lists all"
            )
        path = "PATH,PATH" if needed == "runs" else "PATH"
        raise UserError(f"{mode}: received no --{needed}; expected --{needed}={path}")
    reads = {
        "run": "--resume, --mode=evaluate or --mode=export",
        "runs": "--mode=compare",
        "tf1_checkpoint": "--mode=import",
    }
    for name, expected in reads.items():
        if FLAGS[name].value and name != needed:
            given = FLAGS[name].serialize()
            raise UserError(f"{given}: received {mode}; expected {expected} with --{name}")
    for name in TF1:
        if FLAGS[name].present and FLAGS.mode != "import":
            raise UserError(f"--{name}: received {mode}; expected --mode=import")
    if FLAGS.views > 1 and FLAGS.mode != "evaluate":
        raise UserError(f"--views={FLAGS.views}: received {mode}; expected --mode=evaluate")


def train():
    """Train a model as the flags say, or import its weights, and export it."""
    name = FLAGS.name or time.strftime(f"{FLAGS.model}-%Y%m%d-%H%M%S")
    run = _open() if FLAGS.run else Run(f"{FLAGS.runs_dir}/{name}")
    if FLAGS.run or (FLAGS.resume and run.exists()):
        kept = run.config()
        config = override(kept, REPLACEABLE)
    else:
        kept = config = config_from_flags()
    require_fixed_steps(FLAGS.export_formats, kind_of(config.dataset).reads)
    if FLAGS.ray and FLAGS.distribute != "multi_worker":
        raise UserError(
            f"--ray={FLAGS.ray}: received --distribute={FLAGS.distribute}; expected "
            "--distribute=multi_worker, whose workers Ray starts, or no --ray"
        )
    # A mistake is told before TensorFlow takes its seconds; but several machines must have met
    # before it computes anything, such as the images.
    meets = FLAGS.distribute == "multi_worker" and not FLAGS.ray
    if not FLAGS.ray:
        require_memory(config)
    data = None if meets else datasets.load(config)
    if data and not FLAGS.ray:
        # Several devices share a batch.
        require_memory(config, len(data.train) if FLAGS.distribute == "none" else 1)
    try:
        run = _train(config, run.folder, data)
        if not run:
            return print("done: the chief has written the run")
        again = run.command("--resume")
        with (
            interruptible(f"interrupted before it was exported; to go on: {again}"),
            run.locked(),
        ):
            run.save_note(run.unexported_path, _given(EXPORTING))
            print(f"SavedModel: {_export(run)}")
    except Interrupted as interrupt:
        more = _given((*REPLACEABLE, *NOT_KEPT), kept)
        raise Interrupted(interrupt.signal, f"{interrupt}{more}") from None
    print(f"done: {run.metrics()['summary']}, see {run.folder}")


def _train(config, folder, data):
    task = config, folder, data, FLAGS.resume
    if FLAGS.mode == "import":
        from training import tf1

        how = [FLAGS[name].value for name in TF1]
        with telling_memory(config):
            return tf1.import_tf1(*task[:2], FLAGS.tf1_checkpoint, *how, data)
    if FLAGS.ray:
        from training.distributed.launch import train_on_ray

        return train_on_ray(*task, FLAGS.ray, FLAGS.workers, FLAGS.peer_seconds)
    from training import train
    from training.distributed.distribution import Distribution

    return train.train(*task, Distribution(FLAGS.distribute, config, FLAGS.peer_seconds))


def _given(names, kept=None):
    """Those of some flags that were given, and not as a run's `Config` has them, for a command."""
    given = [FLAGS[name] for name in names if FLAGS[name].present]
    own = [flag for flag in given if flag.value != getattr(kept, flag.name, None)]
    return "".join(f" {shlex.quote(flag.serialize())}" for flag in own)


def evaluate():
    """Evaluate a run again, on its own dataset or on another of the same shape."""
    run = _open()
    config = override(run.config(), ("dataset", *LOCATIONS))
    if FLAGS.views > 1:
        config.require_distortion(FLAGS.views)  # Before TensorFlow takes its seconds.
    from training.evaluate import evaluate_run

    evaluation, path = evaluate_run(run, config, views=FLAGS.views)
    print(f"done: {evaluation.summary()}, see {path}")


def export():
    """Export a run again, as the next version."""
    run = _open()
    override(run.config(), ())
    print(f"done: SavedModel: {_export(run)}")


def _open():
    return Run.open(FLAGS.run, FLAGS.runs_dir)


def _export(run):
    from export.saved_model import export, find

    folder = f"{FLAGS.saved_models_dir}/{run.config().model}"
    try:
        model = run.load_model()
        task = task_of(run.spec(model), run.config())
        what = task, folder, run.card(), FLAGS.export_formats
        done = (FLAGS.resume and find(*what)) or export(model, *what)
        run.unexported_path.unlink(missing_ok=True)
        return done
    except OSError as error:
        again = f"{run.command('--mode=export')} --saved_models_dir=FOLDER"
        raise UserError(
            f"{error.filename or folder}: {error.strerror or error}; the run is kept; expected a "
            f"folder that can be written to: export it to another with {again}"
        ) from error


if __name__ == "__main__":
    run_script(main)
