import os
import signal
import sys

import pytest
from absl.testing import flagsaver

from benchmarks import contest
from benchmarks.processes import Spawned, run
from benchmarks.servers import Server
from configs import UserError


def crash():
    print("loading", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)


def crash_in_a_turn():
    return crash_deep_inside


def crash_deep_inside(depth=50):
    if depth == 0:
        crash()
    crash_deep_inside(depth - 1)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def leave():
    os._exit(3)


def fail():
    raise ValueError("the thirteenth row is missing")


def mistake():
    raise UserError("--units=0; expected more")


def well():
    return lambda: 7


@pytest.mark.parametrize(
    ("prepare", "how", "lines"),
    [
        (crash, "was killed by SIGSEGV", ["loading", "Fatal Python error: Segmentation fault"]),
        (crash_in_a_turn, "was killed by SIGSEGV", ["loading", " in crash\n"]),
        (killed, "was killed by SIGKILL", []),
        (leave, "ended with status 3", []),
        (fail, "ended with status 1", ["ValueError: the thirteenth row is missing"]),
    ],
)
def test_the_end_of_a_contender_is_reported_with_its_last_lines(capfd, prepare, how, lines):
    with flagsaver.as_parsed(turns="1"), pytest.raises(UserError) as error:
        contest.contest({"ours": well, "PyTorch": prepare})
    where = "its last lines are above" if lines else "it printed no message"
    assert str(error.value) == f"PyTorch {how}; expected a rate: {where}"
    printed = capfd.readouterr().err.splitlines()
    assert all(line.startswith("PyTorch: ") for line in printed)
    for line in lines:
        assert line in "\n".join(printed)


def test_a_user_error_of_a_contender_is_raised_unchanged():
    with pytest.raises(UserError, match=r"^--units=0; expected more$"):
        contest.contest({"ours": mistake})


def speak_and_end(pipe, text):
    print("warning: nothing happens", file=sys.stderr)
    pipe.send(text)


def test_the_stderr_of_a_process_is_printed_only_if_it_ends_too_early(capfd):
    with Spawned("one", speak_and_end, "hello") as process:
        assert process.receive("a word") == "hello"
        assert capfd.readouterr() == ("", "")
        with pytest.raises(UserError, match=r"^one ended with status 0; expected a word: "):
            process.receive("a word")
        assert capfd.readouterr().err == "one: warning: nothing happens\n"


def chatter(pipe):
    print(1000 * "a line\n", file=sys.stderr, flush=True)
    leave()


def test_only_the_last_of_many_lines_are_printed(capfd):
    with Spawned("one", chatter) as process, pytest.raises(UserError):
        process.receive("a word")
    assert 10 < len(capfd.readouterr().err.splitlines()) < 100


@pytest.mark.parametrize(
    ("status", "how"), [("exit 2", "ended with status 2"), ("kill -9 $$", "was killed by SIGKILL")]
)
def test_the_end_of_a_program_or_a_server_is_reported(status, how):
    with pytest.raises(UserError, match=f"{how}; expected a run"):
        run(["sh", "-c", status], "a run")
    with Server(["sh", "-c", status]) as server, pytest.raises(UserError, match=f"{how}; expected"):
        server.wait_until(lambda: False)
