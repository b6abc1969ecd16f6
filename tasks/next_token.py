"""The answer is the next symbol of a text, at every step."""

import dataclasses

import numpy as np

from tasks.task import Task

_SHOWN = 30  # Symbols in the figure.


@dataclasses.dataclass(frozen=True)
class TextEvaluation:
    """A model's predictions of all symbols of a text except the first, in order.

    Attributes:
        symbols: The right symbols, `int (N,)`.
        nats: The cross-entropy of each, `float64 (N,)`: minus the logarithm of its probability.
        right: Whether the symbol was the most probable one, `bool (N,)`.
        step: What a symbol is called, such as `"character"`.
    """

    symbols: np.ndarray
    nats: np.ndarray
    right: np.ndarray
    step: str

    @property
    def loss(self):
        """The mean cross-entropy of a symbol in nats."""
        return float(np.mean(self.nats))

    @property
    def perplexity(self):
        """The exponential of the loss."""
        return float(np.exp(self.loss))

    @property
    def score(self):
        """The mean log-likelihood of a symbol in nats, which is minus the loss."""
        return -self.loss

    def summary(self):
        """The perplexity and the accuracy in words."""
        return (
            f"perplexity {self.perplexity:.4g} on {len(self.nats):,} test {self.step}s "
            f"({self.loss:.4f} nats each), {np.mean(self.right):.2%} right"
        )

    def metrics(self):
        """All of it as JSON-ready values."""
        return {
            f"{self.step}s": len(self.nats),
            "score": self.score,
            "loss": self.loss,
            "perplexity": self.perplexity,
            f"bits_per_{self.step}": self.loss / float(np.log(2)),
            "accuracy": float(np.mean(self.right)),
        }


class NextToken(Task):
    """Logits `(batch, steps, symbols)`; targets are the next symbols, `int (batch, steps)`.

    The score is the log-likelihood. It is shown as a perplexity, for which lower is better.
    """

    loss_name = "cross-entropy of a symbol (nats)"
    score_name = "log-likelihood"
    score_axis = "log-likelihood (nats)"
    score_scale = 1
    output = "probabilities"
    target_shape = (None,)

    @property
    def metric(self):
        return "log_likelihood"

    def show(self, score):
        return f"perplexity {np.exp(-score):.4g}"

    def show_named(self, score):
        return self.show(score)

    def loss(self):
        import keras

        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def metrics(self):
        import keras
        from keras import ops

        def log_likelihood(targets, logits):
            # `sparse_categorical_crossentropy` also prepares a gradient, which is slow with 10,000
            # words.
            logits = logits - ops.max(logits, axis=-1, keepdims=True)
            index = ops.expand_dims(ops.cast(targets, "int32"), -1)
            of_targets = ops.squeeze(ops.take_along_axis(logits, index, axis=-1), -1)
            return of_targets - ops.log(ops.sum(ops.exp(logits), axis=-1))

        return [
            keras.metrics.MeanMetricWrapper(log_likelihood, self.metric),
            keras.metrics.SparseCategoricalAccuracy("accuracy"),
        ]

    def predictions(self, outputs):
        """`probabilities float32 (batch, steps, symbols)` of the next symbol."""
        import keras

        return {"probabilities": keras.ops.softmax(outputs)}

    def losses(self, targets, outputs):
        """The loss of each example, a tensor `(batch,)`: the mean over its steps."""
        import keras

        each = keras.losses.sparse_categorical_crossentropy(targets, outputs, from_logits=True)
        return keras.ops.mean(each, axis=-1)

    def judge(self, outputs, targets):
        import scipy.special

        logs = scipy.special.log_softmax(outputs.astype(np.float64), axis=-1)
        nats = -np.take_along_axis(logs, targets[..., None], axis=-1)[..., 0]
        right = outputs.argmax(axis=-1) == targets
        return TextEvaluation(targets.ravel(), nats.ravel(), right.ravel(), self.spec.step)

    def evaluate(self, model, split):
        """The `TextEvaluation` of a model that reads a `StreamSplit` as one sequence."""
        from models import carry_states, reset_states

        model = carry_states(model, batch_size=1)
        reset_states(model)
        parts = [
            self.judge(model.predict_on_batch(inputs), np.asarray(targets))
            for inputs, targets in split.in_order()
        ]
        symbols, nats, right = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("symbols", "nats", "right")
        )
        return TextEvaluation(symbols, nats, right, self.spec.step)

    def figures(self, evaluation, split):
        """The surprise of the most frequent symbols."""
        return {"surprise": _draw_surprise(evaluation, self.spec.vocabulary)}


def _draw_surprise(evaluation, vocabulary):
    """The mean bits of the most frequent symbols, the most frequent first."""
    from matplotlib.figure import Figure

    counts = np.bincount(evaluation.symbols, minlength=len(vocabulary))
    sums = np.bincount(evaluation.symbols, evaluation.nats, minlength=len(vocabulary))
    shown = np.argsort(-counts, kind="stable")[: min(_SHOWN, np.count_nonzero(counts))]
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    bits = sums[shown] / counts[shown] / np.log(2)
    axes.bar(range(len(shown)), bits, color="#0072B2")
    mean = evaluation.loss / np.log(2)
    axes.axhline(mean, color="black", linestyle="--", label=f"mean: {mean:.2f} bits")
    axes.set_xticks(range(len(shown)), [repr(vocabulary[n])[1:-1] for n in shown])
    axes.set(
        title=evaluation.summary(), ylabel="bits", xlabel=f"{evaluation.step}, most frequent first"
    )
    axes.legend()
    return figure
