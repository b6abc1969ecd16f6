"""Generated tasks with long time lags: the answer depends on inputs of many steps before.

Sources: `adding` and `temporal_order` are experiments 4 and 6a of S. Hochreiter and J. Schmidhuber,
Long Short-Term Memory, 1997, https://doi.org/10.1162/neco.1997.9.8.1735; `adding` with one marker
in each half, as in Q. Le, N. Jaitly and G. Hinton, A Simple Way to Initialize Recurrent Networks of
Rectified Linear Units, 2015, https://arxiv.org/abs/1504.00941.
"""

import functools

import numpy as np

from datasets.dataset import Dataset, Spec
from datasets.splits import ArraySplit, GeneratedSplit

_VALIDATION_SIZE, _TEST_SIZE = 1000, 2560  # The paper tests on 2,560 sequences.
_VALIDATION_SEED, _TEST_SEED = 1, 2


def adding(length, examples, random):
    """Numbers from 0 to 1, two of them marked, one in each half. The answer is their sum.

    The network has solved an example if its answer is off by less than 0.04.

    Args:
        length: Steps of a sequence.
        examples: How many examples.
        random: A NumPy generator.

    Returns:
        Sequences `float32 (examples, length, 2)` of a number and its mark, 0 or 1; and the sums,
        `float32 (examples, 1)`.
    """
    sequences = np.zeros((examples, length, 2), np.float32)
    sequences[..., 0] = random.random((examples, length))
    each, half = np.arange(examples), length // 2
    first = random.integers(0, half, examples)
    second = random.integers(half, length, examples)
    sequences[each, first, 1] = sequences[each, second, 1] = 1
    sums = sequences[each, first, 0] + sequences[each, second, 0]
    return sequences, sums[:, None]


def temporal_order(length, examples, random):
    """Symbols, with an X or Y in the second tenth and one in the sixth. The answer is these two.

    Args:
        length: Steps of a sequence.
        examples: How many examples.
        random: A NumPy generator.

    Returns:
        One-hot sequences `float32 (examples, length, 8)`: 0 to 3 mean nothing, 4 is X, 5 is Y, 6
        begins and 7 ends the sequence; and the classes XX, XY, YX and YY, `int64 (examples,)`.
    """
    symbols = random.integers(0, 4, (examples, length))
    each = np.arange(examples)
    relevant = random.integers(0, 2, (examples, 2))
    tenth = length // 10
    for turn, start in enumerate((tenth, 5 * tenth)):
        symbols[each, random.integers(start, start + tenth, examples)] = 4 + relevant[:, turn]
    symbols[:, 0], symbols[:, -1] = 6, 7
    return np.eye(8, dtype=np.float32)[symbols], 2 * relevant[:, 0] + relevant[:, 1]


def first_row(length, examples, random, images):
    """The rows of a digit from the first with ink on, then blank rows. The answer is that first.

    Args:
        length: Blank rows after the digit.
        examples: How many examples.
        random: A NumPy generator.
        images: The digits, `uint8 (N, 28, 28)`.

    Returns:
        Sequences `float32 (examples, 28 + length, 28)` of 0 to 1, and the pixels of the first row,
        `float32 (examples, 28)`, each 0 or 1.
    """
    chosen = images[random.integers(0, len(images), examples)]
    first = (chosen.max(axis=-1) > 127).argmax(axis=-1)
    sequences = np.zeros((examples, 28 + length, 28), np.float32)
    for sequence, image, row in zip(sequences, chosen, first, strict=True):
        sequence[: 28 - row] = image[row:] / 255
    return sequences, (sequences[:, 0] > 0.5).astype(np.float32)


_SPECS = {
    "adding": Spec("vectors", "number", (None, 2), 1),
    "temporal_order": Spec("vectors", "class", (None, 8), 4),
    "first_row": Spec("vectors", "bits", (None, 28), 28),
}


def read(config, digits):
    """The generated dataset of a `Config`.

    Training sequences are new in every epoch; those for validation and test are always the same.

    Args:
        config: A `Config`; its dataset, length and train size are used.
        digits: A function that reads the `Dataset` of digits that `first_row` is made of.
    """
    name, source = config.dataset, "generated"
    if name == "first_row":
        images = digits()
        source = f"generated from {images.name} ({images.source})"
        train, test = images.train.inputs, images.test.inputs
        generate = functools.partial(first_row, config.length, images=train)
        generate_test = functools.partial(first_row, config.length, images=test)
    else:
        generators = {"adding": adding, "temporal_order": temporal_order}
        generate = generate_test = functools.partial(generators[name], config.length)

    def fixed(size, seed, generate):
        return ArraySplit(*generate(size, np.random.default_rng(seed)))

    return Dataset(
        name=name,
        source=source,
        spec=_SPECS[name],
        train=GeneratedSplit(generate, config.train_size),
        validation=fixed(_VALIDATION_SIZE, _VALIDATION_SEED, generate),
        test=fixed(_TEST_SIZE, _TEST_SEED, generate_test),
    )
