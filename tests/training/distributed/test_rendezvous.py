"""Workers that find each other, or are told why they cannot train together."""

import contextlib
import json
import socket
import threading

import pytest

from configs import UserError
from training.distributed.rendezvous import Peers, wait_for_workers

ENVIRONMENT = {"tensorflow": "2.21.0", "--units": 5}


@pytest.fixture
def addresses():
    """Addresses of three workers on this machine, with ports that are free."""
    with contextlib.ExitStack() as stack:
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        for each in sockets:
            stack.enter_context(each)
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def join_all(addresses, environments, seconds=30):
    """What each of the workers that come is told: `None`, or why they cannot train together."""
    told = {}

    def come(index):
        try:
            told[index] = wait_for_workers(Peers(addresses, index), environments[index], seconds)
        except UserError as error:
            told[index] = str(error)

    threads = [threading.Thread(target=come, args=(index,)) for index in environments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def test_equal_workers_meet(addresses):
    assert join_all(addresses, dict.fromkeys(range(3), ENVIRONMENT)) == {0: None, 1: None, 2: None}


def test_all_are_told_who_is_missing(addresses):
    told = join_all(addresses, {0: ENVIRONMENT, 2: ENVIRONMENT}, seconds=1)
    assert told[0] == told[2]
    assert f"worker 1 ({addresses[1]}) did not come within 1 seconds; expected all 3" in told[0]


def test_workers_are_told_of_a_chief_that_is_missing(addresses):
    (told,) = join_all(addresses, {1: ENVIRONMENT}, seconds=0.5).values()
    assert f"worker 0 ({addresses[0]}), the chief, did not answer worker 1" in told


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"tensorflow": "2.20.0"}, "has tensorflow 2.20.0, worker 0"),
        ({"--units": 6}, "has --units 6, worker 0"),
    ],
)
def test_all_are_told_who_differs_and_in_what(other, expected, addresses):
    told = join_all(addresses, {0: ENVIRONMENT, 1: ENVIRONMENT, 2: ENVIRONMENT | other})
    assert told[0] == told[1] == told[2]
    assert f"worker 2 ({addresses[2]}) {expected}" in told[0]


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b'{"worker": 7}\n'])
def test_strangers_at_the_port_are_no_workers(said, addresses):
    address, port = addresses[0].split(":")
    come = threading.Thread(target=join_all, args=(addresses, {0: ENVIRONMENT}, 5))
    come.start()
    while True:
        try:
            stranger = socket.create_connection((address, int(port)))
            break
        except ConnectionRefusedError:
            continue
    stranger.sendall(said)
    stranger.shutdown(socket.SHUT_WR)
    told = join_all(addresses, {1: ENVIRONMENT, 2: ENVIRONMENT})
    assert told == {1: None, 2: None}
    come.join()
    stranger.close()


def test_a_port_in_use_is_named(addresses):
    with socket.create_server(("127.0.0.1", int(addresses[0].split(":")[1]))):
        told = join_all(addresses, {0: ENVIRONMENT})
    assert "cannot listen on port" in told[0]
    assert "Address already in use" in told[0]


WORKERS = {"worker": ["a:1", "b:2"]}


@pytest.mark.parametrize(
    "config",
    [
        None,
        "{",
        "[]",
        {"cluster": WORKERS},
        {"cluster": WORKERS, "task": {"type": "worker", "index": 2}},
        {"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}},
        {"cluster": WORKERS | {"ps": ["c:3"]}, "task": {"type": "worker", "index": 0}},
        {"cluster": WORKERS, "task": {"type": "evaluator", "index": 0}},
    ],
)
def test_a_wrong_tf_config_is_told_in_one_line(config, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        text = config if isinstance(config, str) else json.dumps(config)
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=r"TF_CONFIG.*; expected on each machine"):
        Peers.from_environment()


@pytest.mark.parametrize(
    ("task", "index"), [({"type": "chief", "index": 0}, 0), ({"type": "worker", "index": 1}, 2)]
)
def test_a_chief_comes_before_the_workers(task, index, monkeypatch):
    config = {"cluster": WORKERS | {"chief": ["c:3"]}, "task": task}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert Peers.from_environment() == Peers(["c:3", "a:1", "b:2"], index)
