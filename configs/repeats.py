"""The value of `--repeats`."""

REPEATS = "an integer, at least 1, or two that do not go down, with a colon between them"


def parse_repeats(text):
    """Return the smallest and the largest number that a value of `--repeats` stands for.

    Raises:
        ValueError: If the text is neither a number nor a range.
    """
    first, _, last = text.partition(":")
    repeats = int(first), int(last or first)
    if not 1 <= repeats[0] <= repeats[1]:
        raise ValueError(f"{text} is not a range of at least 1")
    return repeats
