"""Signals that ask the process to stop."""

import contextlib
import os
import signal
import threading
import time

from configs import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_active = []  # The function that the current `stop_signal` block yields, if there is one.
_messages = []  # The messages of the current `interruptible` blocks.


@contextlib.contextmanager
def stop_signal():
    """Record the first SIGINT (Ctrl-C), SIGTERM or SIGHUP; the second one ends the process.

    A second signal within one second counts as the first one: `timeout` and other programs send the
    signal to the process and to its group. Signals that the process ignored at its start stay
    ignored. Python's handlers need the main thread; in other threads no signal is recorded. Nested
    blocks share one handler.

    Yields:
        A function that returns the number of the received signal, or `None`.
    """
    if _active:
        yield _active[-1]
        return
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    received = []

    def record(number, frame):
        received.append(number)
        if _messages and len(received) == 1:
            raise Interrupted(number, _messages[-1])

    # Python runs handlers between two bytecode instructions, and a training step may be a single
    # instruction of many seconds. The pipe receives the signal immediately.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    fd_before = signal.set_wakeup_fd(writer)
    handled = [s for s in _SIGNALS if signal.getsignal(s) != signal.SIG_IGN]
    before = {each: signal.signal(each, record) for each in handled}
    _active.append(lambda: received[0] if received else None)
    try:
        yield _active[-1]
    finally:
        _active.clear()
        for each, handler in before.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(fd_before)
        os.close(writer)  # This ends the thread.


@contextlib.contextmanager
def interruptible(message):
    """Raise `Interrupted` with a message as soon as a signal of `stop_signal` arrives.

    If one has already arrived, the block is not entered. For blocks that can be left at any moment,
    because they write files atomically.
    """
    with stop_signal() as signal:

        def check():
            if signal():
                raise Interrupted(signal(), message)

        _messages.append(message)
        try:
            check()
            yield
            check()  # Python ignores exceptions raised in a destructor.
        finally:
            _messages.pop()


def _watch(reader):
    """Print a message at the first signal, and end the process at the second."""
    with open(reader, "rb", buffering=0) as signals:
        if signals.read(1):
            first = time.monotonic()
            os.write(2, b"\nstopping safely; send the signal again to stop at once\n")
        while another := signals.read(1):
            if time.monotonic() > first + 1:
                os._exit(128 + another[0])
