"""Generated tasks for networks with a memory: the answer is bits, at some of the steps.

Source: A. Graves, G. Wayne and I. Danihelka, Neural Turing Machines, 2014,
https://arxiv.org/abs/1410.5401, section 4, which is "the paper" below.

A sequence that is shorter than the longest one ends with zeros, where nothing is asked. A target is
0 or 1, or -1 where nothing is asked. Nothing of a question is in the inputs of the steps that
answer it.
"""

import numpy as np

WIDTH = 8  # Bits of a vector of `copy`, `repeat_copy` and `priority_sort`.
ITEM_VECTORS, ITEM_WIDTH = 3, 6  # Of `associative_recall`.
CONTEXT = 5  # The bits on which the next one of `ngram` depends.


def copy(length, examples, random, min_length=1):
    """Random vectors of 8 bits, and an end mark. The answers are the same vectors, in order.

    Section 4.1 of the paper, with 1 to 20 vectors.

    Args:
        length: The largest number of vectors.
        examples: How many examples.
        random: A NumPy generator.
        min_length: The smallest number of vectors.

    Returns:
        Sequences `float32 (examples, 2 * length + 1, 9)`: 8 bits and the mark; and the targets,
        `float32 (examples, 2 * length + 1, 8)`.
    """
    sequences = np.zeros((examples, 2 * length + 1, WIDTH + 1), np.float32)
    targets = np.full((*sequences.shape[:2], WIDTH), -1, np.float32)
    for sequence, target in zip(sequences, targets, strict=True):
        count = random.integers(min_length, length + 1)
        bits = random.integers(0, 2, (count, WIDTH))
        sequence[:count, :WIDTH], sequence[count, WIDTH] = bits, 1
        target[count + 1 : 2 * count + 1] = bits
    return sequences, targets


def repeat_copy(length, examples, random, min_length=1, repeats=(1, 10)):
    """Random vectors of 8 bits, and a number. The answers are the vectors, so many times.

    Section 4.2 of the paper, with 1 to 10 vectors and 1 to 10 times. After the last vector, the
    answer is an end mark. The number is given as (number - 5.5) / 2.87: numbers from 1 to 10 then
    have a mean of 0 and a variance of 1.

    Args:
        length, examples, random, min_length: As in `copy`.
        repeats: The smallest and the largest number.

    Returns:
        Sequences `float32 (examples, steps, 10)` of `steps = length * (1 + max repeats) + 2`: 8
        bits, the mark of the step with the number, and the number; and the targets, `float32
        (examples, steps, 9)`: 8 bits and the end mark.
    """
    steps = length * (1 + repeats[1]) + 2
    sequences = np.zeros((examples, steps, WIDTH + 2), np.float32)
    targets = np.full((examples, steps, WIDTH + 1), -1, np.float32)
    for sequence, target in zip(sequences, targets, strict=True):
        count = random.integers(min_length, length + 1)
        times = random.integers(repeats[0], repeats[1] + 1)
        bits = random.integers(0, 2, (count, WIDTH))
        sequence[:count, :WIDTH] = bits
        sequence[count, WIDTH:] = 1, (times - 5.5) / np.sqrt(8.25)
        end = count + 1 + count * times
        target[count + 1 : end, :WIDTH] = np.tile(bits, (times, 1))
        target[count + 1 : end + 1, WIDTH] = 0
        target[end] = [0] * WIDTH + [1]
    return sequences, targets


def associative_recall(length, examples, random, min_length=2):
    """Items of three random vectors of 6 bits, then one of them. The answer is the item after it.

    Section 4.3 of the paper, with 2 to 6 items.

    Args:
        length: The largest number of items.
        examples, random: As in `copy`.
        min_length: The smallest number of items.

    Returns:
        Sequences `float32 (examples, 4 * length + 8, 8)`: 6 bits, the mark before each item, and
        the mark before and after the item that is asked about; and the targets, `float32
        (examples, 4 * length + 8, 6)`, at the three steps after the second of these marks.
    """
    steps, item = 4 * length + 8, ITEM_VECTORS + 1
    sequences = np.zeros((examples, steps, ITEM_WIDTH + 2), np.float32)
    targets = np.full((examples, steps, ITEM_WIDTH), -1, np.float32)
    for sequence, target in zip(sequences, targets, strict=True):
        count = random.integers(min_length, length + 1)
        items = random.integers(0, 2, (count, ITEM_VECTORS, ITEM_WIDTH))
        asked = random.integers(0, count - 1)
        for number, vectors in enumerate([*items, items[asked]]):
            begin = item * number
            sequence[begin, ITEM_WIDTH + (number == count)] = 1
            sequence[begin + 1 : begin + item, :ITEM_WIDTH] = vectors
        end = item * (count + 1)
        sequence[end, ITEM_WIDTH + 1] = 1
        target[end + 1 : end + item] = items[asked + 1]
    return sequences, targets


def ngram(length, examples, random):
    """Bits, each with a probability that depends on the five before. The answer is the next one.

    Section 4.4 of the paper, with 200 bits. The 32 probabilities are drawn for each sequence from a
    Beta(1/2, 1/2) distribution; a network has to count. `optimal_bits` is the best it can do.

    Args:
        length: Steps of a sequence, one less than the bits.
        examples, random: As in `copy`.

    Returns:
        Sequences `float32 (examples, length, 1)`; and the targets, `float32 (examples, length, 1)`,
        from the fifth bit on.
    """
    probabilities = random.beta(0.5, 0.5, (examples, 2**CONTEXT))
    bits = np.empty((examples, length + 1), np.int64)
    bits[:, :CONTEXT] = random.integers(0, 2, (examples, CONTEXT))
    uniform, each = random.random(bits.shape), np.arange(examples)
    for step in range(CONTEXT, length + 1):
        bits[:, step] = uniform[:, step] < probabilities[each, _contexts(bits, step)]
    targets = bits[:, 1:, None].astype(np.float32)
    targets[:, : CONTEXT - 1] = -1
    return bits[:, :-1, None].astype(np.float32), targets


def _contexts(bits, step):
    """The number of the context before a step, from 0 to 31, `int64 (examples,)`."""
    return bits[:, step - CONTEXT : step] @ (1 << np.arange(CONTEXT))


def optimal_probabilities(sequences):
    """The best prediction of each next bit of `ngram`, equation 10 of the paper.

    After n0 zeros and n1 ones that came after the same five bits, the probability of a one is
    (n1 + 1/2) / (n0 + n1 + 1).

    Args:
        sequences: Of `ngram`, `(examples, length, 1)`.

    Returns:
        `float64 (examples, length, 1)`; 1/2 at the first four steps, where nothing is asked.
    """
    bits = sequences[..., 0].astype(np.int64)
    examples, length = bits.shape
    counts, each = np.full((examples, 2**CONTEXT, 2), 0.5), np.arange(examples)
    best = np.full((examples, length, 1), 0.5)
    for step in range(CONTEXT, length + 1):
        context = _contexts(bits, step)
        zeros, ones = counts[each, context].T
        best[:, step - 1, 0] = ones / (zeros + ones)
        if step < length:
            counts[each, context, bits[:, step]] += 1
    return best


def priority_sort(length, examples, random):
    """Random vectors of 8 bits with priorities. The answers are the first of them, in order.

    Section 4.5 of the paper: the 16 vectors with the highest priorities of 20, the highest first.
    The priorities are from -1 to 1. Of other lengths, four fifths are asked for.

    Args:
        length: The number of vectors.
        examples, random: As in `copy`.

    Returns:
        Sequences `float32 (examples, length + 1 + asked, 10)` of `asked = 4 * length // 5`: 8 bits,
        the priority, and the end mark; and the targets, `float32 (examples, length + 1 + asked,
        8)`.
    """
    asked = 4 * length // 5
    sequences = np.zeros((examples, length + 1 + asked, WIDTH + 2), np.float32)
    targets = np.full((*sequences.shape[:2], WIDTH), -1, np.float32)
    bits = random.integers(0, 2, (examples, length, WIDTH))
    priorities = random.uniform(-1, 1, (examples, length)).astype(np.float32)
    sequences[:, :length, :WIDTH], sequences[:, :length, WIDTH] = bits, priorities
    sequences[:, length, WIDTH + 1] = 1
    order = np.argsort(-priorities, axis=-1)[:, :asked, None]
    targets[:, length + 1 :] = np.take_along_axis(bits, order, axis=1)
    return sequences, targets
