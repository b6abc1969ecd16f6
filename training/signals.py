"""Being asked to stop."""

import contextlib
import os
import signal
import threading


@contextlib.contextmanager
def stop_signal():
    """Note SIGINT (Ctrl-C) and SIGTERM instead of dying of them; a second one ends at once.

    In any thread but the main one Python lets nobody catch signals, and none is noted.

    Yields:
        A function that gives the number of the signal that came, or `None`.
    """
    received = []

    def note(number, frame):
        received.append(number)
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        # Not print, which may have been what the signal came into.
        os.write(2, b"\nstopping at the next step; once more to stop at once\n")

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
