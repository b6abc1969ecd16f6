"""A search on Ray has the same results as one without, also after lost workers and nodes."""

import contextlib
import csv
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import psutil
import pytest

from tests.conftest import PROJECT, Result, assert_one_line_error, start_nodes
from training.run import Run

FLAGS = ("--dataset=digits", "--model=basic_rnn", "--dropout=0.2", "--name=it", "--tuner=grid")
# The number of threads of a trial on Ray, on which the rounding depends.
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
# Ray runs its workers at niceness 15 by default, and on a busy machine they would get little time.
NOT_NICE = {"RAY_worker_niceness": "0"}
# A machine that runs other programs starts Ray and TensorFlow slowly. A limit is reached only if
# a test fails, so a long one costs no time.
SECONDS = 1800

pytestmark = pytest.mark.usefixtures("nothing_left")


def start_tune(folder, *flags, stdout=subprocess.PIPE):
    folder.mkdir(exist_ok=True)
    pipes = {"stdout": stdout, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, PROJECT / "tune.py", *FLAGS, *flags]
    environment = os.environ | ONE_THREAD | NOT_NICE
    return subprocess.Popen(command, cwd=folder, env=environment, process_group=0, **pipes)


def tune(folder, *flags):
    process = start_tune(folder, *flags)
    stdout, stderr = process.communicate(timeout=SECONDS)
    return Result(process.returncode, stdout, stderr)


def rows_of(folder):
    """The rows of the folder's `trials.csv`, without the columns that differ each time."""
    with open(folder / "runs/tune-it/trials.csv", newline="") as file:
        return [row | {"seconds": None, "known_at": None} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--cpus_per_trial=2"], ["--cpus_per_trial=2", "expected --ray"]),
        (["--ray=local", "--cpus_per_trial=0"], ["--cpus_per_trial=0"]),
    ],
)
def test_an_error_is_reported_in_one_line(flags, expected, tmp_path):
    result = tune(tmp_path, "--search=units:3|4", *flags)
    assert result.status == 1
    assert_one_line_error(result, *expected)
    assert not list(tmp_path.iterdir())


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    from configs import UserError
    from training.distributed.cluster import cluster

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"--ray=auto: .*pip install -r requirements-ray.txt"):
        cluster("auto", {}).__enter__()


def test_another_program_in_place_of_ray_is_reported_in_seconds(monkeypatch):
    from configs import UserError
    from training.distributed.cluster import _probe, cluster

    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setattr("training.distributed.cluster._SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(
            UserError, match=f"--ray={address}: the program that listens there is not Ray"
        ):
            cluster(address, {}).__enter__()
        monkeypatch.setenv("RAY_USE_TLS", "1")
        _probe(address)


@pytest.mark.parametrize("address", ["nonsense", "a:b", ":1", "host:", "host:65536"])
def test_an_address_that_is_not_host_port_is_reported(address, monkeypatch):
    from configs import UserError
    from training.distributed.cluster import cluster

    pytest.importorskip("ray", reason="Ray is not installed")
    told = f"{address} is not host:port; expected local, auto, or host:port of the head"
    monkeypatch.setenv("RAY_ADDRESS", address)
    for given in (address, f"ray://{address}", "auto"):
        with pytest.raises(UserError, match=f"--ray={given}: {told}"):
            cluster(given, {}).__enter__()


def test_a_worker_with_other_packages_or_another_disk_is_reported(tmp_path):
    from configs import UserError
    from training.distributed.rendezvous import versions
    from tuning.on_ray import _run

    def outcome(folder=tmp_path, **other):
        return _run(None, None, folder, (None, 1, versions() | other))

    assert isinstance(outcome(keras="1.0"), UserError)
    assert re.search(
        r"a worker on .* has keras 3.*; expected 1\.0 on every node", f"{outcome(keras='1.0')}"
    )
    assert "has python 3" in str(outcome(python="2.7"))
    missing = outcome(folder=tmp_path / "not-shared")
    assert "does not see" in str(missing)
    assert "--runs_dir" in str(missing)


def test_a_worker_waits_for_the_lock_of_a_folder_until_a_time_limit(tmp_path, monkeypatch):
    from configs import Interrupted, UserError
    from training.files import locking
    from tuning import on_ray

    with locking(tmp_path) as locked:
        assert locked
        received = []
        threading.Timer(0.5, lambda: received.append(15)).start()
        with pytest.raises(Interrupted), on_ray._locked(tmp_path, lambda: received and received[0]):
            pass
        monkeypatch.setattr(on_ray, "_PATIENCE", 0.1)
        with pytest.raises(UserError, match="another process"):
            on_ray._locked(tmp_path, lambda: None).__enter__()
    with on_ray._locked(tmp_path, lambda: None), locking(tmp_path, shared=True) as locked:
        assert not locked


@pytest.fixture(scope="module")
def nodes():
    """Two Ray nodes on this machine, each with one CPU."""
    pytest.importorskip("ray", reason="Ray is not installed")
    folder = tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp")
    with folder, pytest.MonkeyPatch.context() as patch:
        # The folder of all files of Ray. An option would not move the file with the head's address.
        patch.setenv("RAY_TMPDIR", folder.name)
        for name, value in NOT_NICE.items():
            patch.setenv(name, value)
        cluster = start_nodes()
        yield cluster
        cluster.shutdown()


def workers(*nodes):
    """The processes that train on the nodes. Ray puts the name of the task into their titles."""
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
    training = []
    for child in (child for pid in raylets for child in psutil.Process(pid).children()):
        with contextlib.suppress(psutil.NoSuchProcess):  # It ended meanwhile.
            if "ray::_run" in " ".join(child.cmdline()):
                training.append(child)
    return training


def wait_for(condition, process):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_search_has_the_same_trials_after_a_worker_a_node_and_the_search_were_killed(
    nodes, tmp_path
):
    flags = ["--search=units:3..8:1", "--epochs=40", "--checkpoint_every=3"]
    on_ray = [*flags, f"--ray={nodes.address}"]
    killed, output = tmp_path / "killed", tmp_path / "output.txt"

    def runs_with_checkpoints():
        return {path.parent for path in killed.rglob("*[1-9].npz")}

    def losses():
        return re.findall(r"running .*\(lost its worker", output.read_text())

    with open(output, "w") as stdout:
        process = start_tune(killed, *on_ray, stdout=stdout)
    wait_for(lambda: len(runs_with_checkpoints()) >= 2, process)

    wait_for(lambda: workers(*nodes.list_all_nodes()), process)  # It may be between two trials.
    worker, *_ = workers(*nodes.list_all_nodes())
    worker.kill()
    wait_for(lambda: len(losses()) == 1, process)

    (node,) = nodes.worker_nodes
    wait_for(lambda: workers(node), process)
    nodes.remove_node(node, allow_graceful=False)
    another = nodes.add_node(num_cpus=1, object_store_memory=80_000_000)
    wait_for(lambda: len(losses()) == 2 and workers(another), process)

    process.kill()
    process.communicate()
    assert "running" in {row["status"] for row in rows_of(killed)}
    done = tune(killed, *on_ray)
    assert done.status == 0, done.stderr

    undisturbed = tune(tmp_path / "undisturbed", *flags)
    assert undisturbed.status == 0, undisturbed.stderr
    assert rows_of(killed) == rows_of(tmp_path / "undisturbed")
    assert len(rows_of(killed)) == 6


@pytest.mark.slow
def test_the_printed_command_repeats_the_best_trial_of_a_search_on_ray_to_the_same_bits(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    result = tune(tmp_path, "--search=units:64|128", "--model=gru", "--epochs=2", "--ray=local")
    assert result.status == 0, result.stderr
    (command,) = re.findall("^to repeat the best: (.*)$", result.stdout, re.MULTILINE)
    main = f"{sys.executable} {PROJECT}/main.py --name=again"
    others = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    subprocess.run(command.replace("python main.py", main), shell=True, cwd=tmp_path, env=others)
    best, *_ = (tmp_path / "runs/tune-it/best.flags").read_text().splitlines()
    (number,) = re.findall(r"^# Trial (\d+) of", best)
    trial = Run(tmp_path / f"runs/tune-it/trials/{int(number):04d}/seed-0")
    weights = [run.load_model().get_weights() for run in (trial, Run(tmp_path / "runs/again"))]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_search_leaves_no_process_and_trials_that_can_continue(number, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    flags = ["--search=units:3|4", "--epochs=9999"]
    process = start_tune(tmp_path, *flags, "--ray=local")
    trials = tmp_path / "runs/tune-it/trials"
    wait_for(lambda: len({p.parent for p in trials.rglob("*[1-9].npz")}) == 2, process)
    children = psutil.Process(process.pid).children(recursive=True)
    commands = " ".join(word for child in children for word in child.cmdline())
    (folder,) = set(re.findall(r"/tmp/ray-\w+", commands))
    assert pathlib.Path(folder).is_dir()
    if number == signal.SIGINT:  # A terminal sends it to all processes of the group.
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, stderr = process.communicate(timeout=SECONDS)
    is_killed = number == signal.SIGKILL
    if not is_killed:
        assert process.returncode == 128 + number
        assert stderr.splitlines()[-1] == (
            "interrupted in trials 0, 1; to go on: python tune.py "
            "--flagfile=runs/tune-it/search.flags --ray=local --cpus_per_trial=1"
        )
    # After a kill, Ray's own agents notice it within a minute.
    _, alive = psutil.wait_procs(children, timeout=SECONDS)
    assert not alive
    assert pathlib.Path(folder).exists() == is_killed
    shutil.rmtree(folder, ignore_errors=True)
    assert [row["status"] for row in rows_of(tmp_path)] == ["running"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "nowhere.invalid:6379"])
def test_a_ray_that_cannot_be_reached_is_reported_in_one_line(address, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    result = tune(tmp_path, "--search=units:3|4", f"--ray={address}")
    assert_one_line_error(result, f"--ray={address}", "ray start --head")


@pytest.mark.slow
def test_more_cpus_for_a_trial_than_a_node_has_are_reported(nodes, tmp_path):
    flags = ["--search=units:3|4", f"--ray={nodes.address}", "--cpus_per_trial=1.5"]
    result = tune(tmp_path, *flags)
    assert_one_line_error(result, "--cpus_per_trial=1.5", "has 1 CPUs")
