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
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    received = []

    def note(number, frame):
        received.append(number)

    # Python calls its handlers between two of its own instructions, and a training step may be a
    # single one of many seconds. What is written to this pipe is there at once.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    fd_before = signal.set_wakeup_fd(writer)
    before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(fd_before)
        os.close(writer)  # Which ends the thread.


def _watch(reader):
    """Answer the first signal with a word, and end the process at the second."""
    with open(reader, "rb", buffering=0) as signals:
        if signals.read(1):
            os.write(2, b"\nstopping after this step; once more to stop at once\n")
        if second := signals.read(1):
            os._exit(128 + second[0])
