"""The exceptions that are told in one line: a mistake the user can mend, and a signal to stop."""


class UserError(Exception):
    """A mistake of the user, told in one line: what was given, what is expected, how to fix it.

    The scripts print the message and exit with status 1.
    """


class Interrupted(KeyboardInterrupt):
    """A signal asked the program to stop, and it did so in good order.

    Attributes:
        signal: The number of the signal, such as `signal.SIGTERM`.
    """

    def __init__(self, signal, message):
        super().__init__(message)
        self.signal = signal

    def __reduce__(self):  # It may come from another process.
        return type(self), (self.signal, str(self))
