"""A trial: what was drawn, and what became of it."""

import csv
import dataclasses
import functools
import io
import re

# Environment variables: how many threads TensorFlow has, with others of which it rounds otherwise.
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_NUMBER = re.compile(r"\b(\d[\d.,]*(e[+-]?\d+)?|nan|inf)\b")


@dataclasses.dataclass(frozen=True)
class Trial:
    """A draw, and what became of it.

    Attributes:
        number: Its place among all draws, from 0.
        status: `running`; `completed`; `failed`; `rejected`, as the model costs too much; or
            `repeated`, as the same was drawn before.
        values: What was drawn, by name.
        score: The mean of `scores`; that of the trial it repeats; or `None`.
        scores: The validation accuracy of each execution, a fraction.
        parameters: The numbers the model consists of, or `None` if it was neither measured
            for a budget nor trained to its end.
        latency_ms: Milliseconds it takes for an image, or `None` if that was not measured.
        seconds: What training took, all executions together and interruptions left out.
        epochs: The epochs of each execution at most.
        known_at: The number of the first draw that was made after what became of it was known, or
            `None` while it is not.
        reason: Why it has no score of its own, in words.
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
        """Its line in `trials.csv`. Kept, as the file is written anew for every trial."""
        number, status, values, score, scores, *rest, reason = (
            getattr(self, field.name) for field in dataclasses.fields(self)
        )
        scores = " ".join(map(str, scores))
        return csv_line([number, status, score, *rest, scores, *values.values(), reason])

    @property
    def kind(self):
        """The reason without its numbers, which make two of a kind differ."""
        return self.reason and _NUMBER.sub("#", self.reason)

    def failed(self, error):
        """The same, failed by an exception."""
        reason = " ".join(str(error).split()) or type(error).__name__
        return dataclasses.replace(self, status="failed", reason=reason)


def csv_line(values):
    """A line of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def best_of(trials):
    """The completed `Trial` with the highest score, the first of equals; `None` if none is."""
    completed = [trial for trial in trials if trial.status == "completed"]
    return max(completed, key=lambda trial: trial.score, default=None)
