"""A trial: the values that were drawn, and the result."""

import csv
import dataclasses
import functools
import io
import re

# Environment variables that set TensorFlow's number of threads, on which its rounding depends.
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_NUMBER = re.compile(r"\b(\d[\d.,]*(e[+-]?\d+)?|nan|inf)\b")


@dataclasses.dataclass(frozen=True)
class Trial:
    """The values that were drawn, and the result.

    Attributes:
        number: Index of the draw, from 0.
        status: `running`; `completed`; `failed`; `rejected`, if the model is over the budget; or
            `repeated`, if an earlier trial has the same values.
        values: The drawn values by name.
        score: The mean of `scores`; for a repeated trial, the score of the earlier one; or `None`.
        scores: The score of each execution.
        parameters: Number of parameters of the model; `None` if it was neither measured for a
            budget nor trained to the end.
        latency_ms: Milliseconds of the model for one image; `None` if it was not measured.
        seconds: Training time of all executions together, without interruptions.
        epochs: Maximum number of epochs of each execution.
        known_at: Index of the first draw made after this trial's result was available; `None`
            until then.
        reason: Why the trial does not have a score of its own.
    """

    number: int
    status: str
    values: dict
    score: float | None = None
    scores: tuple[float, ...] = ()
    parameters: int | None = None
    latency_ms: float | None = None
    seconds: float | None = None
    epochs: int | None = None
    known_at: int | None = None
    reason: str | None = None

    @functools.cached_property
    def line(self):
        """The line in `trials.csv`, cached because each trial rewrites the whole file."""
        number, status, values, score, scores, *rest, reason = (
            getattr(self, field.name) for field in dataclasses.fields(self)
        )
        scores = " ".join(map(str, scores))
        return csv_line([number, status, score, *rest, scores, *values.values(), reason])

    @property
    def reason_pattern(self):
        """The reason with `#` for each number: equal for failures of the same kind."""
        return self.reason and _NUMBER.sub("#", self.reason)

    def failed(self, error):
        """A copy of this trial that failed with an exception."""
        reason = " ".join(str(error).split()) or type(error).__name__
        return dataclasses.replace(self, status="failed", reason=reason)


def csv_line(values):
    """A line of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def best_of(trials):
    """The completed `Trial` with the highest score, the first of equals; or `None`."""
    completed = [trial for trial in trials if trial.status == "completed"]
    return max(completed, key=lambda trial: trial.score, default=None)
