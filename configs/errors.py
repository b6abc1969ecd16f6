"""The exceptions that scripts report in one line: a mistake of the user, and a signal to stop."""


class UserError(Exception):
    """A mistake of the user. The message is one line: what was given, what is expected, the fix.

    The scripts print the message and exit with status 1.
    """


class Interrupted(KeyboardInterrupt):
    """A signal asked the program to stop, and the program stopped in an orderly way.

    Attributes:
        signal: The number of the signal, such as `signal.SIGTERM`.
    """

    def __init__(self, signal, message):
        super().__init__(message)
        self.signal = signal

    def __reduce__(self):  # For exceptions that another process raised.
        return type(self), (self.signal, str(self))
