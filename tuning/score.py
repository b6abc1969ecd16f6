"""The score of a trial: where it is measured, what it is called, how it is printed and plotted.

The score is the accuracy on the validation images, from 0 to 1. Higher is better. The other modules
of `tuning` take the name and the format from here.
"""

NAME = "validation accuracy"
AXIS_LABEL = f"{NAME} (%)"


def score_of(metrics):
    """The score of a run, from its `metrics.json`.

    A trial is given the validation images as its test images, so the score stands under `test`.
    """
    return metrics["test"]["accuracy"]


def format_score(score):
    """The score as text, such as `97.40%`."""
    return f"{score:.2%}"


def axis_value(score):
    """The score in the unit of `AXIS_LABEL`."""
    return 100 * score
