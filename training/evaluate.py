"""How good a model is, on every image of a split."""

import dataclasses

import keras
import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from configs import UserError
from datasets import load
from datasets.splits import ArraySplit
from models import Distort

_BATCH_SIZE = 1000


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A model's answers to all images of a split.

    Attributes:
        labels: The right classes, `int64 (N,)`.
        probabilities: The model's, `float32 (N, classes)`.
        loss: Mean cross-entropy in nats.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    loss: float

    @property
    def predictions(self):
        """The most probable classes, `int64 (N,)`."""
        return self.probabilities.argmax(axis=-1)

    @property
    def accuracy(self):
        """The fraction of images whose most probable class is the right one."""
        return float(np.mean(self.predictions == self.labels))

    def confusion(self):
        """How often class i was taken for class j, `int64 (classes, classes)`."""
        classes = range(self.probabilities.shape[-1])
        return confusion_matrix(self.labels, self.predictions, labels=classes)

    def summary(self):
        """The accuracy in words."""
        return f"{self.accuracy:.2%} of {len(self.labels):,} test images right"

    def metrics(self):
        """All of it as JSON-ready values."""
        classes = range(self.probabilities.shape[-1])
        precision, recall, _, images = precision_recall_fscore_support(
            self.labels, self.predictions, labels=classes, zero_division=0
        )
        return {
            "images": len(self.labels),
            "accuracy": self.accuracy,
            "loss": self.loss,
            "per_class": [
                {"class": c, "images": int(n), "precision": float(p), "recall": float(r)}
                for c, n, p, r in zip(classes, images, precision, recall, strict=True)
            ],
            "confusion": self.confusion().tolist(),
        }


def evaluate(model, split):
    """Evaluate a model on every image of a `Split`, each once, as an `Evaluation`."""
    batches = split.batches(_BATCH_SIZE)
    logits = np.concatenate([model.predict_on_batch(images) for images, _ in batches])
    losses = keras.losses.sparse_categorical_crossentropy(split.targets, logits, from_logits=True)
    return Evaluation(
        labels=split.targets,
        probabilities=keras.ops.convert_to_numpy(keras.ops.softmax(logits)),
        loss=float(keras.ops.mean(losses)),
    )


def evaluate_views(model, split, views):
    """Evaluate the average of a model's answers to several distorted views of each image.

    The views are distorted as in training; the first one is the image itself.

    Args:
        model: A model that was trained on distorted images.
        split: A `Split`.
        views: How many views of each image.

    Returns:
        An `Evaluation` of the mean probabilities.

    Raises:
        UserError: If the model has no distortion.
    """
    distort = next((layer for layer in model.layers if isinstance(layer, Distort)), None)
    if not distort:
        raise UserError(
            f"--views={views}: {model.name} was trained without distortion; expected a run with "
            "one of --rotation, --shift, --zoom, --shear, --elastic, or --views=1"
        )
    distort.seed_generator.state.assign([0, 0])  # For the same views each time.
    evaluation = evaluate(model, split)
    probabilities = [evaluation.probabilities]
    for _ in range(views - 1):
        seen = np.concatenate(
            [
                distort(keras.ops.cast(images, "float32"), training=True)
                for images, _ in split.batches(_BATCH_SIZE)
            ]
        )
        probabilities.append(evaluate(model, ArraySplit(seen, split.targets)).probabilities)
    mean = np.mean(probabilities, axis=0)
    losses = keras.losses.sparse_categorical_crossentropy(split.targets, mean)
    return Evaluation(split.targets, mean, float(keras.ops.mean(losses)))


def evaluate_run(run, config, data=None, views=1):
    """Evaluate a finished or interrupted `Run` on the test images of any fitting dataset.

    Args:
        run: The `Run`.
        config: A `Config` that names the dataset.
        data: A `Dataset`; `None` loads the one the config names.
        views: Over how many distorted views of each image to average.

    Returns:
        The `Evaluation`, and the path of the file in the run folder that holds its metrics.

    Raises:
        UserError: If the dataset cannot be had or has another number of classes.
    """
    # How the training images are split is of no concern here, and may not fit this dataset.
    data = data or load(dataclasses.replace(config, validation_size=None))
    model = run.load_model()
    classes = model.output_shape[-1]
    if data.spec.size != classes:
        raise UserError(
            f"--dataset={data.name}: it has {data.spec.size} classes, and {run.folder} was trained "
            f"on {classes}; expected a dataset with the same classes"
        )
    if views == 1:
        evaluation, name = evaluate(model, data.test), data.name
    else:
        evaluation, name = evaluate_views(model, data.test, views), f"{data.name}-{views}-views"
    return evaluation, run.save_evaluation(name, evaluation.metrics())
