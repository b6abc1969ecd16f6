"""Show what a trained network does as it reads, and why it remembers.

python explain.py --run=runs/lstm-20260101-120000"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # Python leaves it out by -P and -I.

from absl import flags

from configs import UserError, define_path, define_paths, require_tensorflow, run_script
from explain.chosen import chosen

FLAGS = flags.FLAGS
define_path("run", None, "Folder of the run to explain.")
define_paths("against", [], "Folders of at most 6 runs to show beside it.")
flags.DEFINE_integer(
    "image",
    0,
    "Number of the test example whose reading is shown. In a text, an example is "
    "--steps_per_batch symbols long.",
    0,
)
flags.DEFINE_integer("images", 2000, "Number of test examples for most figures.", 100)
define_path("data_dir", None, "Where TFDS keeps datasets (default: as the run had it).")
define_path("mnist_dir", None, "Folder of MNIST's four files (default: as the run had it).")
define_path("text_file", None, "The text, or its folder (default: as the run had it).")


def main():
    """Write the report."""
    require_tensorflow()
    if not FLAGS.run:
        raise UserError(
            "--run is missing; expected --run=FOLDER of a finished run: python main.py --mode=list "
            "lists all runs"
        )
    folders = [FLAGS.run, *FLAGS.against]
    same = ["dataset", "length", "tokens", "clean"]
    locations = FLAGS.data_dir, FLAGS.mnist_dir, FLAGS.text_file
    runs, test = chosen("--run and --against", folders, same, *locations)
    if FLAGS.image >= len(test):
        raise UserError(
            f"--image={FLAGS.image}: there are {len(test):,} test examples, counted from 0; "
            f"expected a number from 0 to {len(test) - 1}"
        )
    from explain.explanation import Subject, explain  # TensorFlow takes its seconds.

    subjects = [
        Subject(name, run.load_model(), config, run.vocabulary()) for name, run, config in runs
    ]
    folder = runs[0][1].folder / "explanation"
    print(f"done: see {explain(subjects, test, folder, FLAGS.image, FLAGS.images)}")


if __name__ == "__main__":
    run_script(main)
