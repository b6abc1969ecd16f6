"""The answer is one of several classes."""

import dataclasses

import numpy as np

from tasks.task import Task


@dataclasses.dataclass(frozen=True)
class ClassEvaluation:
    """A classifier's answers to all examples of a split.

    Attributes:
        labels: The right classes, `int64 (N,)`.
        probabilities: The model's, `float32 (N, classes)`.
        loss: Mean cross-entropy in nats.
        examples: What the examples are called, such as `"images"`.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    loss: float
    examples: str = "images"

    @property
    def predictions(self):
        """The most probable classes, `int64 (N,)`."""
        return self.probabilities.argmax(axis=-1)

    @property
    def accuracy(self):
        """The fraction of examples whose most probable class is the right one."""
        return float(np.mean(self.predictions == self.labels))

    score = accuracy

    def confusion(self):
        """How often class i was taken for class j, `int64 (classes, classes)`."""
        from sklearn.metrics import confusion_matrix

        classes = range(self.probabilities.shape[-1])
        return confusion_matrix(self.labels, self.predictions, labels=classes)

    def summary(self):
        """The accuracy in words."""
        return f"{self.accuracy:.2%} of {len(self.labels):,} test {self.examples} right"

    def metrics(self):
        """All of it as JSON-ready values."""
        from sklearn.metrics import precision_recall_fscore_support

        classes = range(self.probabilities.shape[-1])
        precision, recall, _, counts = precision_recall_fscore_support(
            self.labels, self.predictions, labels=classes, zero_division=0
        )
        return {
            self.examples: len(self.labels),
            "score": self.score,
            "accuracy": self.accuracy,
            "loss": self.loss,
            "per_class": [
                {"class": c, self.examples: int(n), "precision": float(p), "recall": float(r)}
                for c, n, p, r in zip(classes, counts, precision, recall, strict=True)
            ],
            "confusion": self.confusion().tolist(),
        }


class Classification(Task):
    """One of `spec.size` classes, from logits `(batch, classes)`; targets are class numbers."""

    loss_name = "cross-entropy (nats)"
    score_name = "accuracy"
    output = "probabilities"

    def loss(self):
        from tasks.smoothed_crossentropy import SmoothedCrossentropy

        return SmoothedCrossentropy(self.config.label_smoothing)

    def metrics(self):
        import keras

        return [keras.metrics.SparseCategoricalAccuracy(self.metric)]

    def predictions(self, outputs):
        """`probabilities float32 (batch, classes)` and `classes int64 (batch,)`, by these names."""
        import keras
        import tensorflow as tf

        probabilities = keras.ops.softmax(outputs)
        # `keras.ops.argmax` tells -0.0 from 0.0 by operations that ONNX does not have.
        return {"probabilities": probabilities, "classes": tf.argmax(probabilities, axis=-1)}

    def losses(self, targets, outputs):
        import keras

        return keras.losses.sparse_categorical_crossentropy(targets, outputs, from_logits=True)

    def judge(self, outputs, targets):
        import keras

        return ClassEvaluation(
            labels=targets,
            probabilities=keras.ops.convert_to_numpy(keras.ops.softmax(outputs)),
            loss=float(keras.ops.mean(self.losses(targets, outputs))),
            examples=self.spec.examples,
        )

    def evaluate_views(self, model, split, views):
        """Evaluate the mean of a model's answers to several distorted views of each image.

        The views are distorted as in training; the first one is the image itself.

        Args:
            model: A model that was trained on distorted images.
            split: An `ArraySplit` of images.
            views: How many views of each image.

        Returns:
            A `ClassEvaluation` of the mean probabilities.
        """
        import keras

        distort = model.get_layer("distort")
        distort.seed_generator.state.assign([0, 0])  # For the same views each time.
        probabilities = [self.evaluate(model, split).probabilities]
        for _ in range(views - 1):
            seen = np.concatenate(
                [
                    distort(keras.ops.cast(images, "float32"), training=True)
                    for images, _ in split.in_order()
                ]
            )
            view = dataclasses.replace(split, inputs=seen)
            probabilities.append(self.evaluate(model, view).probabilities)
        mean = np.mean(probabilities, axis=0)
        losses = keras.losses.sparse_categorical_crossentropy(split.targets, mean)
        loss = float(keras.ops.mean(losses))
        return ClassEvaluation(split.targets, mean, loss, self.spec.examples)

    def describe(self, prediction, target):
        words = "a" if self.spec.reads == "images" else "a sequence of class"
        return f"reads {words} {target} and answers {prediction.argmax()}"

    def figures(self, evaluation, split):
        """The confusion matrix, and of images the mistakes."""
        from tasks.class_figures import draw_confusion, draw_mistakes

        figures = {"confusion": draw_confusion(evaluation)}
        if self.spec.reads == "images":
            figures["mistakes"] = draw_mistakes(evaluation, split.inputs)
        return figures
