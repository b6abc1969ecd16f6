"""The command that evaluates a run again."""

from configs import names_of, override
from training.run import Run


def evaluate(flags):
    """Evaluate a run on its own dataset, or on another one of the same kind."""
    run = Run.open(flags.run, flags.runs_dir)
    config = override(run.config(), ("dataset", *names_of(location=True)))
    if flags.views > 1:
        config.require_distortion(flags.views)
    from training.evaluate import evaluate_run  # TensorFlow takes its seconds.

    evaluation, path = evaluate_run(run, config, views=flags.views)
    print(f"done: {evaluation.summary()}, see {path}")
