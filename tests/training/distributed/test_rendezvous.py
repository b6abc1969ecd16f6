"""Workers that find each other, or an error message that says why they cannot train together."""

import json

import pytest

from configs import UserError
from training.distributed.rendezvous import Peers, _difference, _failure

WORKERS = {"worker": ["a:1", "b:2"]}
TASKS = [f"/job:worker/replica:0/task:{n}" for n in range(3)]
PEERS = Peers(["a:1", "b:2", "c:3"], 1, TASKS)
ENVIRONMENT = {"tensorflow": "2.21.0", "--units": 5}


def test_a_failure_worker_is_named():
    # As TensorFlow 2.21 says it, to the chief and to the others.
    message = (
        "Barrier timed out. Id: [Init]Wait_for_all_tasks_to_register::0.\n"
        "# of tasks that reached the barrier: 2/3.\nThe first task at the barrier: "
        f"{TASKS[0]}. Some timed out task names:\n{TASKS[2]}\n\nAdditional GRPC error "
        f'information:\n:UNKNOWN:Error {{grpc_message:"# of tasks {TASKS[0]}"}}'
    )
    text = _failure(PEERS, message, 1)
    assert text.startswith("worker 2 (c:3) did not come within 1 seconds; expected all 3 workers")


def test_a_failure_chief_is_named():
    text = _failure(PEERS, "Deadline Exceeded\nAdditional GRPC error information", 0.5)
    assert text.startswith("worker 0 (a:1), the chief, did not answer worker 1 (b:2) within 0.5 s")
    assert "(Deadline Exceeded); expected all 3 workers" in text


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"tensorflow": "2.20.0"}, "has tensorflow 2.20.0, worker 0 (a:1) has 2.21.0"),
        ({"--units": 6}, "has --units 6, worker 0 (a:1) has 5"),
        ({"--new": 1}, "has --new 1, worker 0 (a:1) has None"),
    ],
)
def test_a_worker_that_differs_is_named_with_the_difference(other, expected):
    assert _difference(PEERS, [ENVIRONMENT] * 3) is None
    text = _difference(PEERS, [ENVIRONMENT, ENVIRONMENT, ENVIRONMENT | other])
    assert f"worker 2 (c:3) {expected}" in text


def test_a_port_in_use_is_named():
    text = _failure(PEERS, "Could not start gRPC server", 1)
    assert "worker 1 (b:2) cannot listen on its port; expected a free port" in text


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
def test_a_wrong_tf_config_is_reported_in_one_line(config, monkeypatch):
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
    peers = Peers.from_environment()
    assert (peers.addresses, peers.index) == (["c:3", "a:1", "b:2"], index)
    assert peers.tasks == ["/job:chief/replica:0/task:0", *TASKS[:2]]
