"""Show what a trained network does as it reads, and why it remembers.

python explain.py --run=runs/lstm-20260101-120000"""

import dataclasses

from absl import flags

import datasets
from configs import UserError, run_script
from explain.style import STYLES
from training.run import Run
from training.runs import names

FLAGS = flags.FLAGS
flags.DEFINE_string("run", None, "Folder of the run to explain.")
flags.DEFINE_list("against", [], "Folders of runs to show beside it, separated by commas.")
flags.DEFINE_integer("image", 0, "Number of the test image whose reading is shown.", 0)
flags.DEFINE_integer("images", 2000, "How many test images most of it is shown by.", 100)
flags.DEFINE_string("data_dir", None, "Where TFDS keeps datasets (default: as the run had it).")
flags.DEFINE_string("mnist_dir", None, "Folder of MNIST's four files (default: as the run had it).")


def main():
    """Write the report."""
    if not FLAGS.run:
        raise UserError("--run: received none; expected the folder of a finished run")
    folders = [FLAGS.run, *FLAGS.against]
    if len(folders) > len(STYLES):
        raise UserError(f"--against: received {len(folders) - 1}; expected at most 6 folders")
    if len(set(folders)) < len(folders):
        raise UserError("--against: received a run twice, or that of --run; expected others")
    runs = [Run.open(folder) for folder in folders]
    configs = [run.config() for run in runs]
    for run, config in zip(runs, configs, strict=True):
        if config.dataset != configs[0].dataset:
            raise UserError(
                f"--against={run.folder}: it was trained on {config.dataset}; expected a run on "
                f"{configs[0].dataset}, as {runs[0].folder} was"
            )
    given = {"data_dir": FLAGS.data_dir, "mnist_dir": FLAGS.mnist_dir}
    places = {place: folder for place, folder in given.items() if folder}
    test = datasets.load(dataclasses.replace(configs[0], **places)).test
    if FLAGS.image >= len(test):
        raise UserError(f"--image={FLAGS.image}: expected a number below {len(test)}")
    from explain.explanation import Subject, explain  # TensorFlow takes its seconds.

    subjects = [
        Subject(name, run.load_model(), config)
        for name, run, config in zip(names(folders), runs, configs, strict=True)
    ]
    folder = runs[0].folder / "explanation"
    print(f"done: see {explain(subjects, test, folder, FLAGS.image, FLAGS.images)}")


if __name__ == "__main__":
    run_script(main)
