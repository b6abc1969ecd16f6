"""The vocabulary of a text: symbols, which are characters or words, and their numbers."""

import collections
import dataclasses
import functools
import re

import numpy as np

UNKNOWN, END_OF_LINE = "<unk>", "<eos>"


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The symbols of a text. The index of a symbol is its number; every other symbol has index 0.

    >>> vocabulary = Vocabulary.of("abba b", "characters")
    >>> vocabulary.symbols
    ('<unk>', 'b', 'a', ' ')
    >>> vocabulary.encode("bad")
    array([1, 2, 0], dtype=int32)
    >>> vocabulary.decode([1, 2, 0])
    'ba<unk>'

    Attributes:
        symbols: The symbols, `<unk>` first.
        tokens: `"characters"` or `"words"`. The word `<eos>` ends each line.
    """

    symbols: tuple[str, ...]
    tokens: str = "characters"

    @classmethod
    def of(cls, sequence, tokens, size=None):
        """The symbols of a sequence by falling frequency, equally frequent ones by code point.

        Args:
            sequence: Symbols, as `split` returns them.
            tokens: `"characters"` or `"words"`.
            size: The largest number of symbols, with `<unk>`; `None` for all.
        """
        counts = collections.Counter(sequence)
        del counts[UNKNOWN]  # Some texts, such as the Penn Treebank, hold this word.
        ordered = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
        return cls((UNKNOWN, *ordered)[:size], tokens)

    def __len__(self):
        return len(self.symbols)

    def encode(self, text):
        """The indices of the symbols of a text, `int32 (N,)`."""
        return self.indices(split(text, self.tokens))

    def indices(self, sequence):
        """The indices of symbols, as `split` returns them: `int32 (N,)`."""
        if self.tokens == "words":
            index = self._index
            return np.fromiter((index.get(word, 0) for word in sequence), np.int32, len(sequence))
        codes = _code_points(sequence)
        return self._table[np.minimum(codes, len(self._table) - 1)]

    def decode(self, indices):
        """The text of indices `(N,)`. Words have one blank between them."""
        symbols = [self.symbols[index] for index in indices]
        if self.tokens == "characters":
            return "".join(symbols)
        lines = " ".join("\n" if symbol == END_OF_LINE else symbol for symbol in symbols)
        return re.sub(" ?\n ?", "\n", lines)

    @functools.cached_property
    def _index(self):
        return {symbol: index for index, symbol in enumerate(self.symbols)}

    @functools.cached_property
    def _table(self):
        """The index of each code point, `int32`. The last one, 0, stands for all higher ones."""
        codes = _code_points("".join(self.symbols[1:]))
        table = np.zeros(max(codes, default=0) + 2, np.int32)
        table[codes] = np.arange(1, len(self.symbols))
        return table


def split(text, tokens):
    """Split a text into symbols.

    Args:
        text: The text.
        tokens: `"characters"` or `"words"`.

    Returns:
        A sequence of symbols: the text itself, or a list of its words, which have white space
        between them, with the word `<eos>` at the end of each line.
    """
    if tokens == "characters":
        return text
    words = text.replace("\n", f" {END_OF_LINE} ").split()
    if text and not text.endswith("\n"):
        words.append(END_OF_LINE)
    return words


def _code_points(text):
    """The code points of a text, `uint32 (N,)`."""
    # Arguments of a command line that are not UTF-8 hold surrogates, which are unknown symbols.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
