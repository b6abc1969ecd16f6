"""The frame of all scripts: it parses the flags and reports mistakes in one line."""

import codecs
import contextlib
import errno
import os
import shutil
import signal
import sys

from absl import app, flags, logging

from configs.errors import Interrupted, UserError
from configs.flag_files import expand_flag_files, name_flag_file
from configs.flags import SEE_HELP, flag_problem

_MIN_COLUMNS = 40  # absl cannot lay out its help in fewer columns.

# The errors of a disk or of the standard output, with the advice for each.
_ADVICE = {
    errno.ENOENT: "expected a path that exists: check how it is spelled, or choose another",
    errno.ENOTDIR: "expected a path whose parts are folders: one of them is a file",
    errno.EISDIR: "expected a file: this is a folder",
    errno.EEXIST: "expected a path that does not exist yet: choose another, or remove it",
    errno.ENOTEMPTY: "expected an empty folder: choose another, or remove what is in it",
    errno.EACCES: "expected a path that you may read and write: choose another, or change its "
    "permissions",
    errno.EPERM: "expected a path that you may read and write: choose another, or change its owner",
    errno.EROFS: "expected a disk that can be written to: choose a folder on another disk",
    errno.ENOSPC: "expected free space: remove files, or choose a folder on another disk",
    errno.EDQUOT: "expected space within your quota: remove files, or choose another disk",
    errno.EFBIG: "expected a higher limit on the size of files: raise it with ulimit -f",
    errno.ENAMETOOLONG: "expected a shorter path: each name in it has at most 255 bytes",
    errno.ELOOP: "expected a path whose symbolic links do not form a loop",
    errno.EIO: "expected a disk without errors: check it, or choose a folder on another disk",
    errno.ESTALE: "expected a network folder that is still connected: mount it again",
    errno.EMFILE: "expected a limit that allows more open files: raise it with ulimit -n",
    errno.ENFILE: "expected a system that allows more open files: close other programs",
    errno.ENOMEM: "expected more free memory: close other programs",
}


def run_script(main, takes_arguments=False):
    """Parse the flags, call `main()`, and report mistakes of the user in one line with status 1.

    Mistakes are a flag that cannot be parsed, a `UserError`, and an error of the disk. After a
    signal the script exits with 128 plus the number of the signal, as a shell expects: 130 for
    Ctrl-C. It exits with 141 when the reader of its output closes the pipe.

    Args:
        main: The function to call.
        takes_arguments: Whether `main` takes the list of the arguments that are not flags. Without
            it such arguments are a mistake.
    """

    arguments = []  # All arguments, including the flags in flag files.

    def parse_flags(argv):
        with _wide_enough():
            try:
                arguments.extend(expand_flag_files(argv[1:]))
                # absl does not have -h.
                known = ["--help" if each == "-h" else each for each in arguments]
                rest = flags.FLAGS([argv[0], *known])[1:]
            except UserError as error:
                sys.exit(f"error: {_one_line(error)}")
            except flags.Error as error:
                fail(flag_problem(error))
        if rest and not takes_arguments:
            sys.exit(
                f"error: {rest[0]!r} is not a flag; expected only flags, such as --model=lstm; "
                f"{SEE_HELP}"
            )
        return [argv[0], *rest]

    def fail(error):
        sys.exit(f"error: {name_flag_file(_one_line(error), arguments)}")

    def guarded_main(argv):
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.ERROR)
        main(argv[1:]) if takes_arguments else main()

    _open_streams()
    _set_environment()
    try:
        try:
            app.run(guarded_main, flags_parser=parse_flags)
        finally:
            sys.stdout.flush()  # At exit it would be too late for the handlers below.
    except BrokenPipeError:
        # The reader closed the pipe, as `| head` does.
        _silence_output()
        sys.exit(128 + signal.SIGPIPE)
    except UserError as error:
        fail(error)
    except OSError as error:
        if error.errno not in _ADVICE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        if not where and _output_fails():
            where = "standard output: "
            _silence_output()
        reason = error.strerror or os.strerror(error.errno)
        sys.exit(f"error: {where}{_one_line(reason)}; {_ADVICE[error.errno]}")
    except Interrupted as interrupt:
        print(interrupt, file=sys.stderr)
        sys.exit(128 + interrupt.signal)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


_LENIENT = "lenient"


def _encode_leniently(error):
    """Write the original bytes of text that Python could not decode; escape unknown letters."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


codecs.register_error(_LENIENT, _encode_leniently)


def _open_streams():
    """Make the standard streams accept every text, even where they are closed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        # The stream is closed, as by `>&-`. The next file that is opened would get its number, and
        # C libraries would print into that file.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors=_LENIENT)


def _output_fails():
    try:
        print(flush=True)
    except OSError:
        return True
    return False


def _silence_output():
    """Discard all further standard output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _set_environment():
    # This hides most notes of TensorFlow on drivers and of Keras on export.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow then keeps its memory between steps. Long sequences take hundreds of megabytes a
    # step, and the system would otherwise hand out and take back that memory each time.
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    # Settings for other programs in keras.json and these variables would change the results here.
    # Keras looks for keras.json in KERAS_HOME, and os.devnull is not a folder.
    os.environ["KERAS_HOME"] = os.devnull
    for name in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED"):
        os.environ.pop(name, None)


def require_tensorflow():
    """Raise a `UserError` if `KERAS_BACKEND` asks for a backend that cannot train here."""
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend != "tensorflow":
        raise UserError(
            f"KERAS_BACKEND={backend}: this program runs on TensorFlow; expected "
            "KERAS_BACKEND=tensorflow: set it before the command, or unset KERAS_BACKEND"
        )


@contextlib.contextmanager
def _wide_enough():
    """Tell absl that the terminal is at least as wide as `--help` needs."""
    given = os.environ.get("COLUMNS")
    if shutil.get_terminal_size().columns < _MIN_COLUMNS:
        os.environ["COLUMNS"] = str(_MIN_COLUMNS)
    try:
        yield
    finally:
        os.environ.pop("COLUMNS", None)
        if given is not None:
            os.environ["COLUMNS"] = given


def _one_line(error):
    return " ".join(str(error).split())
