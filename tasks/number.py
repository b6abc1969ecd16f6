"""The answer is a number, or several."""

import dataclasses

import numpy as np

from tasks.task import Task

# An answer within this of the target is right: the criterion of S. Hochreiter and J. Schmidhuber,
# Long Short-Term Memory, 1997, experiment 4, https://doi.org/10.1162/neco.1997.9.8.1735.
TOLERANCE = 0.04


@dataclasses.dataclass(frozen=True)
class NumberEvaluation:
    """A model's numbers for all examples of a split.

    Attributes:
        targets: The right numbers, `float32 (N, size)`.
        values: The model's, `float32 (N, size)`.
        examples: What the examples are called, such as `"sequences"`.
    """

    targets: np.ndarray
    values: np.ndarray
    examples: str

    @property
    def errors(self):
        """The absolute errors, `float64 (N, size)`."""
        return np.abs(self.values.astype(np.float64) - self.targets)

    @property
    def loss(self):
        """The mean squared error."""
        return float(np.mean(self.errors**2))

    @property
    def score(self):
        """The fraction of examples whose numbers are all within `TOLERANCE` of the targets."""
        return float(np.mean((self.errors < TOLERANCE).all(axis=-1)))

    def summary(self):
        """The score and the error in words."""
        return (
            f"{self.score:.2%} of {len(self.targets):,} test {self.examples} within {TOLERANCE}, "
            f"mean squared error {self.loss:.3g}"
        )

    def metrics(self):
        """All of it as JSON-ready values."""
        return {
            self.examples: len(self.targets),
            "score": self.score,
            "loss": self.loss,
            "mean_squared_error": self.loss,
            "mean_absolute_error": float(np.mean(self.errors)),
            "max_absolute_error": float(np.max(self.errors)),
        }


class Number(Task):
    """`spec.size` numbers; targets are `float32 (batch, size)`."""

    loss_name = "mean squared error"
    score_name = f"share within {TOLERANCE}"
    output = "values"

    @property
    def target_shape(self):
        return (self.spec.size,)

    def loss(self):
        import keras

        return keras.losses.MeanSquaredError()

    def metrics(self):
        import keras

        def within_tolerance(targets, values):
            is_within = keras.ops.abs(values - targets) < TOLERANCE
            return keras.ops.all(is_within, axis=-1)

        return [keras.metrics.MeanMetricWrapper(within_tolerance, self.metric)]

    def predictions(self, outputs):
        """`values float32 (batch, size)`, by this name."""
        return {"values": outputs}

    def losses(self, targets, outputs):
        import keras

        return keras.losses.mean_squared_error(targets, outputs)

    def judge(self, outputs, targets):
        return NumberEvaluation(targets, outputs, self.spec.examples)

    def describe(self, prediction, target):
        answer, right = (", ".join(f"{n:.2f}" for n in numbers) for numbers in (prediction, target))
        return f"answers {answer}; the target is {right}"

    def figures(self, evaluation, split):
        """The model's numbers against the right ones."""
        return {"answers": _draw_answers(evaluation)}


def _draw_answers(evaluation):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    targets, values = evaluation.targets.ravel(), evaluation.values.ravel()
    low, high = min(targets.min(), values.min()), max(targets.max(), values.max())
    axes.fill_between(
        [low, high],
        [low - TOLERANCE, high - TOLERANCE],
        [low + TOLERANCE, high + TOLERANCE],
        color="#E69F00",
        alpha=0.5,
        linewidth=0,
        label=f"within {TOLERANCE}",
    )
    axes.plot(targets, values, ".", color="#0072B2", markersize=3, label="test examples")
    axes.set(xlabel="target", ylabel="answer", title=evaluation.summary().replace(", ", "\n"))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
