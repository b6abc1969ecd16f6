"""What one field of `Config` is: default, bounds, one line of help."""

import dataclasses
import types
import typing


def option(default, help, *, choices=None, minimum=None, maximum=None, below=None):
    """Declare one field of `Config`.

    Args:
        default: The value used when nothing else is said.
        help: One line for `--help`.
        choices: The allowed values, if they can be listed.
        minimum: The smallest allowed number.
        maximum: The largest allowed number.
        below: A number the value must stay strictly below.
    """
    bounds = {"choices": choices, "minimum": minimum, "maximum": maximum, "below": below}
    return dataclasses.field(default=default, metadata={"help": help, **bounds})


def value_type(field):
    """The plain type of a `Config` field: `int` for both `int` and `int | None`."""
    if isinstance(field.type, types.UnionType):
        return next(t for t in typing.get_args(field.type) if t is not types.NoneType)
    return field.type


def expectation(field):
    """What a `Config` field accepts, in words: `an integer, at least 1`."""
    bounds = field.metadata
    if bounds["choices"]:
        return "one of " + ", ".join(bounds["choices"])
    words = [
        {int: "an integer", float: "a number", str: "a text", bool: "true or false"}[
            value_type(field)
        ]
    ]
    if bounds["minimum"] is not None:
        words.append(f"at least {bounds['minimum']}")
    if bounds["maximum"] is not None:
        words.append(f"at most {bounds['maximum']}")
    if bounds["below"] is not None:
        words.append(f"below {bounds['below']}")
    return ", ".join(words)


def problem(field, value):
    """What is wrong with `value`, or `None`."""
    if value is None and isinstance(field.type, types.UnionType):
        return None
    accepted = (int, float) if value_type(field) is float else value_type(field)
    bounds = field.metadata
    valid = (
        isinstance(value, accepted)
        and not (isinstance(value, bool) and value_type(field) is not bool)
        and (bounds["choices"] is None or value in bounds["choices"])
        and (bounds["minimum"] is None or value >= bounds["minimum"])
        and (bounds["maximum"] is None or value <= bounds["maximum"])
        and (bounds["below"] is None or value < bounds["below"])
    )
    return None if valid else f"expected {expectation(field)}"
