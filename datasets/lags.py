"""Tasks that ask for what was seen long ago, generated: how long can a network remember?

Sources: `adding` and `temporal_order` are experiments 4 and 6a of S. Hochreiter and J. Schmidhuber,
Long Short-Term Memory, 1997, https://doi.org/10.1162/neco.1997.9.8.1735; `adding` with one marker
in each half, as in Q. Le, N. Jaitly and G. Hinton, A Simple Way to Initialize Recurrent Networks of
Rectified Linear Units, 2015, https://arxiv.org/abs/1504.00941.
"""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Task:
    """A task for any lag.

    Attributes:
        generate: A function of a lag, how many examples, a NumPy generator and images
            `uint8 (N, 28, 28)`. It returns sequences `float32 (examples, steps, features)` and
            targets.
        outputs: How many numbers a network answers with.
        loss: The name of Keras's loss of these numbers, which are logits but in `adding`.
        error: A function of answers `(examples, outputs)` and targets: how wrong they are.
        unit: What the error is, in words.
    """

    generate: Callable
    outputs: int
    loss: str
    error: Callable
    unit: str


def _adding(lag, examples, random, images):
    """Numbers of 0 to 1, two of them marked, one in each half: their sum is asked for."""
    sequences = np.zeros((examples, lag, 2), np.float32)
    sequences[..., 0] = random.random((examples, lag))
    each, half = np.arange(examples), lag // 2
    first = random.integers(0, half, examples)
    second = random.integers(half, lag, examples)
    sequences[each, first, 1] = sequences[each, second, 1] = 1
    targets = sequences[each, first, 0] + sequences[each, second, 0]
    return sequences, targets[:, None]


def _temporal_order(lag, examples, random, images):
    """Symbols, among them an X or Y in the second tenth and one in the sixth: which two, in turn?

    One-hot: 0 to 3 mean nothing, 4 is X, 5 is Y, 6 begins and 7 ends the sequence. The classes are
    XX, XY, YX and YY.
    """
    symbols = random.integers(0, 4, (examples, lag))
    each = np.arange(examples)
    which = random.integers(0, 2, (examples, 2))
    tenth = lag // 10
    for turn, start in enumerate((tenth, 5 * tenth)):
        symbols[each, random.integers(start, start + tenth, examples)] = 4 + which[:, turn]
    symbols[:, 0], symbols[:, -1] = 6, 7
    return np.eye(8, dtype=np.float32)[symbols], 2 * which[:, 0] + which[:, 1]


def _first_row(lag, examples, random, images):
    """A digit's rows from the first with ink on, then blank ones: which pixels had the first?"""
    chosen = images[random.integers(0, len(images), examples)]
    first = (chosen.max(axis=-1) > 127).argmax(axis=-1)
    sequences = np.zeros((examples, 28 + lag, 28), np.float32)
    for sequence, image, row in zip(sequences, chosen, first, strict=True):
        sequence[: 28 - row] = image[row:] / 255
    return sequences, (sequences[:, 0] > 0.5).astype(np.float32)


TASKS = {
    "adding": Task(
        _adding,
        1,
        "mean_squared_error",
        lambda answers, targets: float(np.mean((answers - targets) ** 2)),
        "mean squared error",
    ),
    "temporal_order": Task(
        _temporal_order,
        4,
        "sparse_categorical_crossentropy",
        lambda answers, targets: float(np.mean(answers.argmax(axis=-1) != targets)),
        "sequences taken for another",
    ),
    "first_row": Task(
        _first_row,
        28,
        "binary_crossentropy",
        # Of the pixels with ink, which are few: a network that answers none is wrong in all.
        lambda answers, targets: float(1 - _overlap(answers > 0, targets > 0.5)),
        "pixels not recalled",
    ),
}


def _overlap(found, expected):
    """The share that is in both of what is in either."""
    return np.sum(found & expected) / max(1, np.sum(found | expected))
