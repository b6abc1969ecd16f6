"""The answer is several bits, each 0 or 1."""

import dataclasses

import numpy as np

from tasks.panels import draw_panels
from tasks.task import Task

_DRAWN = 12


def intersection_over_union(right, answered):
    """The IoU of each example, a tensor `float32 (batch,)`; 1 if all bits of both are 0.

    Args:
        right: The bits that are 1, `bool (batch, size)`.
        answered: The bits that are answered as 1, `bool (batch, size)`.
    """
    from keras import ops

    both = ops.sum(ops.cast(ops.logical_and(right, answered), "float32"), axis=-1)
    either = ops.sum(ops.cast(ops.logical_or(right, answered), "float32"), axis=-1)
    return ops.where(either > 0, both / ops.maximum(either, 1), 1.0)


@dataclasses.dataclass(frozen=True)
class BitsEvaluation:
    """A model's bits for all examples of a split.

    Attributes:
        targets: The right bits, `float32 (N, size)`, each 0 or 1.
        probabilities: The model's probabilities that a bit is 1, `float32 (N, size)`.
        loss: Mean cross-entropy of a bit in nats.
        examples: What the examples are called, such as `"sequences"`.
    """

    targets: np.ndarray
    probabilities: np.ndarray
    loss: float
    examples: str

    @property
    def bits(self):
        """The model's bits, `bool (N, size)`."""
        return self.probabilities > 0.5

    @property
    def wrong_bits(self):
        """How many bits of an example are wrong, on average."""
        return float(np.mean(np.sum(self.bits != (self.targets > 0.5), axis=-1)))

    @property
    def score(self):
        """The mean intersection over union (IoU) of an example's bits that are 1."""
        import keras

        each = intersection_over_union(self.targets > 0.5, self.bits)
        return float(np.mean(keras.ops.convert_to_numpy(each)))

    def summary(self):
        """The score and the wrong bits in words."""
        return (
            f"mean IoU {self.score:.2%} of {len(self.targets):,} test {self.examples}, "
            f"{self.wrong_bits:.2f} of {self.targets.shape[-1]} bits wrong on average"
        )

    def metrics(self):
        """All of it as JSON-ready values."""
        return {
            self.examples: len(self.targets),
            "score": self.score,
            "loss": self.loss,
            "wrong_bits": self.wrong_bits,
        }


class Bits(Task):
    """`spec.size` bits, from logits `(batch, size)`; targets are `float32 (batch, size)`."""

    loss_name = "cross-entropy of a bit (nats)"
    score_name = "mean IoU"
    output = "probabilities"
    evaluation = BitsEvaluation

    @property
    def target_shape(self):
        return (self.spec.size,)

    def loss(self):
        import keras

        return keras.losses.BinaryCrossentropy(from_logits=True)

    def metrics(self):
        import keras

        def iou(targets, logits):
            return intersection_over_union(targets > 0.5, logits > 0)

        return [keras.metrics.MeanMetricWrapper(iou, self.metric)]

    def predictions(self, outputs):
        """`probabilities float32` and `bits int64`, both of the shape of the outputs, by name."""
        import keras

        probabilities = keras.ops.sigmoid(outputs)
        return {
            "probabilities": probabilities,
            "bits": keras.ops.cast(probabilities > 0.5, "int64"),
        }

    def losses(self, targets, outputs):
        import keras

        return keras.losses.binary_crossentropy(targets, outputs, from_logits=True)

    def judge(self, outputs, targets):
        import keras

        return self.evaluation(
            targets,
            keras.ops.convert_to_numpy(keras.ops.sigmoid(outputs)),
            float(keras.ops.mean(self.losses(targets, outputs))),
            self.spec.examples,
        )

    def describe(self, prediction, target):
        answer, right = (
            ", ".join(map(str, np.flatnonzero(bits > 0.5))) or "none"
            for bits in (prediction, target)
        )
        return f"answers 1 in these bits: {answer}; the target: {right}"

    def figures(self, evaluation, split):
        """The right bits of the first examples, and the model's probabilities."""
        shown = evaluation.targets[:_DRAWN], evaluation.probabilities[:_DRAWN]
        return {"answers": draw_panels(evaluation.summary(), *shown, "test example", "bit")}
