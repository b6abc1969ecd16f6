"""The description of a dataset: plain data, without TensorFlow."""

import dataclasses
import hashlib

from configs.scopes import kind_of
from datasets.splits import Split

_EXAMPLES = {"images": "images", "vectors": "sequences"}
_ANSWERS = {"class": "classes", "number": "numbers", "bits": "bits"}


@dataclasses.dataclass(frozen=True)
class Spec:
    """The kind of one example, and of the answer that a model gives to it.

    Attributes:
        reads: The input: `"images"`, or `"vectors"`, a sequence of them.
        answers: The answer at the end: `"class"`, one of several; `"number"`, one or several; or
            `"bits"`, each 0 or 1.
        shape: The shape of one example, such as `(28, 28)`; `None` stands for any length.
        size: The number of classes, or of numbers or bits in an answer.
        step: The name of one step of an example, such as `"row"`.
    """

    reads: str
    answers: str
    shape: tuple
    size: int
    step: str = "step"

    @property
    def words(self):
        """A description, such as `"images, 10 classes"`."""
        features = f" of {self.shape[-1]} features" if self.reads == "vectors" else ""
        answers = f"{self.size} {_ANSWERS[self.answers]}"
        return f"{self.examples}{features}, {answers}"

    @property
    def examples(self):
        """The plural of one example, such as `"images"`."""
        return _EXAMPLES[self.reads]


def spec_of(name, input_shape, size):
    """The `Spec` of a named dataset, completed by the shapes of a model that was trained on it.

    Args:
        name: The dataset's name.
        input_shape: The shape of a model's input, `(None, ...)`.
        size: The size of the model's output.
    """
    kind = kind_of(name)
    if kind.reads == "images":
        return images_spec(size)
    return Spec(kind.reads, kind.answers, tuple(input_shape[1:]), size)


def images_spec(classes):
    """The `Spec` of 28x28 grey images, `uint8 (28, 28)`, of so many classes."""
    return Spec("images", "class", (28, 28), classes, "row")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A named dataset, split for training, choosing and judging.

    Attributes:
        name: The dataset's own name, such as `"mnist"`; never `"auto"`.
        source: Its origin, and the reason for it, in words.
        spec: The `Spec` of its examples.
        train: The `Split` to learn from.
        validation: The `Split` to choose by; may be empty.
        test: The `Split` to judge by, never used to choose anything.
    """

    name: str
    source: str
    spec: Spec
    train: Split
    validation: Split
    test: Split

    def summary(self):
        """Its name, source and size in words."""
        return (
            f"{self.name} ({self.source}): {len(self.train):,} training, "
            f"{len(self.validation):,} validation and {len(self.test):,} test {self.spec.examples}"
        )

    def checksum(self):
        """SHA-256 of all examples, however many of them are held out for validation."""
        digest = hashlib.sha256()
        splits = (self.validation, self.train, self.test)
        for arrays in zip(*(split.arrays() for split in splits), strict=True):
            for array in arrays:
                digest.update(array)
        return digest.hexdigest()
