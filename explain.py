"""Show what a trained network does as it reads, and why it remembers.

python explain.py --run=runs/lstm-20260101-120000"""

import dataclasses

from absl import flags

import datasets
from configs import UserError, run_script
from training.run import Run

FLAGS = flags.FLAGS
flags.DEFINE_string("run", None, "Folder of the run to explain.")
flags.DEFINE_list("against", [], "Folders of runs to show beside it, separated by commas.")
flags.DEFINE_integer("image", 0, "Number of the test image whose reading is shown.", 0)
flags.DEFINE_integer("images", 2000, "How many test images most of it is shown by.", 100)
flags.DEFINE_string("data_dir", None, "Where TFDS keeps datasets (default: as the run had it).")


def main():
    """Write the report."""
    if not FLAGS.run:
        raise UserError("--run: received none; expected the folder of a finished run")
    runs = [Run.open(folder) for folder in (FLAGS.run, *FLAGS.against)]
    configs = [run.config() for run in runs]
    for run, config in zip(runs, configs, strict=True):
        if config.dataset != configs[0].dataset:
            raise UserError(
                f"--against={run.folder}: it was trained on {config.dataset}; expected a run on "
                f"{configs[0].dataset}, as {runs[0].folder} was"
            )
    places = {"data_dir": FLAGS.data_dir} if FLAGS.data_dir else {}
    test = datasets.load(dataclasses.replace(configs[0], **places)).test
    if FLAGS.image >= len(test):
        raise UserError(f"--image={FLAGS.image}: expected a number below {len(test)}")
    from explain.explanation import Subject, explain  # TensorFlow takes its seconds.

    subjects = [
        Subject(run.folder.name, run.load_model(), config)
        for run, config in zip(runs, configs, strict=True)
    ]
    folder = runs[0].folder / "explanation"
    print(f"done: see {explain(subjects, test, folder, FLAGS.image, FLAGS.images)}")


if __name__ == "__main__":
    run_script(main)
