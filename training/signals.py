"""Being asked to stop."""

import contextlib
import os
import signal
import threading
import time

from configs import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_noting = []  # The function of the block that is entered, if one is.
_endings = []  # What a signal ends with, of the blocks that one ends at once.


@contextlib.contextmanager
def stop_signal():
    """Note SIGINT (Ctrl-C), SIGTERM and SIGHUP instead of dying of them; a second ends at once.

    One within a second of the first is the same request once more: `timeout` and others send theirs
    to a process and to its group. A signal that the process was started to ignore is ignored. In
    any thread but the main one Python lets nobody catch signals, and none is noted. A block within
    such a block yields the outer one's function, so that neither misses what the other noted.

    Yields:
        A function that gives the number of the signal that came, or `None`.
    """
    if _noting:
        yield _noting[-1]
        return
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    received = []

    def note(number, frame):
        received.append(number)
        if _endings and len(received) == 1:
            raise Interrupted(number, _endings[-1])

    # Python calls its handlers between two of its own instructions, and a training step may be a
    # single one of many seconds. What is written to this pipe is there at once.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    fd_before = signal.set_wakeup_fd(writer)
    noted = [s for s in _SIGNALS if signal.getsignal(s) != signal.SIG_IGN]
    before = {each: signal.signal(each, note) for each in noted}
    _noting.append(lambda: received[0] if received else None)
    try:
        yield _noting[-1]
    finally:
        _noting.clear()
        for each, handler in before.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(fd_before)
        os.close(writer)  # Which ends the thread.


@contextlib.contextmanager
def interruptible(message):
    """Raise `Interrupted` with a message at once when a signal of `stop_signal` comes, or has come.

    For a block that can be left at any moment, as it writes whole files or none.
    """
    with stop_signal() as signal:

        def check():
            if signal():
                raise Interrupted(signal(), message)

        _endings.append(message)
        try:
            check()
            yield
            check()  # Python drops what is raised while it clears away an object.
        finally:
            _endings.pop()


def _watch(reader):
    """Answer the first signal with a word, and end the process at the second."""
    with open(reader, "rb", buffering=0) as signals:
        if signals.read(1):
            first = time.monotonic()
            os.write(2, b"\nstopping in good order; once more to stop at once\n")
        while another := signals.read(1):
            if time.monotonic() > first + 1:
                os._exit(128 + another[0])
