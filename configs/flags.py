"""`Config` on the command line: a flag for each field, and flag files."""

import dataclasses
import re

from absl import flags

from configs.config import Config
from configs.errors import UserError
from configs.flag_files import expand_flag_files
from configs.option import did_you_mean, expectation, value_type
from configs.paths import define_path
from configs.scopes import applies, kind_of, scope_help

# The flags belong to the script that calls `define_flags`, so that its --help lists them.
flags.disclaim_key_flags()

SEE_HELP = "see --help"

# Old and new names of flags. The flags.txt of an old run has the old names.
_RENAMED = {"read_out": "head", "read_out_init": "head_init"}

_DEFINE = {
    bool: flags.DEFINE_bool,
    float: flags.DEFINE_float,
    int: flags.DEFINE_integer,
    str: flags.DEFINE_string,
}


def define_flags(flag_values=flags.FLAGS):
    """Define a flag for each field of `Config`. The constructor of `Config` checks the values."""
    for field in dataclasses.fields(Config):
        text = f"{field.metadata['help']} Expects {expectation(field)}. {scope_help(field)}".strip()
        if field.metadata["location"]:
            define_path(field.name, field.default, text, flag_values, empty=True)
        else:
            define = _DEFINE[value_type(field)]
            define(field.name, field.default, text, flag_values=flag_values)


def config_from_flags(flag_values=flags.FLAGS):
    """Build a `Config` from parsed flags."""
    return Config(**{f.name: flag_values[f.name].value for f in dataclasses.fields(Config)})


def override(config, replaceable, flag_values=flags.FLAGS):
    """Replace values of a run's `Config` by the flags given explicitly.

    Flags whose value the config already has are allowed for all fields. So is `--dataset=auto`: the
    config has the name of the dataset that `auto` chose.

    Args:
        config: The `Config` of the run.
        replaceable: Names of the fields that may be replaced.
        flag_values: The parsed flags.

    Raises:
        UserError: If a flag of another field was given with another value.
    """
    given = given_flags(flag_values)
    if given.get("dataset") == "auto":
        del given["dataset"]
    for name, value in given.items():
        if name not in replaceable and value != getattr(config, name):
            kept = getattr(config, name)
            others = ", ".join(f"--{other}" for other in replaceable)
            only = f" (only {others} can)" if others else ""
            has, either = f"no --{name}", ""
            if kept is not None:
                has, either = f"--{name}={kept}", f"--{name}={kept} or "
            raise UserError(
                f"--{name}={value}: the run was begun with {has}, which cannot be changed{only}; "
                f"expected {either}no --{name}: leave it out, or train a new run under another "
                "--name"
            )
    dataset = given.get("dataset", config.dataset)
    if kind_of(dataset) != kind_of(config.dataset):
        raise UserError(
            f"--dataset={dataset}: the run was trained on --dataset={config.dataset}, whose "
            "examples are of another kind; expected a dataset of the same kind, or no --dataset"
        )
    return dataclasses.replace(config, **given)


def given_flags(flag_values=flags.FLAGS):
    """Return the values of the `Config` flags given explicitly, by name."""
    names = names_of()
    return {name: flag_values[name].value for name in names if flag_values[name].present}


def names_of(**options):
    """Return the names of the fields of `Config` with some options, such as `location=True`.

    Args:
        **options: Arguments of `configs.option.option` and their values.

    Returns:
        A tuple of names; of all fields without options.
    """
    return tuple(
        field.name
        for field in dataclasses.fields(Config)
        if all(field.metadata[name] == value for name, value in options.items())
    )


def format_flags(config):
    """Return the text of a flag file that repeats a `Config`: one `--name=value` a line.

    Values of `None`, and fields that do not apply, are left out.
    """
    names = [field.name for field in dataclasses.fields(config) if applies(field, config)]
    values = {name: getattr(config, name) for name in names}
    return "".join(f"--{name}={value}\n" for name, value in values.items() if value is not None)


def read_flags(path, required=()):
    """Read a `Config` from a flag file. Files of earlier versions are accepted.

    Args:
        path: The flag file.
        required: Names of the fields that the file must set.

    Raises:
        UserError: If the file cannot be read, has a line that is not a flag of `Config`, has a bad
            value, or lacks a required flag.
    """
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    arguments = expand_flag_files([f"--flagfile={path}"])
    try:
        flag_values(["", *map(with_new_name, arguments)])
        missing = set(required) - set(given_flags(flag_values))
        if missing:
            raise UserError(
                f"--{min(missing)} is missing; expected the flags of one run, one a line"
            )
        return config_from_flags(flag_values)
    except flags.Error as error:
        raise UserError(f"{path}: {flag_problem(error, flag_values)}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def with_new_name(argument):
    """Return the argument `--NAME=VALUE` of an earlier version with the flag's new name."""
    name, equals, value = argument.partition("=")
    return f"--{_RENAMED.get(name.lstrip('-'), name.lstrip('-'))}{equals}{value}"


def flag_problem(error, flag_values=flags.FLAGS):
    """Describe an error of absl's in our form: what was received, what is expected."""
    if isinstance(error, flags.UnrecognizedFlagError):
        if new := _RENAMED.get(error.flagname):
            return f"--{error.flagname} has a new name; expected --{new}"
        near = did_you_mean(error.flagname, flag_values, "--")
        return f"--{error.flagname} is not a flag; expected one that --help lists{near}"
    found = re.fullmatch(r"flag --(\w+)=(.*?): (.*)", str(error), re.DOTALL)
    if not found:
        return f"{error}; expected --NAME=VALUE; {SEE_HELP}"
    name, value, problem = found.groups()
    if "expected" in problem:  # A parser or validator of `configs.paths` wrote it.
        return f"--{name}={value}: {problem}"
    parser = flag_values[name].parser
    if isinstance(parser, flags.EnumParser):
        choices = ", ".join(parser.enum_values)
        return (
            f"--{name}={value}: expected one of {choices}{did_you_mean(value, parser.enum_values)}"
        )
    if isinstance(parser, flags.BooleanParser):
        return f"--{name}={value}: expected true or false"
    article = {"integer": "an ", "number": "a "}.get(parser.syntactic_help.split()[0], "")
    return f"--{name}={value}: expected {article}{parser.syntactic_help}"
