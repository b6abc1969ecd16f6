"""The first signal is recorded, the second one ends the process."""

import os
import signal
import subprocess
import sys
import time

import pytest

from configs import Interrupted
from tests.conftest import PROJECT
from training.signals import interruptible, stop_signal

# Sends itself SIGTERM twice, while the main thread is in one long call.
SCRIPT = """
import os, sys, threading, time
from training.signals import stop_signal

def send(seconds):
    for wait in (0.2, seconds):
        time.sleep(wait)
        os.kill(os.getpid(), 15)

with stop_signal() as stop:
    assert stop() is None
    threading.Thread(target=send, args=(float(sys.argv[1]),), daemon=True).start()
    sum(range(10**8))
    time.sleep(2)
    print("asked by", stop())
"""


def run(seconds):
    command = [sys.executable, "-c", SCRIPT, str(seconds)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("seconds", [0, 0.1])
def test_a_signal_repeated_within_a_second_counts_once(seconds):
    done = run(seconds)
    assert done.returncode == 0
    assert done.stdout == "asked by 15\n"
    assert done.stderr.count("send the signal again to stop at once") == 1


def test_a_second_signal_ends_the_process_at_once():
    done = run(1.2)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stdout == ""


def test_nested_blocks_record_the_same_signal():
    with stop_signal() as outer:
        with stop_signal() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
            assert inner() == signal.SIGTERM
        assert outer() == signal.SIGTERM
    with stop_signal() as another:
        assert another() is None


def send(number):
    os.kill(os.getpid(), number)


def test_an_interruptible_block_is_left_at_once_and_its_cleanup_is_not_interrupted():
    cleaned = []

    def leave():
        with stop_signal(), interruptible("the end"):
            try:
                send(signal.SIGTERM)
                time.sleep(9)
            finally:
                send(signal.SIGTERM)  # `timeout` sends the signal twice, too.
                cleaned.append(True)

    with pytest.raises(Interrupted, match=r"^the end$") as interrupt:
        leave()
    assert interrupt.value.signal == signal.SIGTERM
    assert cleaned


def test_an_interruptible_block_is_not_entered_after_a_signal():
    with stop_signal() as stop:
        send(signal.SIGINT)
        with pytest.raises(Interrupted) as interrupt, interruptible("the end"):
            raise AssertionError
        assert interrupt.value.signal == stop() == signal.SIGINT
