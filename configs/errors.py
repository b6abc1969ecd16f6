"""The one exception that stands for a mistake the user can mend."""


class UserError(Exception):
    """A mistake of the user, told in one line: what was given, what is expected, how to fix it.

    The scripts print the message and exit with status 1.
    """
