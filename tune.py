"""Search the hyper-parameters of a model: draw, train, score on the validation images, repeat.

python tune.py --flagfile=configs/tune/lstm.flags"""

import pathlib
import shlex
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # Python leaves it out by -P and -I.

from absl import flags

import datasets
from configs import (
    UserError,
    config_from_flags,
    define_flags,
    define_name,
    define_path,
    require_tensorflow,
    run_script,
)
from tuning.on_ray import OnRay
from tuning.search import TUNERS, Search, run_search
from tuning.space import parse_space
from tuning.table import best_of_each

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "search",
    None,
    "Values to search: NAME:LOW..HIGH, NAME:LOW..HIGH:log, NAME:LOW..HIGH:STEP or NAME:A|B|C, of "
    "any flag of the model or its training, with commas between several.",
)
flags.DEFINE_enum("tuner", "random", TUNERS, "The method of the search.")
flags.DEFINE_integer(
    "max_trials",
    None,
    "Maximum number of trials (default: the whole grid, or one sweep of hyperband).",
    1,
)
flags.DEFINE_integer(
    "executions_per_trial", 1, "Number of seeds that each trial is trained with.", 1
)
flags.DEFINE_integer("max_parameters", None, "Maximum number of parameters of a trained model.", 1)
flags.DEFINE_float(
    "max_latency_ms", None, "Maximum time that a trained model takes for an image.", 0
)
define_name("name", "Name of the search (default: the model's).", prefix="tune-")
define_path("runs_dir", "runs", "Where the folder of the search, tune-NAME, is made.")
flags.DEFINE_string(
    "ray",
    None,
    "Have Ray train trials side by side: local, on this machine; auto, or host:port of a "
    "cluster's head.",
)
flags.DEFINE_float("cpus_per_trial", 1, "Processors for each trial that Ray trains.", 0.01)
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
    """Search, or go on with a search that was ended."""
    require_tensorflow()
    if FLAGS["cpus_per_trial"].present and not FLAGS.ray:
        raise UserError(
            f"--cpus_per_trial={FLAGS.cpus_per_trial:g}: received no --ray, and only Ray trains "
            "trials side by side; expected --ray=local or a cluster's address, or no "
            "--cpus_per_trial"
        )
    search = search_from_flags()
    folder = pathlib.Path(FLAGS.runs_dir) / f"tune-{FLAGS.name or FLAGS.model}"
    data = datasets.load(search.config)  # A mistake is told before TensorFlow takes its seconds.
    workers = OnRay(FLAGS.ray, FLAGS.cpus_per_trial) if FLAGS.ray else None
    results, best = run_search(search, folder, data, workers)
    if "model" in best.values:
        print(f"the best of each model:\n{best_of_each('model', results.read())}")
    pictures = sorted(path.name for path in folder.glob("*.png"))
    print(f"pictures: {shlex.quote(str(folder))}/{', '.join(pictures)}")
    print(f"the best again: {results.best_command()}")
    print(
        f"done: {best.score:.2%} of {len(data.validation):,} validation images right in trial "
        f"{best.number}, see {folder}"
    )


if __name__ == "__main__":
    run_script(main)
