"""The parts of a dataset, and the batches that a model is fed with.

Batches are a pure function of the split, the seed, the epoch and the step, so that a training that
was interrupted goes on with the same batches, without replaying those before.
"""

import bisect
import dataclasses
import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

_STEPS = 28_000  # Of all examples of a batch, so that it fits into memory.


class Split(Protocol):
    """A part of a dataset. `len(split)` is the number of examples of an epoch."""

    def __len__(self): ...

    carries_states: bool  # Whether a batch continues the sequences of the batch before.
    shape_changes: tuple  # The epochs whose examples have another shape than those before.

    def steps_per_epoch(self, batch_size):
        """The number of batches of an epoch."""

    def batches(self, batch_size, seed=None, epoch=0, step=0):
        """A `tf.data.Dataset` of batches `(inputs, targets)`.

        Args:
            batch_size: Examples in a batch. The last batch of an epoch may have fewer.
            seed: Key of the order, a new one each epoch; the batches never end. With `None` every
                example comes once, in order.
            epoch: The epoch to begin in, counted from 0. The batches are right until the next
                epoch in `shape_changes`.
            step: The batch of that epoch to begin with, counted from 0.
        """

    def map_inputs(self, function):
        """The split whose inputs are `function(inputs, targets)`, of arrays `(..., steps, ...)`."""

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

    carries_states = False
    shape_changes = ()

    def __len__(self):
        return len(self.targets)

    def steps_per_epoch(self, batch_size):
        return math.ceil(len(self) / batch_size)

    def __getitem__(self, part):
        return ArraySplit(self.inputs[part], self.targets[part])

    def map_inputs(self, function):
        """As `Split.map_inputs`."""
        return ArraySplit(function(self.inputs, self.targets), self.targets)

    def batches(self, batch_size, seed=None, epoch=0, step=0):
        """As `Split.batches`."""
        from datasets import batches  # TensorFlow takes its seconds.

        arrays = self.inputs, self.targets
        if seed is None:
            return batches.ordered(arrays, batch_size)
        return batches.shuffled(arrays, batch_size, seed, epoch, step)

    def in_order(self, tracks=1):
        """Every example once, in order, in batches of up to 28,000 steps: `Split.batches`.

        Args:
            tracks: Ignored; see `StreamSplit.in_order`.
        """
        return self.batches(max(1, _STEPS // self.inputs.shape[1]))

    def arrays(self):
        return [np.ascontiguousarray(self.inputs), np.ascontiguousarray(self.targets)]


@dataclasses.dataclass(frozen=True)
class GeneratedSplit:
    """Training examples that are made when they are needed, new ones in every epoch.

    Attributes:
        generate: A function `generate(examples, random)` that draws so many examples from a NumPy
            generator: inputs and targets, each `(examples, ...)`.
        size: Examples of an epoch.
    """

    generate: Callable
    size: int

    carries_states = False
    shape_changes = ()

    def __len__(self):
        return self.size

    def steps_per_epoch(self, batch_size):
        return math.ceil(self.size / batch_size)

    def map_inputs(self, function):
        """As `Split.map_inputs`."""

        def generate(examples, random):
            inputs, targets = self.generate(examples, random)
            return function(inputs, targets), targets

        return GeneratedSplit(generate, self.size)

    def batches(self, batch_size, seed, epoch=0, step=0):
        """As `Split.batches`: the key of a batch is (seed, epoch, step)."""
        from datasets import batches  # TensorFlow takes its seconds.

        def draw(seed, epoch, step):
            examples = min(batch_size, self.size - batch_size * step)
            return self.generate(examples, np.random.default_rng((seed, epoch, step)))

        return batches.generated(draw, self.steps_per_epoch(batch_size), seed, epoch, step)

    def arrays(self):
        """A few examples, which tell a generator from another one."""
        return [np.ascontiguousarray(a) for a in self.generate(10, np.random.default_rng(0))]


@dataclasses.dataclass(frozen=True)
class CurriculumSplit:
    """Training examples whose length grows: a `GeneratedSplit` for each part of the training.

    Attributes:
        parts: The `GeneratedSplit` of each part, all of the same size.
        shape_changes: The epochs with which all parts but the first begin, in order.
    """

    parts: tuple
    shape_changes: tuple

    carries_states = False

    def __len__(self):
        return len(self.parts[-1])

    def steps_per_epoch(self, batch_size):
        return self.parts[-1].steps_per_epoch(batch_size)

    def map_inputs(self, function):
        """As `Split.map_inputs`."""
        parts = tuple(part.map_inputs(function) for part in self.parts)
        return CurriculumSplit(parts, self.shape_changes)

    def batches(self, batch_size, seed, epoch=0, step=0):
        """As `Split.batches`."""
        part = self.parts[bisect.bisect_right(self.shape_changes, epoch)]
        return part.batches(batch_size, seed, epoch, step)

    def arrays(self):
        """Those of the last part."""
        return self.parts[-1].arrays()


@dataclasses.dataclass(frozen=True)
class StreamSplit:
    """One long sequence, read in parallel tracks, with a target at each step.

    A batch continues the tracks of the batch before, so that a model can carry its state from one
    batch to the next (truncated backpropagation through time). An example is a piece of a track, a
    sequence of `steps` steps.

    Attributes:
        inputs: `(N, ...)`: symbols `int32 (N,)`, or vectors `float32 (N, features)`.
        targets: `(N, ...)`, the target of each step.
        steps: Steps of a batch.
    """

    inputs: np.ndarray
    targets: np.ndarray
    steps: int

    carries_states = True
    shape_changes = ()

    @classmethod
    def of_symbols(cls, symbols, steps):
        """The stream of `symbols int32 (N + 1,)` in which the target is the next symbol."""
        return cls(symbols[:-1], symbols[1:], steps)

    @property
    def symbols(self):
        """What `of_symbols` was given."""
        return np.concatenate([self.inputs[:1], self.targets])

    def __len__(self):
        return math.ceil(len(self.inputs) / self.steps)

    def __getitem__(self, part):
        """The inputs and targets of a slice of the examples."""
        first, end, _ = part.indices(len(self))
        part = slice(first * self.steps, end * self.steps)
        return StreamSplit(self.inputs[part], self.targets[part], self.steps)

    def map_inputs(self, function):
        """As `Split.map_inputs`."""
        return StreamSplit(function(self.inputs, self.targets), self.targets, self.steps)

    def steps_per_epoch(self, batch_size):
        # The offset of an epoch leaves out up to `steps - 1` steps.
        return (len(self.inputs) + 1 - self.steps) // batch_size // self.steps

    def batches(self, batch_size, seed=None, epoch=0, step=0):
        """As `Split.batches`: inputs and targets `(batch_size, steps, ...)`.

        With a seed, the tracks of each epoch start at an offset that is drawn from (seed, epoch),
        all have the same length, and the batches never end. With `None`, see `in_order`.
        """
        if seed is None:
            return self.in_order(batch_size)
        from datasets import batches  # TensorFlow takes its seconds.

        def draw(seed, epoch, step):
            first = np.random.default_rng((seed, epoch)).integers(self.steps)
            length = self.steps_per_epoch(batch_size) * self.steps
            starts = first + length * np.arange(batch_size)[:, None] + self.steps * step
            return self._cut(starts, self.steps)

        return batches.generated(draw, self.steps_per_epoch(batch_size), seed, epoch, step)

    def in_order(self, tracks=1):
        """Batches in which every target comes once, in order in each track.

        A batch continues the tracks of the batch before. Batches have `steps` steps, and the last
        one may have fewer. If the targets cannot be divided into tracks of the same length, the
        first tracks have one target more: one more batch has only these tracks and a single step.

        Args:
            tracks: The number of tracks: the batch size. A track starts without context, so one
                track is exact, and several are faster.

        Returns:
            A `tf.data.Dataset` of inputs and targets, `(tracks, steps, ...)`.
        """
        from datasets import batches  # TensorFlow takes its seconds.

        length, longer = divmod(len(self.inputs), tracks)
        order = np.arange(tracks)
        starts = (order * length + np.minimum(order, longer))[:, None]
        pieces = [
            self._cut(starts + first, min(self.steps, length - first))
            for first in range(0, length, self.steps)
        ]
        if longer:
            pieces.append(self._cut(starts[:longer] + length, 1))
        return batches.listed(pieces, self._cut(starts[:0], 0))

    def _cut(self, starts, steps):
        """Inputs and targets `(tracks, steps, ...)` from the `starts (tracks, 1)` on."""
        indices = starts + np.arange(steps)
        return self.inputs[indices], self.targets[indices]

    def arrays(self):
        if self.inputs.ndim == 1:  # The inputs and targets are the same text.
            return [np.ascontiguousarray(self.symbols)]
        return [np.ascontiguousarray(self.inputs), np.ascontiguousarray(self.targets)]
