"""Flag files: `--flagfile=PATH` stands for the flags in a file, one a line."""

import os
import re

from configs.errors import UserError

_MAX_BYTES = 1_000_000
_NAMES = ("--flagfile", "-flagfile")
_NAME = re.compile(r"-{0,2}(\w*)")
# The beginning of a message about a flag, from us or from absl.
_FLAG = re.compile(r"(?:Missing value for flag )?--(\w+)")
# Windows programs write these first bytes when they save a file as "Unicode". UTF-32 comes before
# UTF-16 because its mark begins with the mark of UTF-16.
_BYTE_ORDER_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class _Line(str):
    """A flag from a line of a flag file.

    Attributes:
        path: The path of the file.
    """

    def __new__(cls, text, path):
        line = super().__new__(cls, text)
        line.path = path
        return line


def name_flag_file(message, arguments):
    """Put the path of a flag file before a message about one of its flags.

    Args:
        message: The message. If several arguments give its flag, the last one with the value in the
            message counts, or else the last one.
        arguments: The arguments that `expand_flag_files` returned.

    Returns:
        The message, with the path before it if the flag is in a flag file.
    """
    found = _FLAG.match(message)
    given = [each for each in arguments if found and _NAME.match(each)[1] == found[1]]
    exact = [each for each in given if message.startswith(f"--{each.lstrip('-')}: ")]
    line = (exact or given or [""])[-1]
    return f"{line.path}: {message}" if isinstance(line, _Line) else message


def expand_flag_files(arguments, inside=()):
    """Replace each `--flagfile=PATH` by the flags in the file and in the files that it includes.

    A line of a flag file is a flag. Blank lines and lines that begin with `#` or `//` are ignored.
    The text is UTF-8, with or without a byte-order mark, with the line ends of any system.

    Args:
        arguments: The arguments of a script, a list of strings.
        inside: The paths of the flag files that contain these arguments, the outermost first.

    Returns:
        The arguments without any `--flagfile`.

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
            continue  # absl ignores an empty path, too.
        real = os.path.realpath(path)
        if real in map(os.path.realpath, inside):
            chain = " includes ".join([*inside, path])
            raise UserError(
                f"{path}: the flag file includes itself ({chain}); expected files that do not "
                "include each other: remove the --flagfile line from the last of them"
            )
        expanded += expand_flag_files(_lines(path), (*inside, path))
    return expanded


def read_text(path):
    """Read a text file in UTF-8.

    Raises:
        UserError: If the file cannot be read or is not text in UTF-8. The message begins with the
            path.
    """
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
    # Python decodes the arguments of a script in the same way, so a path means the same in both.
    return os.fsdecode(content)


def _lines(path):
    """Return the lines of a flag file that are flags."""
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
