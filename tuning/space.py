"""The search space: ranges and choices of fields of `Config`, as written in `--search`."""

import dataclasses
import math

from configs import Config, UserError
from configs.option import did_you_mean, problem, value_type

_FIELDS = {field.name: field for field in dataclasses.fields(Config)}
_MAX_VALUES = 1000
_FORMS = (
    "expected --search=NAME:LOW..HIGH, NAME:LOW..HIGH:log, NAME:LOW..HIGH:STEP or NAME:A|B|C, "
    "separated by commas"
)


@dataclasses.dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, both included; integers if `low` and `high` are integers.

    Attributes:
        name: A field of `Config`.
        low: The smallest value.
        high: The largest value.
        log: Whether the scale is logarithmic.
    """

    name: str
    low: int | float
    high: int | float
    log: bool = False

    def __str__(self):
        return f"{self.name}:{self.low}..{self.high}" + (":log" if self.log else "")

    def clip(self, value):
        """The nearest value in the range, as a Python number (KerasTuner draws NumPy numbers)."""
        return type(self.low)(min(max(value, self.low), self.high))


@dataclasses.dataclass(frozen=True)
class Choice:
    """A choice from several values.

    Attributes:
        name: A field of `Config`.
        values: The values, all of the type of the field.
    """

    name: str
    values: tuple

    def __str__(self):
        return f"{self.name}:" + "|".join(map(str, self.values))


def to_unit_interval(parameter, value):
    """Map a value to 0 (lowest or first) to 1 (highest or last), on the scale of its parameter."""
    if isinstance(parameter, Choice):
        return parameter.values.index(value) / (len(parameter.values) - 1)
    scale = math.log if parameter.log else float
    low, high = scale(parameter.low), scale(parameter.high)
    return (scale(value) - low) / (high - low)


def parse_space(text):
    """Parse a search space.

    Args:
        text: Such as `learning_rate:1e-4..1e-2:log,units:32..128:32,model:lstm|gru`. The name of a
            field of `Config` comes first. After it comes a range on a linear or logarithmic scale,
            a range with a step (which becomes a choice), or a choice.

    Returns:
        A tuple of `Range` and `Choice`.

    Raises:
        UserError: If the text has another form, a name is not a searchable field or comes twice, a
            range is empty or reversed, or a field does not allow a value.
    """
    space = tuple(_parse(part.strip()) for part in (text or "").split(","))
    names = [parameter.name for parameter in space]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--search={text}: {name} comes twice; expected each name once")
    return space


def _parse(text):
    name, _, values = text.partition(":")
    if not (name and values):
        raise UserError(f"--search: received {text!r}; {_FORMS}")
    if name not in _FIELDS:
        hint = did_you_mean(name, _FIELDS) or "; see python main.py --help"
        raise UserError(f"--search={text}: {name} is unknown; expected the name of a flag{hint}")
    if not _FIELDS[name].metadata["searchable"]:
        several = ", or several seeds with --executions_per_trial," if name == "seed" else ""
        raise UserError(
            f"--search={text}: {name} is the same for all trials; expected a flag of the model or "
            f"its training: give --{name}{several} beside --search"
        )
    bounds, *options = values.split(":")
    if ".." in bounds:
        return _parse_range(text, _FIELDS[name], bounds.split(".."), options)
    values = tuple(_value(text, _FIELDS[name], word) for word in bounds.split("|"))
    if options:
        raise UserError(f"--search={text}: a choice does not have a third part; {_FORMS}")
    if len(set(values)) < max(len(values), 2):
        raise UserError(
            f"--search={text}: expected at least two choices, each choice once: {name}:A|B|C"
        )
    return Choice(name, values)


def _parse_range(text, field, bounds, options):
    if value_type(field) not in (int, float):
        raise UserError(
            f"--search={text}: {field.name} is not a number; expected {field.name}:A|B|C"
        )
    if len(bounds) != 2 or len(options) > 1:
        raise UserError(f"--search={text}: the range has too many parts; {_FORMS}")
    low, high = (_value(text, field, bound) for bound in bounds)
    if not low < high:
        raise UserError(f"--search={text}: the range is empty; expected the lower bound first")
    if options in ([], ["log"]):
        if options and low <= 0:
            raise UserError(
                f"--search={text}: the logarithm of {low} is not defined; expected a lower bound "
                "above 0"
            )
        return Range(field.name, low, high, log=bool(options))
    step = _number(text, field, options[0])
    count = math.floor((high - low) / step + 1e-9) + 1 if step > 0 else 0
    if not 2 <= count <= _MAX_VALUES:
        raise UserError(
            f"--search={text}: the step {options[0]} makes {max(count, 0)} values; expected a step "
            f"that makes 2 to {_MAX_VALUES}, or log"
        )
    # Rounds, since 0.1 * 3 would be 0.30000000000000004.
    return Choice(field.name, tuple(type(low)(f"{low + step * n:.12g}") for n in range(count)))


def _value(text, field, word):
    """Parse a value of a field; `UserError` if `Config` does not allow it."""
    value = word if value_type(field) is str else _number(text, field, word)
    wrong = problem(field, value)
    if wrong:
        raise UserError(f"--search={text}: {word!r} is not a value of {field.name}; {wrong}")
    return value


def _number(text, field, word):
    try:
        number = value_type(field)(word)
        if math.isfinite(number):
            return number
    except ValueError:
        pass
    kind = "an integer" if value_type(field) is int else "a number"
    raise UserError(f"--search={text}: received {word!r}; expected {kind}; {_FORMS}")
