"""The answer is several bits, each 0 or 1, at every step or at some of them."""

import dataclasses

import numpy as np

from tasks.bits import Bits, BitsEvaluation
from tasks.panels import draw_panels

_DRAWN = 60


@dataclasses.dataclass(frozen=True)
class StepBitsEvaluation(BitsEvaluation):
    """A model's bits at all steps of all examples of a split.

    Attributes:
        targets: The right bits, `float32 (N, steps, size)`: 0 or 1, or -1 for a bit that is not
            asked for.
        probabilities: The model's probabilities that a bit is 1, `float32 (N, steps, size)`.
        loss: Mean cross-entropy of a bit in nats.
        examples: What the examples are called, such as `"sequences"`.
    """

    @property
    def asked(self):
        """Whether a bit is asked for, `bool (N, steps, size)`."""
        return self.targets >= 0

    @property
    def right(self):
        """Whether a bit is right, `bool (N, steps, size)`; false where none is asked for."""
        return self.asked & (self.bits == (self.targets > 0.5))

    @property
    def score(self):
        """The mean share of right bits, of the examples that ask for some."""
        asked, right = self.asked.sum(axis=(1, 2)), self.right.sum(axis=(1, 2))
        return float(np.mean(right[asked > 0] / asked[asked > 0]))

    @property
    def wrong_bits(self):
        """The number of bits of an example that are wrong, on average."""
        return float((self.asked.sum() - self.right.sum()) / len(self.targets))

    def summary(self):
        """The score and the wrong bits in words."""
        return (
            f"{self.score:.2%} of the bits of {len(self.targets):,} test {self.examples} right, "
            f"{self.wrong_bits:.2f} wrong bits in each on average"
        )


class StepBits(Bits):
    """Logits `(batch, steps, size)`; targets `float32` of that shape: 0, 1, or -1 for none."""

    score_name = "share of right bits"
    evaluation = StepBitsEvaluation

    @property
    def target_shape(self):
        return (None, self.spec.size)

    def loss(self):
        """A function that Keras takes for a loss."""
        return self.losses

    def metrics(self):
        """As `Task.metrics`. Examples that ask for nothing do not count."""
        import keras

        class ShareOfRightBits(keras.metrics.Mean):
            def update_state(self, targets, logits, sample_weight=None):
                shares = _mean_of_asked((logits > 0) == (targets > 0.5), targets)
                is_asked = keras.ops.any(targets >= 0, axis=(1, 2))
                super().update_state(shares, sample_weight=is_asked)

        return [ShareOfRightBits(self.metric)]

    def show(self, score):
        # The score of some steps can be a little above 1 if some ask for more bits than others.
        return super().show(min(score, 1))

    def losses(self, targets, outputs):
        """The loss of each example, a tensor `(batch,)`: the mean over the bits that are asked."""
        from keras import ops

        # The cross-entropy of a sigmoid: log(1 + exp(x)) - x * target.
        each = ops.softplus(outputs) - outputs * ops.cast(targets, outputs.dtype)
        return _mean_of_asked(each, targets)

    def describe(self, prediction, target):
        asked = target >= 0
        wrong = int(np.sum(asked & ((prediction > 0.5) != (target > 0.5))))
        return f"answers {wrong} of {int(asked.sum())} bits wrong"

    def figures(self, evaluation, split):
        """The right bits of the first example, and the model's probabilities."""
        targets, answers = evaluation.targets[0, :_DRAWN], evaluation.probabilities[0, :_DRAWN]
        shown = np.where(targets < 0, np.nan, targets), answers
        rows = "step of the first test example"
        return {"answers": draw_panels(evaluation.summary(), *shown, rows, "bit")}


def _mean_of_asked(values, targets):
    """The mean of the values `(batch, steps, size)` of the bits that are asked for, `(batch,)`.

    It is 0 for an example that asks for none.
    """
    from keras import ops

    asked = ops.cast(targets >= 0, "float32")
    count = ops.sum(asked, axis=(1, 2))
    return ops.sum(ops.cast(values, "float32") * asked, axis=(1, 2)) / ops.maximum(count, 1)
