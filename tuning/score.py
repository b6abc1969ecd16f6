"""The score of a trial: where it is measured, what it is called, how it is printed and plotted.

The score is that of the dataset's task on the validation examples, such as the accuracy, from 0 to
1. Higher is better. The other modules of `tuning` take the name and the format from here.
"""

NAME = "validation score"
AXIS_LABEL = f"{NAME} (%)"


def score_of(metrics):
    """The score of a run, from its `metrics.json`.

    A trial is given the validation examples as its test examples, so the score stands under `test`.
    """
    test = metrics["test"]
    return test.get("score", test.get("accuracy"))  # Runs of earlier versions have no "score".


def format_score(score):
    """The score as text, such as `97.40%`."""
    return f"{score:.2%}"


def axis_value(score):
    """The score in the unit of `AXIS_LABEL`."""
    return 100 * score
