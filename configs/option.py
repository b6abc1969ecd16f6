"""The declaration of a field of `Config`: its default, help, bounds and scope."""

import dataclasses
import difflib
import types
import typing

_MAX_LISTED = 10  # If a name is near to the received one, a message lists at most this many.


def option(
    default,
    help,
    *,
    choices=None,
    parse=None,
    words=None,
    minimum=None,
    maximum=None,
    below=None,
    scope=None,
    searchable=True,
    location=False,
):
    """Declare a field of `Config`.

    Args:
        default: The value of a field that is not given.
        help: One line for `--help`.
        choices: The allowed values, if they can be listed.
        parse: A function that raises a `ValueError` for texts that are not allowed.
        words: A noun phrase for the texts that `parse` accepts.
        minimum: The lower bound, included.
        maximum: The upper bound, included.
        below: The upper bound, excluded.
        scope: The name of the scope in `configs.scopes.SCOPES` to which the field applies; `None`
            for a field that always applies.
        searchable: Whether the trials of a search may have different values. Scores on other data
            or of other seeds are not comparable, and some fields do not change the score.
        location: Whether the value is the path of a file or folder of data. The results of a run do
            not depend on it, so it may differ between machines, or when a run is resumed. It cannot
            be searched.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "parse": parse,
        "words": words,
        "minimum": minimum,
        "maximum": maximum,
        "below": below,
        "scope": scope,
        "searchable": searchable and not location,
        "location": location,
    }
    return dataclasses.field(default=default, metadata=metadata)


def value_type(field):
    """Return the plain type of a `Config` field: `int` for both `int` and `int | None`."""
    if isinstance(field.type, types.UnionType):
        return next(t for t in typing.get_args(field.type) if t is not types.NoneType)
    return field.type


def expectation(field):
    """Describe the values that a `Config` field accepts: `an integer, at least 1`."""
    bounds = field.metadata
    if bounds["choices"]:
        return "one of " + ", ".join(bounds["choices"])
    if bounds["location"]:
        return "a path"
    if bounds["words"]:
        return bounds["words"]
    kinds = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}
    words = [kinds[value_type(field)]]
    if bounds["minimum"] is not None:
        words.append(f"at least {bounds['minimum']}")
    if bounds["maximum"] is not None:
        words.append(f"at most {bounds['maximum']}")
    if bounds["below"] is not None:
        words.append(f"below {bounds['below']}")
    return ", ".join(words)


def problem(field, value):
    """Describe the values that a field accepts if `value` is not one of them, or return `None`."""
    if value is None and isinstance(field.type, types.UnionType):
        return None
    accepted = (int, float) if value_type(field) is float else value_type(field)
    bounds = field.metadata
    valid = (
        isinstance(value, accepted)
        and not (isinstance(value, bool) and value_type(field) is not bool)
        and (bounds["choices"] is None or value in bounds["choices"])
        and (bounds["parse"] is None or _can_parse(bounds["parse"], value))
        and (bounds["minimum"] is None or value >= bounds["minimum"])
        and (bounds["maximum"] is None or value <= bounds["maximum"])
        and (bounds["below"] is None or value < bounds["below"])
    )
    if valid:
        return None
    hint = did_you_mean(value, bounds["choices"]) if bounds["choices"] else ""
    if hint and len(bounds["choices"]) > _MAX_LISTED:
        count = len(bounds["choices"])
        return f"expected one of {count} names that --help lists{hint}"
    return f"expected {expectation(field)}{hint}"


def _can_parse(parse, text):
    try:
        parse(text)
    except ValueError:
        return False
    return True


def did_you_mean(value, names, prefix=""):
    """Return `; did you mean NAME?` with the name nearest to a value, or an empty text."""
    value, by_lower = str(value).lower(), {str(name).lower(): name for name in names}
    near = difflib.get_close_matches(value, by_lower, 1)
    if not near and len(value) > 2:
        near = sorted((name for name in by_lower if value in name), key=len)
    return f"; did you mean {prefix}{by_lower[near[0]]}?" if near else ""
