"""Generated tasks with long time lags: the answer depends on inputs of many steps before.

All of them except `first_row` are experiments of S. Hochreiter and J. Schmidhuber, Long Short-Term
Memory, 1997, https://doi.org/10.1162/neco.1997.9.8.1735, which is "the paper" below. They differ
from the paper in two things:

- All sequences have the same number of steps. The paper draws most lengths from T to T + T / 10.
- The answer to a question of classes is the most probable class. The paper has outputs with targets
  of 0 and 1, and a bound on the error of each output.
"""

import functools
import math

import numpy as np

from configs import UserError
from configs.curriculum import parse_curriculum
from configs.repeats import parse_repeats
from configs.scopes import kind_of
from datasets import memory, reber
from datasets.dataset import Dataset, Spec
from datasets.splits import ArraySplit, CurriculumSplit, GeneratedSplit, StreamSplit

_VALIDATION_SIZE, TEST_SIZE = 1000, 2560  # The paper tests on 2,560 sequences.
_TRAIN_SEED, _VALIDATION_SEED, _TEST_SEED = 0, 1, 2

# The number p of symbols without a meaning in `noisy_recall` and `noise_free_recall`. With 1,000
# steps the paper tries 50, 100, 200, 500 and 1,000, and needs most sequences with 50.
_DISTRACTORS = 50  # Also in `blocks`.


def adding(length, examples, random):
    """Numbers from 0 to 1, two of them marked, one in each half. The answer is their sum.

    Experiment 4 of the paper. A sequence is right if the answer is off by less than 0.04. Training
    has succeeded after 2,000 sequences in a row were right and the average error is below 0.01; the
    paper counts the wrong ones of 2,560 test sequences. It needs 74,000, 209,000 and 853,000
    sequences with T = 100, 500 and 1,000.

    The sequences are those of Q. Le, N. Jaitly and G. Hinton, A Simple Way to Initialize Recurrent
    Networks of Rectified Linear Units, 2015, https://arxiv.org/abs/1504.00941. In the paper the
    numbers are from -1 to 1, the first mark is within the first ten steps, the second one within
    the first half, the first and the last step have the mark -1, and the answer is
    0.5 + sum / 4. Here the numbers have half that range, and an error of 0.04 there is one of 0.08
    here. The program's own score has the stricter bound of 0.04.

    Args:
        length: Steps of a sequence.
        examples: How many examples.
        random: A NumPy generator.

    Returns:
        Sequences `float32 (examples, length, 2)` of a number and its mark, 0 or 1; and the sums,
        `float32 (examples, 1)`.
    """
    sequences, first, second = _two_marked(length, examples, random)
    return sequences, (first + second)[:, None]


def multiplication(length, examples, random):
    """Numbers from 0 to 1, two of them marked, one in each half. The answer is their product.

    Experiment 5 of the paper. A sequence is right if the answer is off by less than 0.04. Training
    has succeeded if fewer than 13 of the last 2,000 sequences were wrong, which takes the paper
    1,273,000 sequences with T = 100. (It also counts when fewer than 140 were wrong: after 482,000
    sequences.) The marks are those of `adding`; in the paper the first one is within the first ten
    steps.

    Args:
        length, examples, random: As in `adding`.

    Returns:
        Sequences as in `adding`; and the products, `float32 (examples, 1)`.
    """
    sequences, first, second = _two_marked(length, examples, random)
    return sequences, (first * second)[:, None]


def _two_marked(length, examples, random):
    """Sequences of `adding`, and the marked number in each half, `float32 (examples,)`."""
    sequences = np.zeros((examples, length, 2), np.float32)
    sequences[..., 0] = random.random((examples, length))
    each, half = np.arange(examples), length // 2
    first = random.integers(0, half, examples)
    second = random.integers(half, length, examples)
    sequences[each, first, 1] = sequences[each, second, 1] = 1
    return sequences, sequences[each, first, 0], sequences[each, second, 0]


def temporal_order(length, examples, random):
    """Symbols, with an X or Y in the second tenth and one in the sixth. The answer is these two.

    Experiment 6a of the paper. A sequence is right if all outputs, whose targets are 0 or 1, are
    off by less than 0.3. Training has succeeded after 2,000 sequences in a row were right and the
    average error is below 0.1; the paper counts the wrong ones of 2,560 test sequences. It needs
    31,390 sequences of 100 to 110 steps.

    Args:
        length, examples, random: As in `adding`.

    Returns:
        One-hot sequences `float32 (examples, length, 8)`: 0 to 3 mean nothing, 4 is X, 5 is Y, 6
        begins and 7 ends the sequence; and the classes XX, XY, YX and YY, `int64 (examples,)`.
    """
    tenth = length // 10
    return _ordered(length, examples, random, (tenth, 5 * tenth))


def temporal_order_3(length, examples, random):
    """Symbols, with three that are X or Y, far from each other. The answer is these three.

    Experiment 6b of the paper, with the criterion of `temporal_order`. The three are drawn from the
    steps 10 to 19, 33 to 42 and 66 to 75 of 100. The paper needs 571,100 sequences of 100 to 110
    steps.

    Args:
        length, examples, random: As in `adding`.

    Returns:
        Sequences as in `temporal_order`; and the classes XXX, XXY, XYX, ..., YYY,
        `int64 (examples,)`.
    """
    starts = (length // 10, 33 * length // 100, 66 * length // 100)
    return _ordered(length, examples, random, starts)


def _ordered(length, examples, random, starts):
    """`temporal_order` with one relevant symbol in the tenth of the steps after each start."""
    symbols = random.integers(0, 4, (examples, length))
    each = np.arange(examples)
    relevant = random.integers(0, 2, (examples, len(starts)))
    for turn, start in enumerate(starts):
        at = random.integers(start, start + length // 10, examples)
        symbols[each, at] = 4 + relevant[:, turn]
    symbols[:, 0], symbols[:, -1] = 6, 7
    classes = relevant @ (1 << np.arange(len(starts))[::-1])  # The first one counts most.
    return np.eye(8, dtype=np.float32)[symbols], classes


def noisy_recall(length, examples, random):
    """An x or y among random symbols. The answer is that symbol, after the last step.

    Experiment 2c of the paper: the sequence is b, x or y, q + k random symbols of p, and e, and the
    next symbol is asked for, which is the x or y again. Only this answer at the end is asked for
    and judged. Training has succeeded if both outputs, whose targets are 0 or 1, are off by less
    than 0.2 in 10,000 sequences in a row. With q = 1,000 the paper needs 49,000 sequences for
    p = 1,000 and 203,000 for p = 50.

    Here p is always 50, and `length` is the number of steps that are read. The paper draws k: e
    comes with probability 0.1 at each step after the first q random symbols.

    Args:
        length, examples, random: As in `adding`.

    Returns:
        One-hot sequences `uint8 (examples, length, 54)`: 0 to 49 mean nothing, 50 is e, 51 is b, 52
        is x, 53 is y; and the classes x and y, `int64 (examples,)`.
    """
    e, b, x = np.arange(_DISTRACTORS, _DISTRACTORS + 3)
    symbols = random.integers(0, _DISTRACTORS, (examples, length))
    classes = random.integers(0, 2, examples)
    symbols[:, 0], symbols[:, 1], symbols[:, -1] = b, x + classes, e
    return np.eye(_DISTRACTORS + 4, dtype=np.uint8)[symbols], classes


def noise_free_recall(length, examples, random):
    """An x or y, then always the same symbols. The answer is the first symbol.

    Experiment 2a of the paper: the two sequences x, a(1), ..., a(p - 1), x and
    y, a(1), ..., a(p - 1), y. Training has succeeded if all outputs, whose targets are 0 or 1, are
    off by less than 0.25 in 10,000 sequences in a row. The paper needs 5,040 sequences with
    p = 100.

    Here `length` is p, and only the last symbol is asked for and judged. The paper asks for the
    next symbol at every step; the others are the same in both sequences. The paper has as many
    symbols as steps. Here there are at most 50 between the first and the last one, which come again
    and again in the same order, so that the number of features does not depend on the length.

    Args:
        length, examples, random: As in `adding`.

    Returns:
        One-hot sequences `uint8 (examples, length, 52)`: 0 to 49 are a(1) to a(50), 50 is x, 51 is
        y; and the classes x and y, `int64 (examples,)`.
    """
    classes = random.integers(0, 2, examples)
    symbols = np.tile(np.arange(-1, length - 1) % _DISTRACTORS, (examples, 1))
    symbols[:, 0] = _DISTRACTORS + classes
    return np.eye(_DISTRACTORS + 2, dtype=np.uint8)[symbols], classes


def two_sequences(length, examples, random):
    """Three numbers that are all 1 or all -1, then noise. The answer is which of the two.

    Experiment 3a of the paper with N = 3, which is the 2-sequence problem of Y. Bengio, P. Simard
    and P. Frasconi, Learning Long-Term Dependencies with Gradient Descent is Difficult, 1994,
    https://doi.org/10.1109/72.279181. The noise is Gaussian with a mean of 0 and a variance of 0.2.
    A sequence is right if the output, whose target is 1 or 0, is off by less than 0.2. Training has
    succeeded if all of 256 test sequences are right (ST1), and if moreover their average error is
    below 0.01 (ST2). The paper needs 39,850 sequences with T = 100 and 452,460 with T = 1,000 for
    ST2.

    Experiment 3c asks for 0.2 or 0.8 with noise on the targets. It is left out: its test would need
    other targets than its training.

    Args:
        length, examples, random: As in `adding`.

    Returns:
        Sequences `float32 (examples, length, 1)`; and the classes, `int64 (examples,)`: 0 begins
        with 1, and 1 begins with -1.
    """
    sequences = random.normal(0, np.sqrt(0.2), (examples, length, 1)).astype(np.float32)
    classes = random.integers(0, 2, examples)
    sequences[:, :3, 0] = 1 - 2 * classes[:, None]
    return sequences, classes


def delayed_xor(length, examples, random, steps=None):
    """Two random bits at each step. The answer at each step is the XOR of those some steps before.

    This is the pipelined XOR of R. Williams and D. Zipser, A Learning Algorithm for Continually
    Running Fully Recurrent Neural Networks, 1989, https://doi.org/10.1162/neco.1989.1.2.270. It is
    not in the paper above. The training reads one stream, which has no episodes. A fully recurrent
    network needs two steps for an XOR, which are a delay of 1.

    Args:
        length: The delay in steps.
        examples, random: As in `adding`.
        steps: Steps of a sequence; 100 more than the delay if `None`.

    Returns:
        Sequences `float32 (examples, steps, 2)`; and the answer at each step,
        `float32 (examples, steps, 1)`: 0 or 1, or -1 at the first steps, which have none.
    """
    steps = steps or length + 100
    bits = random.integers(0, 2, (examples, steps, 2))
    answers = np.full((examples, steps, 1), -1, np.float32)
    answers[:, length:, 0] = (bits[..., 0] ^ bits[..., 1])[:, :-length]
    return bits.astype(np.float32), answers


def blocks(length, examples, random, steps=None):
    """An a or x, then always the same symbols, again and again. Each block ends with a question.

    The question is whether the block began with a or x, and the answer is a bit. The training reads
    one stream: nothing tells a network where a block begins. If it learns to predict the symbols,
    only the first one of each block remains unpredictable. Nothing is asked at the end of the first
    block: its first symbol comes before a network knows where in the stream it is.

    This is the task of J. Schmidhuber, Learning Complex, Extended Sequences Using the Principle of
    History Compression, 1992, https://doi.org/10.1162/neco.1992.4.2.234, with 20 symbols. In the
    paper, a lower network predicts the symbols, and an upper network reads those that the lower one
    did not predict. They solve the task within 5,000 blocks in 13 of 17 runs. The task is not in
    the paper above.

    Args:
        length: The number of symbols after the first one. There are at most 50 different ones,
            which come again and again in the same order.
        examples, random: As in `adding`.
        steps: Steps of a sequence; those of eleven blocks if `None`.

    Returns:
        One-hot sequences `float32 (examples, steps, 52)`: 0 to 49 are the other symbols, 50 is a,
        51 is x; and the answer at each step, `float32 (examples, steps, 1)`: at the last step of a
        block, from the second one on, 0 for a and 1 for x, else -1, for none.
    """
    count = examples * _blocks_of(length, steps)
    return _in_blocks(length, examples, random, steps, np.tile(np.arange(length), (count, 1)))


def random_blocks(length, examples, random, steps=None):
    """`blocks` with random symbols, of 50, after the first one. They cannot be predicted.

    Args:
        length, examples, random, steps: As in `blocks`.

    Returns:
        Sequences and answers as in `blocks`.
    """
    count = examples * _blocks_of(length, steps)
    others = random.integers(0, _DISTRACTORS, (count, length))
    return _in_blocks(length, examples, random, steps, others)


def _blocks_of(length, steps):
    return math.ceil(steps / (length + 1)) if steps else 11


def _in_blocks(length, examples, random, steps, others):
    """Sequences and answers of `blocks`, from the symbols after the first `(blocks, length)`."""
    steps = steps or 11 * (length + 1)
    bits = random.integers(0, 2, (len(others), 1))
    symbols = np.concatenate([_DISTRACTORS + bits, others % _DISTRACTORS], axis=1)
    answers = np.full(symbols.shape, -1, np.float32)
    answers[:, -1:] = bits
    symbols, answers = (array.reshape(examples, -1)[:, :steps] for array in (symbols, answers))
    answers[:, : length + 1] = -1
    return np.eye(_DISTRACTORS + 2, dtype=np.float32)[symbols], answers[..., None]


def first_row(length, examples, random, images):
    """The rows of a digit from the first with ink on, then blank rows. The answer is that first.

    It is not in the paper.

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


_GENERATORS = {
    "adding": adding,
    "multiplication": multiplication,
    "temporal_order": temporal_order,
    "temporal_order_3": temporal_order_3,
    "noisy_recall": noisy_recall,
    "noise_free_recall": noise_free_recall,
    "two_sequences": two_sequences,
    "reber": reber.reber,
    "delayed_xor": delayed_xor,
    "blocks": blocks,
    "random_blocks": random_blocks,
    "first_row": first_row,
    "copy": memory.copy,
    "repeat_copy": memory.repeat_copy,
    "associative_recall": memory.associative_recall,
    "ngram": memory.ngram,
    "priority_sort": memory.priority_sort,
}
_SPECS = {
    "adding": Spec("vectors", "number", (None, 2), 1),
    "multiplication": Spec("vectors", "number", (None, 2), 1),
    "temporal_order": Spec("vectors", "class", (None, 8), 4),
    "temporal_order_3": Spec("vectors", "class", (None, 8), 8),
    "noisy_recall": Spec("vectors", "class", (None, _DISTRACTORS + 4), 2),
    "noise_free_recall": Spec("vectors", "class", (None, _DISTRACTORS + 2), 2),
    "two_sequences": Spec("vectors", "class", (None, 1), 2),
    "reber": reber.SPEC,
    "delayed_xor": Spec("vectors", "step_bits", (None, 2), 1),
    "blocks": Spec("vectors", "step_bits", (None, _DISTRACTORS + 2), 1),
    "random_blocks": Spec("vectors", "step_bits", (None, _DISTRACTORS + 2), 1),
    "first_row": Spec("vectors", "bits", (None, 28), 28),
    "copy": Spec("vectors", "step_bits", (None, memory.WIDTH + 1), memory.WIDTH),
    "repeat_copy": Spec("vectors", "step_bits", (None, memory.WIDTH + 2), memory.WIDTH + 1),
    "associative_recall": Spec(
        "vectors", "step_bits", (None, memory.ITEM_WIDTH + 2), memory.ITEM_WIDTH
    ),
    "ngram": Spec("vectors", "step_bits", (None, 1), 1),
    "priority_sort": Spec("vectors", "step_bits", (None, memory.WIDTH + 2), memory.WIDTH),
}


def read(config, digits):
    """The generated dataset of a `Config`.

    Training sequences are new in every epoch; those for validation and test are always the same.
    A training stream is the same in every epoch, from another step on.

    Args:
        config: A `Config`; its dataset, lengths, repeats and train size are used, and with a
            curriculum the number of its epochs.
        digits: A function that reads the `Dataset` of digits that `first_row` is made of.

    Raises:
        UserError: If a curriculum has more lengths than the run has epochs, or a stream is so short
            that it does not ask for an answer.
    """
    name, source = config.dataset, "generated"
    options = {}
    if config.min_length:
        options["min_length"] = config.min_length
    if name == "repeat_copy":
        options["repeats"] = parse_repeats(config.repeats)
    generate = generate_test = functools.partial(_GENERATORS[name], **options)
    if name == "first_row":
        images = digits()
        source = f"generated from {images.name} ({images.source})"
        generate = functools.partial(first_row, images=images.train.inputs)
        generate_test = functools.partial(first_row, images=images.test.inputs)

    def fixed(size, seed, generate):
        return ArraySplit(*generate(config.length, size, np.random.default_rng(seed)))

    def stream(size, seed):
        (inputs,), (targets,) = generate(
            config.length, 1, np.random.default_rng(seed), size * config.steps_per_batch
        )
        if (targets < 0).all():
            raise UserError(
                f"--length={config.length}: no answer is asked for in a stream of {len(targets):,} "
                f"steps; expected a longer stream: raise --train_size={config.train_size} or "
                f"--steps_per_batch={config.steps_per_batch}, or lower --length"
            )
        return StreamSplit(inputs, targets, config.steps_per_batch)

    if kind_of(name).stream:
        train = stream(config.train_size, _TRAIN_SEED)
        validation = stream(_VALIDATION_SIZE, _VALIDATION_SEED)
    else:
        train = _train_split(config, generate)
        validation = fixed(_VALIDATION_SIZE, _VALIDATION_SEED, generate)
    return Dataset(
        name=name,
        source=source,
        spec=_SPECS[name],
        train=train,
        validation=validation,
        test=fixed(TEST_SIZE, _TEST_SEED, generate_test),
    )


def _train_split(config, generate):
    """The training sequences of a `Config`, of one length or of those of its curriculum."""

    def of_length(length):
        return GeneratedSplit(functools.partial(generate, length), config.train_size)

    if config.curriculum is None:
        return of_length(config.length)
    lengths = parse_curriculum(config.curriculum)
    parts, count = tuple(map(of_length, lengths)), len(lengths)
    epochs = config.epochs
    if config.steps:
        epochs = math.ceil(config.steps / parts[0].steps_per_epoch(config.batch_size))
    if epochs < count:
        raise UserError(
            f"--curriculum={config.curriculum}: the run has {epochs} epochs for {count} lengths; "
            f"expected at least {count} epochs: a smaller --train_size makes an epoch shorter"
        )
    return CurriculumSplit(parts, tuple(number * epochs // count for number in range(1, count)))
