"""The command that lets a model of text write."""

import sys

from configs import UserError
from training.run import Run

_PART = 10  # Symbols that are written to the output at a time.


def generate(flags):
    """Print the prompt and `--length` symbols that a run's model writes after it."""
    run = Run.open(flags.run, flags.runs_dir)
    if not run.vocabulary():
        raise UserError(
            f"--run={run.folder}: its {run.config().model} was trained on "
            f"--dataset={run.config().dataset}, which is not a text; expected a run of a dataset "
            "of text, such as --dataset=python_manual"
        )
    from export.writing import write_text  # TensorFlow takes its seconds.

    settings = flags.temperature, flags.top_k, flags.seed
    sys.stdout.write(flags.prompt)
    for part in write_text(run, flags.prompt, flags.length, *settings, part=_PART):
        sys.stdout.write(part)
        sys.stdout.flush()
    print()
