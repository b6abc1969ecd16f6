"""`Config` on the command line: flags from the fields, flag files from the values."""

import dataclasses
import errno
import os
import signal
import sys

from absl import app, flags, logging

from configs.config import Config
from configs.errors import Interrupted, UserError
from configs.option import expectation, value_type

# The flags belong to the script that calls `define_flags`, so that its --help lists them.
flags.disclaim_key_flags()

_DEFINE = {
    bool: flags.DEFINE_bool,
    float: flags.DEFINE_float,
    int: flags.DEFINE_integer,
    str: flags.DEFINE_string,
}


def define_flags(flag_values=flags.FLAGS):
    """Define one flag for every field of `Config`. Values are checked by `Config` itself."""
    for field in dataclasses.fields(Config):
        define = _DEFINE[value_type(field)]
        text = f"{field.metadata['help']} Expects {expectation(field)}."
        define(field.name, field.default, text, flag_values=flag_values)


def config_from_flags(flag_values=flags.FLAGS):
    """Build a `Config` from parsed flags."""
    return Config(**{f.name: flag_values[f.name].value for f in dataclasses.fields(Config)})


def override(config, replaceable, flag_values=flags.FLAGS):
    """Replace values of a `Config` by the flags given explicitly.

    A flag that says what the config says already is no replacement; nor is `--dataset=auto`, of
    which a run's config says what it stood for.

    Args:
        config: The `Config` to start from.
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
            expected = ", ".join(f"--{name}" for name in replaceable) or "no flag of a model or run"
            raise UserError(
                f"--{name}={value} is not the {getattr(config, name)} of the run, which cannot be "
                f"changed; expected {expected}"
            )
    return dataclasses.replace(config, **given)


def given_flags(flag_values=flags.FLAGS):
    """The names and values of the `Config` flags given explicitly."""
    names = [field.name for field in dataclasses.fields(Config)]
    return {name: flag_values[name].value for name in names if flag_values[name].present}


def format_flags(config):
    """The text of a flag file that repeats `config`: one `--name=value` a line, `None` left out."""
    values = dataclasses.asdict(config)
    return "".join(f"--{name}={value}\n" for name, value in values.items() if value is not None)


def read_flags(path, required=()):
    """Read a `Config` from a flag file.

    Args:
        path: The flag file.
        required: Names of the fields that the file must set.

    Raises:
        UserError: If the file cannot be read, holds anything but flags or a bad value, or lacks a
            required one.
    """
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    try:
        rest = flag_values(["", f"--flagfile={path}"])[1:]
        if rest:
            raise UserError(f"{rest[0]!r} is no flag")
        missing = set(required) - set(given_flags(flag_values))
        if missing:
            raise UserError(f"--{min(missing)} is missing")
        return config_from_flags(flag_values)
    except (flags.Error, UnicodeDecodeError, UserError) as error:
        raise UserError(f"{path}: {error}; expected the flags of one run, one a line") from error


# The errors a disk answers with: not allowed, not there, not a folder, read-only, full, failing.
_DISK_ERRORS = {
    *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG, errno.EIO),
}


def run_script(main, takes_arguments=False):
    """Parse the flags, call `main()`, and turn mistakes of the user into one line and status 1.

    If it takes arguments it is called with the list of what is no flag. Mistakes are a flag that
    cannot be parsed, a `UserError`, and a disk that refuses. Interrupted by a signal the script
    exits with 128 and its number, 130 for Ctrl-C, as a shell expects; so it does when no one reads
    its output any more, 141.
    """

    def parse_flags(argv):
        try:
            rest = flags.FLAGS(argv)[1:]
        except (flags.Error, UnicodeDecodeError) as error:
            sys.exit(f"error: {_one_line(error)}; expected flags as listed by {argv[0]} --help")
        if rest and not takes_arguments:
            sys.exit(f"error: {rest[0]!r}; expected only flags, such as --model=lstm; see --help")
        return [argv[0], *rest]

    def guarded_main(argv):
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.ERROR)
        try:
            main(argv[1:]) if takes_arguments else main()
            sys.stdout.flush()
        except BrokenPipeError:
            # Who read the output has had enough, as `| head` has. What is left goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)
        except UserError as error:
            sys.exit(f"error: {_one_line(error)}")
        except OSError as error:
            if error.errno not in _DISK_ERRORS:
                raise
            place = f"{error.filename}: " if error.filename else ""
            sys.exit(
                f"error: {place}{error.strerror}; expected a place that can be read and written, "
                "with free space"
            )
        except Interrupted as interrupt:
            print(interrupt, file=sys.stderr)
            sys.exit(128 + interrupt.signal)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)

    # Without most of TensorFlow's notes on drivers and Keras's on export.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow then keeps the memory it has: long sequences take hundreds of megabytes a step,
    # which the system would hand out and take back each time.
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    app.run(guarded_main, flags_parser=parse_flags)


def _one_line(error):
    return " ".join(str(error).split())
