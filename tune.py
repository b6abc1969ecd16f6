"""Search hyper-parameters: draw values, train a model, score it on the validation images, repeat.

python tune.py --flagfile=configs/tune/lstm.flags"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # Python omits it with -P and -I.

from absl import flags

import datasets
from configs import (
    config_from_flags,
    define_flags,
    define_name,
    define_path,
    require_tensorflow,
    run_script,
)
from tuning.on_ray import create_workers
from tuning.search import TUNERS, Search, run_search
from tuning.space import parse_space
from tuning.table import print_summary

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "search",
    None,
    "Values to search: NAME:LOW..HIGH, NAME:LOW..HIGH:log, NAME:LOW..HIGH:STEP or NAME:A|B|C, "
    "separated by commas. NAME is a flag of the model or its training.",
)
flags.DEFINE_enum("tuner", "random", TUNERS, "Search method.")
flags.DEFINE_integer(
    "max_trials", None, "Maximum number of trials (default: a whole grid or hyperband run).", 1
)
flags.DEFINE_integer("executions_per_trial", 1, "Number of seeds to train each trial with.", 1)
flags.DEFINE_integer("max_parameters", None, "Maximum number of parameters of a model.", 1)
flags.DEFINE_float("max_latency_ms", None, "Maximum milliseconds of a model for one image.", 0)
define_name("name", "Name of the search (default: the model's).", prefix="tune-")
define_path("runs_dir", "runs", "Where the folder of the search, tune-NAME, is made.")
flags.DEFINE_string(
    "ray",
    None,
    "Train trials in parallel with Ray: local, on this machine; auto, or host:port of a cluster's "
    "head.",
)
flags.DEFINE_float("cpus_per_trial", None, "Number of CPUs per trial of --ray (default: 1).", 0.01)
define_flags()


def search_from_flags():
    """Build a `Search` from parsed flags."""
    return Search(
        config_from_flags(),
        parse_space(FLAGS.search),
        FLAGS.tuner,
        FLAGS.max_trials,
        FLAGS.executions_per_trial,
        FLAGS.max_parameters,
        FLAGS.max_latency_ms,
    )


def main():
    """Start a search, or continue one that was interrupted."""
    require_tensorflow()
    workers = create_workers(FLAGS.ray, FLAGS.cpus_per_trial)
    search = search_from_flags()
    folder = pathlib.Path(FLAGS.runs_dir) / f"tune-{FLAGS.name or FLAGS.model}"
    data = datasets.load(search.config)  # Reports errors before TensorFlow is imported.
    print_summary(*run_search(search, folder, data, workers))


if __name__ == "__main__":
    run_script(main)
