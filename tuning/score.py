"""The score of a trial: where it is measured, what it is called, how it is printed and plotted.

The score is that of the dataset's task on the validation examples, such as the accuracy, from 0 to
1, or the log-likelihood, which is negative. Higher is better. The other modules of `tuning` take
the name and the format from here.
"""

import dataclasses

from tasks import Task


@dataclasses.dataclass(frozen=True)
class Score:
    """The name, the format and the axis of the scores of a search.

    Attributes:
        task: The `Task` of the dataset.
    """

    task: Task

    @property
    def name(self):
        """The name, such as `validation score`."""
        return self.axis_label.partition(" (")[0]

    @property
    def axis_label(self):
        """The name and the unit, such as `validation score (%)`."""
        return f"validation {self.task.score_axis}"

    def axis_value(self, score):
        """A score in the unit of `axis_label`."""
        return self.task.score_scale * score

    def show(self, score):
        """A score as text, such as `97.40%`."""
        return self.task.show(score)

    def describe(self, score):
        """A score in a sentence, such as `validation accuracy 97.40%`."""
        return f"validation {self.task.show_named(score)}"


def score_of(metrics):
    """The score of a run, from its `metrics.json`.

    A trial is given the validation examples as its test examples, so the score stands under `test`.
    """
    test = metrics["test"]
    return test.get("score", test.get("accuracy"))  # Runs of earlier versions have no "score".
