"""The value of `--curriculum`: the lengths of the sequences in each part of the training."""

import itertools

CURRICULUM = "integers, at least 1, with commas between them"


def parse_curriculum(text):
    """Return the lengths in a value of `--curriculum`, a tuple.

    Raises:
        ValueError: If the text has another form.
    """
    lengths = tuple(map(int, text.split(",")))
    if min(lengths) < 1:
        raise ValueError(f"{min(lengths)} is less than 1")
    return lengths


def curriculum_problem(text, length):
    """Describe why lengths do not grow up to `--length`, or return `None`."""
    lengths = parse_curriculum(text)
    expected = f"expected lengths that grow, up to --length={length}"
    for before, after in itertools.pairwise(lengths):
        if after <= before:
            return f"{after} comes after {before}; {expected}"
    if lengths[-1] != length:
        return f"the last length differs from --length={length}; {expected}"
    return None
