"""The values of the flags that set initial biases."""

import math

_MAX = 100  # A gate with a bias of 100 is 1 in float32.


def parse_forget_bias(text):
    """Return the number that a value of `--forget_bias` stands for, or `"chrono"`.

    Raises:
        ValueError: If the text is neither.
    """
    return text if text == "chrono" else _number(text)


def _number(text):
    number = float(text)
    if not math.fabs(number) <= _MAX:  # Not a number is not, either.
        raise ValueError(f"{text} is not from -{_MAX} to {_MAX}")
    return number
