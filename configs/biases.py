"""The values of the flags that set initial biases."""

import math

FORGET_BIAS = "a number from -100 to 100, or chrono"
BIAS_RANGE = "a number from -100 to 100, or two with a colon between them"

_MAX = 100  # A gate with a bias of 100 is 1 in float32.


def parse_forget_bias(text):
    """Return the number that a value of `--forget_bias` stands for, or `"chrono"`.

    Raises:
        ValueError: If the text is neither.
    """
    return text if text == "chrono" else _number(text)


def parse_bias_range(text):
    """Return the first and the last number of a value of `--input_gate_bias`.

    Raises:
        ValueError: If the text is not one number or two with a colon between them.
    """
    first, colon, last = text.partition(":")
    return _number(first), _number(last if colon else first)


def _number(text):
    number = float(text)
    if not math.fabs(number) <= _MAX:  # True of NaN, too.
        raise ValueError(f"{text} is not from -{_MAX} to {_MAX}")
    return number
