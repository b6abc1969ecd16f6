"""Flags whose value is a path or the name of a folder, for all scripts."""

import os

from absl import flags

# The flags belong to the script that defines them, so that its --help lists them.
flags.disclaim_key_flags()

_MAX_NAME_BYTES = 255  # The limit of the usual file systems of Linux and macOS.


def define_path(name, default, help, flag_values=flags.FLAGS, empty=False):
    """Define a flag for the path of a file or folder. A leading `~` becomes the home folder.

    A shell does not replace the `~` in `--runs_dir=~/runs` or in a flag file.

    Args:
        name: The name of the flag.
        default: The path when the flag is not given, or `None`.
        help: One line for `--help`.
        flag_values: Where to define it.
        empty: Whether `--name=` is allowed. It means `None`.
    """
    _define(_PathParser(empty), name, default, help, flag_values, flags.ArgumentSerializer())


def define_paths(name, default, help, flag_values=flags.FLAGS):
    """Define a flag for several paths with commas between them, see `define_path`."""
    _define(_PathsParser(), name, default, help, flag_values, flags.CsvListSerializer(","))


def define_name(name, help, prefix="", flag_values=flags.FLAGS):
    """Define a flag for the name of a new folder. The name must not be a path.

    Args:
        name: The name of the flag.
        help: One line for `--help`.
        prefix: The beginning of the folder's name, before the value of the flag.
        flag_values: Where to define it.
    """
    serializer = flags.ArgumentSerializer()
    flags.DEFINE(_NameParser(prefix), name, None, help, flag_values, serializer)


def _define(parser, name, default, help, flag_values, serializer):
    flags.DEFINE(parser, name, default, help, flag_values, serializer)
    # A validator checks the path, not the parser: absl parses a default from the environment when
    # the flag is defined, and an error at that time would be a traceback.
    flags.register_validator(name, _check, flag_values=flag_values)


class _PathParser(flags.ArgumentParser):
    syntactic_help = "a path"

    def __init__(self, empty):
        super().__init__()
        self._empty = empty

    def parse(self, argument):
        return None if self._empty and not argument else os.path.expanduser(argument)


class _PathsParser(flags.ListParser):
    syntactic_help = "paths with commas between them"

    def parse(self, argument):
        return [os.path.expanduser(path) for path in super().parse(argument)]


class _NameParser(flags.ArgumentParser):
    syntactic_help = "the name of a folder"

    def __init__(self, prefix):
        super().__init__()
        self._prefix = prefix

    def parse(self, argument):
        size = len(os.fsencode(self._prefix + argument))
        if not argument:
            problem = "the name is empty"
        elif "/" in argument:
            problem = "this is a path"
        elif argument[0] in ".~":
            problem = f"a name must not begin with {argument[0]}"
        elif argument != argument.strip() or not _is_printable(argument):
            problem = "a name must not hold control characters, or begin or end with a space"
        elif size > _MAX_NAME_BYTES:
            problem = f"the name of the folder would have {size} bytes, more than {_MAX_NAME_BYTES}"
        else:
            return argument
        raise ValueError(
            f"{problem}; expected the name of a folder, not a path, such as first; --runs_dir says "
            "where the folder is made"
        )


def _check(paths):
    """Validate the value of a flag of paths. `None` and `[]` mean that the flag has no value."""
    for path in [paths] if isinstance(paths, str) else paths or []:
        if not path:
            raise flags.ValidationError("the path is empty; expected a path, such as . or ./folder")
        if path.startswith("~"):
            user = path[1:].partition("/")[0]
            raise flags.ValidationError(
                f"the user {user} does not exist; expected a path: write ./{path} if the name of "
                "the folder begins with ~"
            )
        if not _is_printable(path):
            raise flags.ValidationError(
                "the path holds a control character, such as a line break, or is not UTF-8; "
                "expected a path of printable characters: rename the folder"
            )
    return True


def _is_printable(text):
    """Return whether a text can be in a line of a flag file, for any encoding of the terminal."""
    try:
        return os.fsencode(text).decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False
