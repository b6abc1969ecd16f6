"""Tasks: the loss, metrics, evaluation and predictions for each kind of answer.

`task_of` returns the `Task` for a `Spec`.
"""

from tasks.bits import Bits
from tasks.classification import Classification
from tasks.next_symbols import NextSymbols
from tasks.next_token import NextToken
from tasks.number import Number
from tasks.step_bits import StepBits
from tasks.task import Evaluation, Task

__all__ = ["TASKS", "Evaluation", "Task", "task_of"]

# By `Spec.answers`.
TASKS = {
    "class": Classification,
    "number": Number,
    "bits": Bits,
    "step_bits": StepBits,
    "next_symbols": NextSymbols,
    "next_token": NextToken,
}


def task_of(spec, config):
    """The `Task` of data with a `Spec`, as a `Config` says it is trained."""
    return TASKS[spec.answers](spec, config)
