"""The interface of all tasks. It does not import TensorFlow, so that lists of runs are fast."""

import dataclasses
from typing import Protocol

import numpy as np


class Evaluation(Protocol):
    """A model's answers to all examples of a split, and how good they are.

    Attributes:
        loss: The mean loss of the examples, without label smoothing.
        score: The score of the task; higher is better.
    """

    loss: float
    score: float

    def summary(self):
        """The score in words."""

    def metrics(self):
        """All of it as JSON-ready values, `loss` and `score` among them."""


@dataclasses.dataclass(frozen=True)
class Task:
    """The loss, the metrics, the evaluation and the predictions for one kind of answer.

    Args:
        spec: The `Spec` of the data.
        config: The `Config` of the training.

    Attributes:
        loss_name: The name of the loss, with its unit.
        score_name: The name of the score. A higher score is better.
        score_format: The format string of a score.
        score_axis: The label of an axis of scores: their name and unit.
        score_scale: The number by which a score is multiplied on this axis.
        max_loss: A mean loss that is not below it has diverged.
        output: The name of the prediction that is shown for every step.
        target_shape: The shape of one example's target.
    """

    spec: object
    config: object

    loss_name = None
    score_name = None
    score_format = "{:.2%}"
    score_axis = "score (%)"
    score_scale = 100
    max_loss = 1000.0  # Guessing among ten classes has a cross-entropy of 2.3 nats.
    output = None
    target_shape = ()

    @property
    def metric(self):
        """The name of the score among the metrics of Keras, and so in `history.csv`."""
        return self.score_name.replace(" ", "_")

    def loss(self):
        """The `keras.losses.Loss` of targets and a model's outputs."""
        raise NotImplementedError

    def metrics(self):
        """The list of `keras.metrics.Metric` of targets and outputs.

        The first is the score, a mean over the examples, so that the score of some steps follows
        from the means before and after them.
        """
        raise NotImplementedError

    def predictions(self, outputs):
        """The predictions of an exported model, by name, from outputs `(batch, size)`."""
        raise NotImplementedError

    def losses(self, targets, outputs):
        """The loss of each example, a tensor `(batch,)`, without label smoothing."""
        raise NotImplementedError

    def judge(self, outputs, targets):
        """The `Evaluation` of a model's outputs, NumPy arrays `(N, size)`, for targets."""
        raise NotImplementedError

    def evaluate(self, model, split):
        """The `Evaluation` of a model on every example of an `ArraySplit`, each once.

        A `StreamSplit` is read as one sequence.
        """
        if not split.carries_states:
            outputs = [model.predict_on_batch(inputs) for inputs, _ in split.in_order()]
            return self.judge(np.concatenate(outputs), split.targets)
        from models import carry_states, reset_states

        model = carry_states(model, batch_size=1)
        reset_states(model)
        outputs = [model.predict_on_batch(inputs) for inputs, _ in split.in_order()]
        return self.judge(np.concatenate(outputs, axis=1), split.targets[None])

    def describe(self, prediction, target):
        """One answer and its target in words that follow the name of a network.

        Args:
            prediction: `predictions[output]` of one example, a NumPy array `(size,)`.
            target: The example's target.
        """
        raise NotImplementedError

    def figures(self, evaluation, split):
        """Pictures of an `Evaluation` on a split: matplotlib figures by name."""
        raise NotImplementedError

    def show(self, score):
        """A score as text."""
        return self.score_format.format(score)

    def show_named(self, score):
        """A score as text, with its name."""
        return f"{self.score_name} {self.show(score)}"
