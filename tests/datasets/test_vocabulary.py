import time

import keras
import numpy as np
import pytest

from datasets.vocabulary import Vocabulary, split

WORDS = "to be, or not\nto be:\n\nthat is the be"
# Characters of one, two, three and four bytes in UTF-8; `ä` and `é` are equally frequent.
LETTERS = "aébäc\n€€ aaé ä\U0001f600"


def sorted_by_numpy(sequence):
    """The symbols by falling frequency and then by code point, without a `Counter`."""
    symbols, counts = np.unique(list(sequence), return_counts=True)
    return tuple(str(symbols[i]) for i in np.lexsort((symbols, -counts)))


@pytest.mark.parametrize(("text", "tokens"), [(LETTERS, "characters"), (WORDS, "words")])
def test_symbols_are_sorted_by_falling_frequency_and_then_by_code_point(text, tokens):
    sequence = split(text, tokens)
    vocabulary = Vocabulary.of(sequence, tokens)
    assert vocabulary.symbols == ("<unk>", *sorted_by_numpy(sequence))
    assert len(vocabulary) == len(set(sequence)) + 1


def test_words_have_the_indices_that_keras_gives_them():
    text = "b a c a c a c b d\n" * 3 + "e e"
    vocabulary = Vocabulary.of(split(text, "words"), "words")
    layer = keras.layers.TextVectorization(standardize=None, vocabulary=vocabulary.symbols[1:])
    lines = [f"{line} <eos>" for line in text.split("\n")]
    expected = [index for line in lines for index in np.asarray(layer([line]))[0]]
    # Keras pads with index 0 and has unknown words at index 1.
    np.testing.assert_array_equal(vocabulary.encode(text), np.array(expected) - 1)


@pytest.mark.parametrize("size", [2, 4, 7, 100])
def test_a_size_keeps_the_most_frequent_symbols(size):
    whole = Vocabulary.of(LETTERS, "characters")
    part = Vocabulary.of(LETTERS, "characters", size)
    assert part.symbols == whole.symbols[:size]
    known = set(part.symbols)
    expected = [part.symbols.index(c) if c in known else 0 for c in LETTERS]
    np.testing.assert_array_equal(part.encode(LETTERS), expected)


def test_characters_are_decoded_to_the_text_they_were():
    vocabulary = Vocabulary.of(LETTERS, "characters")
    indices = vocabulary.encode(LETTERS)
    assert indices.dtype == np.int32
    assert 0 not in indices
    assert vocabulary.decode(indices) == LETTERS
    assert [vocabulary.symbols[i] for i in indices] == list(LETTERS)


def test_unknown_symbols_have_index_0_below_between_and_above_the_known_ones():
    vocabulary = Vocabulary.of("bd", "characters")
    text = "\0abcde\U0010ffff\udc80"
    assert vocabulary.encode(text).tolist() == [0, 0, 1, 0, 2, 0, 0, 0]
    assert vocabulary.decode([0, 1]) == "<unk>b"
    words = Vocabulary.of(["b", "d"], "words")
    assert words.encode("b x d").tolist() == [1, 0, 2, 0]  # A line that is not trained on may end.


def test_the_symbol_for_unknown_words_may_be_in_the_text_itself():
    text = "the <unk> of <unk> <unk> the\n"
    vocabulary = Vocabulary.of(split(text, "words"), "words")
    assert vocabulary.symbols == ("<unk>", "the", "<eos>", "of")
    assert vocabulary.encode(text).tolist() == [1, 0, 3, 0, 0, 1, 2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n", ["<eos>"]),
        ("a b", ["a", "b", "<eos>"]),
        (" a\t b \r\n\nc\n", ["a", "b", "<eos>", "<eos>", "c", "<eos>"]),
    ],
)
def test_each_line_of_words_ends_with_one_symbol(text, expected):
    assert split(text, "words") == expected


def test_words_are_decoded_to_lines_with_one_blank_between_words():
    vocabulary = Vocabulary.of(split(WORDS, "words"), "words")
    assert vocabulary.decode(vocabulary.encode(WORDS)) == WORDS + "\n"
    assert vocabulary.decode(vocabulary.encode("be\n\n\n  to   be")) == "be\n\n\nto be\n"


def test_an_empty_vocabulary_and_an_empty_text_are_encoded():
    for tokens in ("characters", "words"):
        vocabulary = Vocabulary(("<unk>",), tokens)
        assert set(vocabulary.encode("some text").tolist()) == {0}
        assert vocabulary.encode("").shape == (0,)
        assert vocabulary.decode([]) == ""


def test_a_million_characters_are_encoded_in_less_than_a_second():
    codes = np.random.default_rng(0).integers(32, 1000, 1_100_000, dtype=np.uint32)
    text = codes.tobytes().decode("utf-32-le")
    vocabulary = Vocabulary.of(text, "characters")
    start = time.process_time()
    indices = vocabulary.encode(text)
    assert time.process_time() - start < 0.5
    np.testing.assert_array_equal(np.array(vocabulary.symbols)[indices[:100]], list(text[:100]))
