"""The description of a dataset: plain data, without TensorFlow."""

import dataclasses
import functools
import hashlib

import numpy as np

from configs.scopes import EVERY_STEP, kind_of
from datasets.splits import Split

_EXAMPLES = {"images": "images", "vectors": "sequences", "tokens": "sequences"}
_ANSWERS = {
    **{"class": "classes", "number": "numbers", "bits": "bits", "step_bits": "bits"},
    **{"next_symbols": "symbols", "next_token": "symbols"},
}


@dataclasses.dataclass(frozen=True)
class Spec:
    """The kind of one example, and of the answer that a model gives to it.

    Attributes:
        reads: The input: `"images"`; `"vectors"`, a sequence of them; or `"tokens"`, the indices of
            a sequence of characters or words.
        answers: The answer at the end: `"class"`, one of several; `"number"`, one or several; or
            `"bits"`, each 0 or 1. Or the answer at every step: `"step_bits"`; `"next_token"`; or
            `"next_symbols"`, all that may come next.
        shape: The shape of one example, such as `(28, 28)`; `None` stands for any length.
        size: The number of classes, of numbers or bits in an answer, or of symbols.
        step: The name of one step of an example, such as `"row"`.
        vocabulary: The symbols of tokens: token 3 stands for `vocabulary[3]`.
    """

    reads: str
    answers: str
    shape: tuple
    size: int
    step: str = "step"
    vocabulary: tuple[str, ...] = ()

    @property
    def answers_at_every_step(self):
        """Whether the answer is not at the end only."""
        return self.answers in EVERY_STEP

    @property
    def words(self):
        """A description, such as `"images, 10 classes"`."""
        contents = {"vectors": f" of {self.shape[-1]} features", "tokens": f" of {self.step}s"}
        answers = f"{self.size} {_ANSWERS[self.answers]}"
        return f"{self.examples}{contents.get(self.reads, '')}, {answers}"

    @property
    def examples(self):
        """The plural of one example, such as `"images"`."""
        return _EXAMPLES[self.reads]


def spec_of(config, input_shape, size, vocabulary=()):
    """The `Spec` of the dataset of a `Config`, completed by a model that was trained on it.

    Args:
        config: The `Config`.
        input_shape: The shape of the model's input, `(None, ...)`.
        size: The size of the model's output.
        vocabulary: The symbols that the model knows if it reads tokens.
    """
    kind = kind_of(config.dataset)
    if kind.reads == "images":
        return images_spec(size)
    if kind.reads == "tokens":
        step = config.tokens.removesuffix("s")
        return Spec(kind.reads, kind.answers, tuple(input_shape[1:]), size, step, vocabulary)
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

    def with_teacher(self):
        """The same data for teacher forcing. Each input also has the targets of the step before.

        These targets are -1 at the first step of a sequence, and at all steps of the validation.
        The test split does not change.
        """
        return dataclasses.replace(
            self,
            train=self.train.map_inputs(_with_teacher),
            validation=self.validation.map_inputs(functools.partial(_with_teacher, absent=True)),
        )

    def summary(self):
        """Its name, source and size in words."""
        return (
            f"{self.name} ({self.source}): {len(self.train):,} training, "
            f"{len(self.validation):,} validation and {len(self.test):,} test {self.spec.examples}"
        )

    def checksum(self):
        """SHA-256 of all examples, and of the vocabulary of a text.

        That of images does not depend on how many of them are held out for validation.
        """
        digest = hashlib.sha256("\n".join(self.spec.vocabulary).encode())
        splits = (self.validation, self.train, self.test)
        for arrays in zip(*(split.arrays() for split in splits), strict=True):
            for array in arrays:
                digest.update(array)
        return digest.hexdigest()


def _with_teacher(inputs, targets, absent=False):
    """Inputs and the targets of the step before, together `(..., steps, features + size)`."""
    before = np.full_like(targets, -1)
    if not absent:
        before[..., 1:, :] = targets[..., :-1, :]
    return np.concatenate([inputs, before], axis=-1)
