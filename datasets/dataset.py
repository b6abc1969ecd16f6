"""What a dataset is to the rest of the program."""

import dataclasses
import hashlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class Split:
    """Images and their labels. `len(split)` counts them, `split[a:b]` is a part of them.

    Attributes:
        images: `uint8 (N, 28, 28)`, pixel values 0 (paper) to 255 (ink).
        labels: `int64 (N,)`, class numbers from 0.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, part):
        return Split(self.images[part], self.labels[part])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A named dataset, split for training, choosing and judging.

    Attributes:
        name: The dataset's own name, such as `"mnist"`; never `"auto"`.
        source: Where it came from and why, in words.
        classes: Number of classes.
        train: Images to learn from.
        validation: Images to choose by; may be empty.
        test: Images to judge by, never used to choose anything.
    """

    name: str
    source: str
    classes: int
    train: Split
    validation: Split
    test: Split

    def summary(self):
        """What it is and how large, in words."""
        return (
            f"{self.name} ({self.source}): {len(self.train):,} training, "
            f"{len(self.validation):,} validation and {len(self.test):,} test images"
        )

    def checksum(self):
        """SHA-256 of all images and labels, however many of them are held out for validation."""
        digest = hashlib.sha256()
        splits = (self.validation, self.train, self.test)
        for array in [s.images for s in splits] + [s.labels for s in splits]:
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()
