"""Processes that benchmarks start. One that ends too early is told with how it ended."""

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

_LINES = 20  # How many lines are shown of the stderr of a process that ended too early.
_FATAL = "Fatal Python error"  # The first line of a crash. The calls follow, the innermost first.


def ending(status):
    """How a process ended, in words, from its return code: below 0 is the number of a signal."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def run(command, expected, **options):
    """Run a program to its end.

    Args:
        command: The program and its arguments, a list.
        expected: What the benchmark needs of it, in words.
        **options: As of `subprocess.run`.

    Raises:
        UserError: If the program ends with a status other than 0.
    """
    status = subprocess.run(command, **options).returncode
    if status:
        command = shlex.join(map(str, command))
        raise UserError(f"{command} {ending(status)}; expected {expected}: see its message above")


class Spawned:
    """A new Python process that runs a function, and a pipe to it.

    The function is called with the other end of the pipe, then with the other arguments. A
    `UserError` that it raises is raised by `receive`. The process lives as long as the `with` block
    of this object, or until the function returns.

    Args:
        name: Its name in messages.
        function: A function of a module.
        *arguments: What else it is called with; is pickled.
    """

    def __init__(self, name, function, *arguments):
        self.name = name
        # In a file, because a pipe that nobody reads would fill up and stop the process.
        self._stderr = tempfile.NamedTemporaryFile()  # noqa: SIM115
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        arguments = (theirs, self._stderr.name, function, *arguments)
        self._process = spawn.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def send(self, message):
        """Send something to the function."""
        with contextlib.suppress(BrokenPipeError):  # `receive` tells that the process has ended.
            self._pipe.send(message)

    def receive(self, expected):
        """Wait for what the function sends.

        Args:
            expected: What that is, in words.

        Raises:
            UserError: If the function raised one, or if the process ended. In the latter case the
                end of its stderr is printed.
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
    """The last lines of a text; where it ends with a crash, the lines around the crash."""
    lines = [line for line in text.splitlines() if not line.startswith("Extension modules: ")]
    crashes = [number for number, line in enumerate(lines) if line.startswith(_FATAL)]
    if not crashes:
        return lines[-_LINES:]
    return lines[max(0, crashes[-1] - _LINES // 4) :][:_LINES]


def _run(pipe, stderr, function, *arguments):
    """What the new process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the benchmark, which ends this.
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_APPEND), sys.stderr.fileno())
    faulthandler.enable()  # A crash in a library then tells in which line.
    try:
        function(pipe, *arguments)
    except UserError as error:
        pipe.send(error)
