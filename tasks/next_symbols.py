"""The answer is the set of the symbols that may come next, at every step."""

import dataclasses

import numpy as np

from tasks.panels import draw_panels
from tasks.task import Task


def is_judged(targets):
    """Whether a symbol may come next, `(batch, steps)`: not after the end of a sequence."""
    return targets.max(axis=-1) > 0


def is_right(targets, outputs):
    """Whether all symbols that may come next have larger outputs than the others, or none may come.

    Args:
        targets: `(batch, steps, size)`, 1 for the symbols that may come next, else 0.
        outputs: `(batch, steps, size)`, as large as the model thinks it likely.

    Returns:
        A tensor `bool (batch, steps)`.
    """
    from keras import ops

    smallest = ops.min(ops.where(targets > 0.5, outputs, np.inf), axis=-1)
    largest = ops.max(ops.where(targets > 0.5, -np.inf, outputs), axis=-1)
    return smallest > largest


@dataclasses.dataclass(frozen=True)
class NextSymbolsEvaluation:
    """A model's answers at all steps of all examples of a split.

    Attributes:
        targets: The symbols that may come next, `float32 (N, steps, size)`, 1 or 0. All are 0 at
            steps after the end of a sequence, which are not judged.
        probabilities: The model's, `float32 (N, steps, size)`.
        right: Whether each answer is right, `bool (N, steps)`: see `is_right`.
        loss: Mean cross-entropy of a symbol in nats.
        examples: What the examples are called, such as `"sequences"`.
    """

    targets: np.ndarray
    probabilities: np.ndarray
    right: np.ndarray
    loss: float
    examples: str

    @property
    def score(self):
        """The fraction of examples whose answers are right at all steps."""
        return float(np.mean(self.right.all(axis=-1)))

    @property
    def wrong_steps(self):
        """The number of answers that are wrong."""
        return int(np.sum(~self.right))

    @property
    def steps(self):
        """The number of answers that are judged."""
        return int(np.sum(is_judged(self.targets)))

    def summary(self):
        """The score and the wrong steps in words."""
        return (
            f"{self.score:.2%} of {len(self.targets):,} test {self.examples} right at every step, "
            f"{self.wrong_steps:,} of {self.steps:,} steps wrong"
        )

    def metrics(self):
        """All of it as JSON-ready values."""
        return {
            self.examples: len(self.targets),
            "score": self.score,
            "loss": self.loss,
            "steps": self.steps,
            "wrong_steps": self.wrong_steps,
        }


class NextSymbols(Task):
    """Logits `(batch, steps, size)`; targets are `float32 (batch, steps, size)`, each 0 or 1.

    Steps at which all targets are 0 come after the end of a sequence and are not judged.
    """

    loss_name = "cross-entropy of a symbol (nats)"
    score_name = "share right at every step"
    output = "probabilities"

    @property
    def target_shape(self):
        return (None, self.spec.size)

    def loss(self):
        """A function that Keras takes for a loss."""
        return self.losses

    def metrics(self):
        import keras

        def right_at_every_step(targets, logits):
            right = is_right(targets, logits) | (keras.ops.max(targets, axis=-1) == 0)
            return keras.ops.all(right, axis=-1)

        return [keras.metrics.MeanMetricWrapper(right_at_every_step, self.metric)]

    def predictions(self, outputs):
        """`probabilities float32 (batch, steps, size)` that a symbol may come next."""
        import keras

        return {"probabilities": keras.ops.sigmoid(outputs)}

    def losses(self, targets, outputs):
        """The loss of each example, a tensor `(batch,)`: the mean over its steps and symbols."""
        import keras
        from keras import ops

        each = keras.losses.binary_crossentropy(targets, outputs, from_logits=True)
        judged = ops.cast(ops.max(targets, axis=-1) > 0, each.dtype)
        return ops.sum(each * judged, axis=-1) / ops.maximum(ops.sum(judged, axis=-1), 1)

    def judge(self, outputs, targets):
        import keras
        from keras import ops

        return NextSymbolsEvaluation(
            targets,
            ops.convert_to_numpy(ops.sigmoid(outputs)),
            ops.convert_to_numpy(is_right(targets, outputs)) | ~is_judged(targets),
            float(keras.ops.mean(self.losses(targets, outputs))),
            self.spec.examples,
        )

    def describe(self, prediction, target):
        return f"reads a sequence of {np.sum(is_judged(target))} symbols"

    def figures(self, evaluation, split):
        """The symbols that may come next in the first example, and the model's probabilities."""
        steps = np.sum(is_judged(evaluation.targets[0]))
        shown = evaluation.targets[0, :steps], evaluation.probabilities[0, :steps]
        rows = "step of the first test example"
        return {"answers": draw_panels(evaluation.summary(), *shown, rows, "symbol")}
