"""Processes of benchmarks. If one ends too early, the error reports how it ended."""

import contextlib
import faulthandler
import multiprocessing
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile

from configs import UserError

_LINES = 20  # Lines of stderr to print when a process ended too early.
_FATAL = "Fatal Python error"  # First line of a crash; the innermost calls follow.


def ending(status):
    """Describe how a process ended, from its return code; negative codes are signals."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def run(command, expected, **options):
    """Run a program to its end.

    Args:
        command: The program and its arguments, a list.
        expected: What the benchmark expects, for the message.
        **options: Options of `subprocess.run`.

    Raises:
        UserError: If the program ends with a status other than 0.
    """
    status = subprocess.run(command, **options).returncode
    if status:
        command = shlex.join(map(str, command))
        raise UserError(f"{command} {ending(status)}; expected {expected}: see its message above")


class Spawned:
    """A new Python process that runs a function, and a pipe to it.

    The function gets the other end of the pipe and then the other arguments. If it raises a
    `UserError`, `receive` raises it here. The process ends with the function or with the `with`
    block of this object.

    Args:
        name: Name of the process in messages.
        function: A function of a module.
        *arguments: Further arguments of the function; they are pickled.
    """

    def __init__(self, name, function, *arguments):
        self.name = name
        # A file, because a pipe that is not read would fill up and block the process.
        self._stderr = tempfile.NamedTemporaryFile()  # noqa: SIM115
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        arguments = (theirs, self._stderr.name, function, *arguments)
        self._process = spawn.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def send(self, message):
        """Send something to the function."""
        with contextlib.suppress(BrokenPipeError):  # `receive` reports that the process has ended.
            self._pipe.send(message)

    def receive(self, expected):
        """Wait for a message of the function.

        Args:
            expected: The expected message, in words, for errors.

        Raises:
            UserError: If the function raised one, or if the process ended. In the second case the
                last lines of its stderr are printed.
        """
        try:
            message = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            lines = _last_lines(pathlib.Path(self._stderr.name).read_text(errors="replace"))
            for line in lines:
                print(f"{self.name}: {line}", file=sys.stderr)
            how = ending(self._process.exitcode)
            where = "its last lines are above" if lines else "it printed no message"
            raise UserError(f"{self.name} {how}; expected {expected}: {where}") from None
        if isinstance(message, UserError):
            raise message
        return message

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.join()
        self._pipe.close()
        self._stderr.close()


def _last_lines(text):
    """The last lines of a text; after a crash, the lines around it."""
    lines = [line for line in text.splitlines() if not line.startswith("Extension modules: ")]
    crashes = [number for number, line in enumerate(lines) if line.startswith(_FATAL)]
    if not crashes:
        return lines[-_LINES:]
    return lines[max(0, crashes[-1] - _LINES // 4) :][:_LINES]


def _run(pipe, stderr, function, *arguments):
    """The main function of the new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the benchmark, which kills this.
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_APPEND), sys.stderr.fileno())
    faulthandler.enable()  # Print the stack of a crash in a library.
    try:
        function(pipe, *arguments)
    except UserError as error:
        pipe.send(error)
