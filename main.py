"""Train, evaluate and export recurrent networks: on MNIST row by row, first of all.

python main.py --model=lstm --dataset=mnist --epochs=10"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # Python leaves it out by -P and -I.

from absl import flags

from commands import COMMANDS, check_mode
from configs import (
    define_flags,
    define_name,
    define_path,
    define_paths,
    require_tensorflow,
    run_script,
)

FLAGS = flags.FLAGS
flags.DEFINE_enum("mode", "train", list(COMMANDS), "The command to run.")
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
flags.DEFINE_string("prompt", "", "Text that --mode=generate writes on after.")
flags.DEFINE_float("temperature", 1, "Divisor of the logits; 0 takes the likeliest symbol.", 0)
flags.DEFINE_integer("top_k", 0, "Draw only from so many of the likeliest symbols; 0: from all.", 0)
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
    check_mode(FLAGS)
    COMMANDS[FLAGS.mode](FLAGS)


if __name__ == "__main__":
    run_script(main)
