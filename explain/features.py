"""Simple features of each symbol of a text."""

import numpy as np

_LINE_ENDS = ("\n", "<eos>")
_QUOTES = {"'": "'", '"': '"', "‘": "’", "“": "”"}
_OPENING, _CLOSING = "([{", ")]}"
KINDS = ("lower case", "capital letter", "digit", "space", "line end", "other")


def kinds(symbols):
    """The kind of each symbol, one of `KINDS`; a word counts by its first letter."""
    return np.array([_kind(symbol) for symbol in symbols])


def _kind(symbol):
    first = symbol[:1]
    if symbol in _LINE_ENDS:
        return "line end"
    if first.isspace():
        return "space"
    if first.isdigit():
        return "digit"
    if first.isalpha():
        return "capital letter" if first.isupper() else "lower case"
    return "other"


def features(symbols, step):
    """The features of each symbol of a text.

    Args:
        symbols: A list of symbols, in order.
        step: What a symbol is: `"character"` or `"word"`.

    Returns:
        `float64 (N,)` by name. A feature that has the same value at all symbols is left out.
    """
    kind = kinds(symbols)
    is_letter = np.isin(kind, ("lower case", "capital letter")) & (step == "character")
    in_quotes, in_brackets = _inside(symbols, step)
    values = {
        "space": kind == "space",
        "line end": kind == "line end",
        "capital letter": kind == "capital letter",
        "position in the word": _count_since(~is_letter),
        "position in the line": _count_since(kind == "line end"),
        "inside quotation marks": in_quotes,
        "inside brackets": in_brackets,
    }
    values = {name: np.asarray(value, np.float64) for name, value in values.items()}
    return {name: value for name, value in values.items() if np.ptp(value)}


def _count_since(is_end):
    """The number of symbols since the last one where `is_end` holds, which counts 0."""
    positions = np.arange(len(is_end))
    return positions - np.maximum.accumulate(np.where(is_end, positions, -1))


def _inside(symbols, step):
    """Whether each symbol is inside quotation marks, and inside brackets; the opening included."""
    texts = ["\n" if symbol in _LINE_ENDS else symbol for symbol in symbols]
    separator = " " if step == "word" else ""
    text = separator.join(texts)
    lengths = np.array([len(each) + len(separator) for each in texts])
    begins = np.cumsum(lengths) - lengths
    return [
        np.logical_or.reduceat(np.array(is_inside), begins)
        for is_inside in (_inside_quotes(text), _inside_brackets(text))
    ]


def _inside_quotes(text):
    """Whether each character is inside quotation marks, a list of bools."""
    inside, closing, last = [], None, ""
    for n, character in enumerate(text):
        before, after = text[n - 1 : n], text[n + 1 : n + 2]
        is_inside = closing is not None
        if character == last == "\n":  # A mark that is never closed ends with its paragraph.
            closing, is_inside = None, False
        elif closing is None:
            # A mark after a letter is an apostrophe or a closing mark.
            if character in _QUOTES and not before.isalnum() and after.strip():
                closing, is_inside = _QUOTES[character], True
        elif character == closing and not after.isalnum():  # Not an apostrophe in a word.
            closing, is_inside = None, False
        inside.append(is_inside)
        if not character.isspace() or character == "\n":
            last = character
    return inside


def _inside_brackets(text):
    """Whether each character is inside brackets, a list of bools."""
    inside, depth, last = [], 0, ""
    for character in text:
        if character == last == "\n":
            depth = 0
        depth += (character in _OPENING) - (character in _CLOSING)
        depth = max(0, depth)
        inside.append(depth > 0)
        if not character.isspace() or character == "\n":
            last = character
    return inside


def correlations(values, feature):
    """The correlation of each unit with a feature.

    Args:
        values: `(N, units)`.
        feature: `(N,)`.

    Returns:
        Pearson's r, `float64 (units,)`; 0 for a unit or a feature that does not change.
    """
    values = values - values.mean(axis=0, dtype=np.float64)
    feature = feature - feature.mean()
    products = feature @ values
    sizes = np.linalg.norm(values, axis=0) * np.linalg.norm(feature)
    return np.divide(products, sizes, out=np.zeros_like(products), where=sizes > 1e-9)


def best_unit(values, feature):
    """Find the unit whose value follows a feature the most closely.

    The unit is chosen on the first half of the text, so that its correlation on the second half is
    not the luckiest of many.

    Args:
        values: `(N, units)`.
        feature: `(N,)`.

    Returns:
        The index of the unit, and its correlation with the feature on the second half.
    """
    half = len(feature) // 2
    unit = int(np.abs(correlations(values[:half], feature[:half])).argmax())
    return unit, float(correlations(values[half:, [unit]], feature[half:])[0])
