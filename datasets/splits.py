"""The parts of a dataset, and the batches that a model is fed with.

Batches are a pure function of the split, the seed, the epoch and the step, so that a training that
was interrupted goes on with the same batches, without replaying those before.
"""

import dataclasses
from typing import Protocol

import numpy as np


class Split(Protocol):
    """A part of a dataset. `len(split)` is the number of examples of an epoch."""

    def __len__(self): ...

    def batches(self, batch_size, seed=None, epoch=0, step=0):
        """A `tf.data.Dataset` of batches `(inputs, targets)`.

        Args:
            batch_size: Examples in a batch. The last batch of an epoch holds what is left, so that
                an epoch is ceil(N / batch_size) batches.
            seed: Key of the order, a new one each epoch; the batches never end. With `None` every
                example comes once, in order.
            epoch: The epoch to begin in, counted from 0.
            step: The batch of that epoch to begin with, counted from 0.
        """

    def arrays(self):
        """The arrays that tell this split from another one, for a checksum."""


@dataclasses.dataclass(frozen=True)
class ArraySplit:
    """Examples that are in memory. `split[a:b]` is a part of them.

    Attributes:
        inputs: Such as images `uint8 (N, 28, 28)`, pixel values 0 (paper) to 255 (ink).
        targets: Such as class numbers from 0, `int64 (N,)`.
    """

    inputs: np.ndarray
    targets: np.ndarray

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, part):
        return ArraySplit(self.inputs[part], self.targets[part])

    def batches(self, batch_size, seed=None, epoch=0, step=0):
        """As `Split.batches`."""
        from datasets import batches  # TensorFlow takes its seconds.

        arrays = self.inputs, self.targets
        if seed is None:
            return batches.ordered(arrays, batch_size)
        return batches.shuffled(arrays, batch_size, seed, epoch, step)

    def arrays(self):
        return [np.ascontiguousarray(self.inputs), np.ascontiguousarray(self.targets)]
