"""Strings of the embedded Reber grammar: experiment 1 of the LSTM paper.

Source: S. Hochreiter and J. Schmidhuber, Long Short-Term Memory, 1997,
https://doi.org/10.1162/neco.1997.9.8.1735.
"""

import numpy as np

from datasets.dataset import Spec

SYMBOLS = "BTPSXVE"
SPEC = Spec("vectors", "next_symbols", (None, len(SYMBOLS)), len(SYMBOLS))

# The Reber grammar: state -> the symbols that may come next, and the state after each.
_REBER = {
    0: {"B": 1},
    1: {"T": 2, "P": 3},
    2: {"S": 2, "X": 4},
    3: {"T": 3, "V": 5},
    4: {"X": 3, "S": 6},
    5: {"P": 4, "V": 6},
    6: {"E": 7},
    7: {},
}
_END = 7


def reber(length, examples, random):
    """Strings of the embedded Reber grammar. The answers are the symbols that may come next.

    A string is B, then T or P, then a string of the Reber grammar, then the same T or P again, then
    E. Where the grammar allows two symbols, each has a probability of 0.5. So a network has to
    remember the second symbol until the second to last one, which comes at least six symbols later.

    A string is right if, after each of its symbols, the outputs of all symbols that may come next
    are larger than those of the others. The paper has 256 strings for training and 256 others for
    the test. Training has succeeded if all of them are right. The paper needs 8,440 strings on
    average in the best of its settings.

    Here strings are drawn again in each epoch, so that strings for the test may also come in
    training. Strings that do not fit into `length` steps are not drawn. The error signal is the set
    of the symbols that may come next; in the paper it is the symbol that does come next.

    Args:
        length: Steps of a sequence, one less than the symbols of the longest string: nothing comes
            after the last symbol, which is not read.
        examples: How many examples.
        random: A NumPy generator.

    Returns:
        One-hot sequences `float32 (examples, length, 7)` of BTPSXVE, with zeros after the end; and
        `float32 (examples, length, 7)`, 1 for the symbols that may come after each step, with zeros
        after the end.
    """
    sequences = np.zeros((examples, length, len(SYMBOLS)), np.float32)
    successors = np.zeros_like(sequences)
    for example in range(examples):
        steps = _draw(random)
        while len(steps) > length:
            steps = _draw(random)
        for step, (symbol, allowed) in enumerate(steps):
            sequences[example, step, SYMBOLS.index(symbol)] = 1
            successors[example, step, [SYMBOLS.index(each) for each in allowed]] = 1
    return sequences, successors


def _draw(random):
    """A string without its last symbol: a list of each symbol and those that may come next."""
    outer = "TP"[random.integers(2)]
    steps, state = [("B", "TP"), (outer, "B")], 0
    while state != _END:
        allowed = list(_REBER[state])
        symbol = allowed[random.integers(len(allowed))]
        state = _REBER[state][symbol]
        steps.append((symbol, list(_REBER[state]) or outer))
    return [*steps, (outer, "E")]
