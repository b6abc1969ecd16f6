"""`Config` on the command line: flags from the fields, flag files from the values."""

import dataclasses
import os
import sys

from absl import app, flags, logging

from configs.config import Config, expectation, value_type
from configs.errors import UserError

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


def config_from_flags(flag_values=flags.FLAGS, base=None):
    """Build a `Config` from parsed flags.

    Args:
        flag_values: The parsed flags.
        base: A `Config` to start from: only flags given explicitly replace its values.
    """
    given = {
        field.name: flag_values[field.name].value
        for field in dataclasses.fields(Config)
        if base is None or flag_values[field.name].present
    }
    return dataclasses.replace(base, **given) if base else Config(**given)


def format_flags(config):
    """The text of a flag file that repeats `config`: one `--name=value` a line, `None` left out."""
    values = dataclasses.asdict(config)
    return "".join(f"--{name}={value}\n" for name, value in values.items() if value is not None)


def read_flags(path):
    """Read a `Config` from a flag file.

    Raises:
        UserError: If the file cannot be read or holds an unknown flag or a bad value.
    """
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    try:
        flag_values(["", f"--flagfile={path}"])
    except flags.Error as error:
        raise UserError(f"{path}: {error}; expected the flags of one run, one a line") from error
    return config_from_flags(flag_values)


def run_script(main):
    """Parse the flags, call `main()`, and turn mistakes of the user into one line and status 1.

    Interrupted by Ctrl-C the script exits with status 130, as a shell expects.
    """

    def guarded_main(argv):
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.ERROR)
        if argv[1:]:
            sys.exit(f"error: {argv[1]!r}: expected only flags, such as --model=lstm; see --help")
        try:
            main()
        except UserError as error:
            sys.exit(f"error: {error}")
        except OSError as error:
            # The disk's answers: not writable, full, not a folder.
            place = f"{error.filename}: " if error.filename else ""
            problem = f"{place}{error.strerror or error}"
            sys.exit(f"error: {problem}; expected a writable place with free space")
        except KeyboardInterrupt as interrupt:
            print(str(interrupt) or "interrupted", file=sys.stderr)
            sys.exit(130)

    # TensorFlow's notes on drivers and Keras's on export are not for a user of these scripts.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    app.run(guarded_main)
