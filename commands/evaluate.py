"""The command that evaluates a run again."""

import dataclasses

from configs import names_of, override
from training.run import Run

# The fields of the run, besides its dataset, that an evaluation may replace.
REPLACEABLE = ("length", "min_length", "repeats", "memory_slots")


def evaluate(flags):
    """Evaluate a run on its own dataset, or on another one of the same kind.

    Sequences may have other lengths, and the memory of a Neural Turing machine another size.
    """
    run = Run.open(flags.run, flags.runs_dir)
    # A curriculum is of no concern here, and may not fit another length.
    own = dataclasses.replace(run.config(), curriculum=None)
    config = override(own, ("dataset", *REPLACEABLE, *names_of(location=True)))
    if flags.views > 1:
        config.require_distortion(flags.views)
    from training.evaluate import evaluate_run  # TensorFlow takes its seconds.

    changed = [name for name in REPLACEABLE if getattr(config, name) != getattr(own, name)]
    evaluation, path = evaluate_run(run, config, views=flags.views, changed=changed)
    print(f"done: {evaluation.summary()}, see {path}")
