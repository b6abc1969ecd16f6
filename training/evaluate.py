"""The evaluation of a run that was trained before."""

import dataclasses

from configs import UserError
from datasets import load
from tasks import task_of


def evaluate_run(run, config, data=None, views=1, changed=()):
    """Evaluate a finished or interrupted `Run` on the test examples of a dataset.

    Args:
        run: The `Run`.
        config: The run's `Config`, or the same with another dataset, other lengths, or another size
            of the memory.
        data: A `Dataset`; `None` loads the one the config names.
        views: Over how many distorted views of each image to average.
        changed: Names of fields in which `config` differs from the run's; the name of the file says
            their values.

    Returns:
        The `Evaluation`, and the path of the file in the run folder that holds its metrics.

    Raises:
        UserError: If the dataset cannot be had or its examples are of another kind, or the
            model was trained without distortion and several views are asked for.
    """
    # How the training images are split is of no concern here, and may not fit this dataset.
    data = data or load(dataclasses.replace(config, validation_size=None), run.vocabulary() or None)
    model = run.load_model()
    spec = run.spec(model)
    if data.spec != spec:
        raise UserError(
            f"--dataset={data.name}: it has {data.spec.words}, and {run.folder} was trained on "
            f"{spec.words}; expected a dataset with the same"
        )
    if "memory_slots" in changed:
        from models import create_model

        model = create_model(config, spec)
        run.load_weights(model)
    task = task_of(spec, config)
    name = "-".join([data.name, *(f"{field}-{getattr(config, field)}" for field in changed)])
    if views == 1:
        evaluation = task.evaluate(model, data.test)
    else:
        config.require_distortion(views)
        evaluation = task.evaluate_views(model, data.test, views)
        name = f"{name}-{views}-views"
    return evaluation, run.save_evaluation(name.replace(":", "-"), evaluation.metrics())
