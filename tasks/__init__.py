"""What is asked of a model: `task_of` gives the `Task` for what a dataset's `Spec` answers."""

from tasks.bits import Bits
from tasks.classification import Classification
from tasks.number import Number
from tasks.task import Evaluation, Task

__all__ = ["TASKS", "Evaluation", "Task", "task_of"]

# By what a `Spec` answers.
TASKS = {"class": Classification, "number": Number, "bits": Bits}


def task_of(spec, config):
    """The `Task` of data with a `Spec`, as a `Config` says it is trained."""
    return TASKS[spec.answers](spec, config)
