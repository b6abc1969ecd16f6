"""Flag files: `--flagfile=PATH` stands for the lines of a file, each of them a flag."""

import os
import re

from configs.errors import UserError

_MAX_BYTES = 1_000_000
_NAMES = ("--flagfile", "-flagfile")
_NAME = re.compile(r"-{0,2}(\w*)")
# How messages about a flag begin, one of absl's among them.
_FLAG = re.compile(r"(?:Missing value for flag )?--(\w+)")
# The first bytes of files that Windows programs save as "Unicode"; UTF-32 before UTF-16.
_BYTE_ORDER_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class _Line(str):
    """A flag that is a line of a flag file.

    Attributes:
        path: The path of the file.
    """

    def __new__(cls, text, path):
        line = super().__new__(cls, text)
        line.path = path
        return line


def name_flag_file(message, arguments):
    """Put the path of a flag file before a message about a flag that stands in it.

    Args:
        message: What is wrong. If several arguments give the flag that it is about, the last with
            the value in the message is taken, or the last.
        arguments: What `expand_flag_files` returned.

    Returns:
        The message, with the path before it if the flag stands in a file.
    """
    found = _FLAG.match(message)
    given = [each for each in arguments if found and _NAME.match(each)[1] == found[1]]
    exact = [each for each in given if message.startswith(f"--{each.lstrip('-')}: ")]
    line = (exact or given or [""])[-1]
    return f"{line.path}: {message}" if isinstance(line, _Line) else message


def expand_flag_files(arguments, inside=()):
    """Replace each `--flagfile=PATH` by the flags in the file, and in the files that it names.

    A line of a flag file is a flag; blank lines, and those that begin with `#` or `//`, say
    nothing. The text is UTF-8, with or without a byte-order mark, with line ends of any system.

    Args:
        arguments: The arguments of a script, a list of texts.
        inside: The paths of the flag files in which these arguments stand, the outermost first.

    Returns:
        The arguments without a `--flagfile` among them.

    Raises:
        UserError: If a flag file cannot be read, is not text in UTF-8, holds a line that is not a
            flag, or includes itself. The message begins with the path of the file.
    """
    expanded, rest = [], list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, path = argument.partition("=")
        if name not in _NAMES:
            expanded.append(argument)
            if argument == "--":
                return expanded + rest
            continue
        if not equals:
            if not rest:
                raise UserError("--flagfile: received no path; expected --flagfile=PATH")
            path = rest.pop(0)
        path = os.path.expanduser(path.strip())
        if not path:
            continue  # As absl has it.
        real = os.path.realpath(path)
        if real in map(os.path.realpath, inside):
            chain = " includes ".join([*inside, path])
            raise UserError(
                f"{path}: the flag file includes itself ({chain}); expected files that do not go "
                "round in a circle: remove the --flagfile line from the last of them"
            )
        expanded += expand_flag_files(_lines(path), (*inside, path))
    return expanded


def read_text(path):
    """Read a text file in UTF-8; `UserError`, which begins with its path, if it is not one."""
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {_why_unreadable(error)}") from error
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            raise _not_utf8(path, f"the text is {encoding}", encoding)
    if 3 * content.count(b"\0") > len(content):
        raise _not_utf8(path, "every other byte is NUL, as in UTF-16", "UTF-16LE")
    if b"\0" in content:
        number = content[: content.index(b"\0")].count(b"\n") + 1
        raise UserError(
            f"{path}: line {number} holds a NUL byte; expected a text file: remove the byte, or "
            "choose another file if this is a program or a picture"
        )
    if len(content) > _MAX_BYTES:
        raise UserError(
            f"{path}: the file has more than {_MAX_BYTES:,} bytes; expected a text file with one "
            "flag a line"
        )
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        problem = f"the byte 0x{content[error.start]:02x} in line {number} is not UTF-8"
        raise _not_utf8(path, problem, "LATIN1") from error
    # As the arguments of the script are decoded, so that paths mean the same in both.
    return os.fsdecode(content)


def _lines(path):
    """The lines of a flag file that are flags."""
    lines = [line.strip() for line in read_text(path).splitlines()]
    for number, line in enumerate(lines, 1):
        if line and not line.startswith(("#", "//", "-")):
            raise UserError(
                f"{path}: line {number}, {line[:60]!r}, is not a flag; expected --NAME=VALUE, or a "
                "comment that begins with #"
            )
    return [_Line(line, path) for line in lines if line.startswith("-")]


def _not_utf8(path, problem, encoding):
    return UserError(
        f"{path}: {problem}; expected a text file in UTF-8: save it as UTF-8 in your editor, or "
        f"convert it with iconv -f {encoding} -t UTF-8"
    )


def _why_unreadable(error):
    if isinstance(error, FileNotFoundError):
        return "the flag file does not exist; expected the path of a file: check how it is spelled"
    if isinstance(error, IsADirectoryError):
        return "this is a folder; expected a flag file, such as configs/lstm.flags"
    if isinstance(error, PermissionError):
        return "you may not read the flag file; expected permission to read it: chmod u+r"
    reason = getattr(error, "strerror", None) or error
    return f"the flag file cannot be read ({reason}); expected the path of a text file"
