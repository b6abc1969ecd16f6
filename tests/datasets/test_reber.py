"""The embedded Reber grammar, beside regular expressions of the same strings."""

import re

import numpy as np
import pytest

from datasets.reber import SYMBOLS, reber

# From the state of the Reber grammar in which SE ends the string, and X goes back.
_REST = "(?:XT*VP)*(?:SE|XT*VVE)"
_REBER = f"B(?:TS*X{_REST}|PT*V(?:P{_REST}|VE))"
EMBEDDED = re.compile(f"B(?:T{_REBER}T|P{_REBER}P)E")
# A string that has begun can be ended by the end of one of these.
SHORT = ("BTBTXSETE", "BTBPVVETE", "BPBTXSEPE", "BPBPVVEPE")
ENDS = {string[start:] for string in SHORT for start in range(len(string) + 1)}


def is_beginning(text):
    return any(EMBEDDED.fullmatch(text + end) for end in ENDS)


def strings_of(sequences):
    """The strings that are read, without the symbol that ends them."""
    for sequence in sequences:
        length = int(sequence.sum())
        assert set(sequence[:length].sum(axis=-1)) == {1}
        assert not sequence[length:].any()
        yield "".join(SYMBOLS[symbol] for symbol in sequence[:length].argmax(axis=-1))


@pytest.mark.parametrize("length", [10, 40])
def test_the_strings_are_those_of_the_grammar_and_the_answers_what_may_come_next(length):
    sequences, successors = reber(length, 300, np.random.default_rng(1))
    assert sequences.shape == successors.shape == (300, length, 7)
    for string, answers in zip(strings_of(sequences), successors, strict=True):
        assert EMBEDDED.fullmatch(f"{string}E")
        for step, answer in enumerate(answers):
            read = string[: step + 1]
            expected = [step < len(string) and is_beginning(read + symbol) for symbol in SYMBOLS]
            np.testing.assert_array_equal(answer, expected)


def test_every_choice_has_a_probability_of_a_half():
    strings = list(strings_of(reber(200, 4000, np.random.default_rng(2))[0]))
    assert np.mean([string[1] == "T" for string in strings]) == pytest.approx(0.5, abs=0.03)
    shares = [np.mean([s[2:7] == inner for s in strings]) for inner in ("BTXSE", "BPVVE", "BTSXS")]
    assert shares == pytest.approx([1 / 8, 1 / 8, 1 / 16], abs=0.02)


def test_only_strings_that_fit_are_drawn():
    strings = set(strings_of(reber(10, 500, np.random.default_rng(3))[0]))
    assert {len(string) for string in strings} == {8, 9, 10}
