"""One training on several devices or by several processes, and by one: the same."""

import json
import os
import re
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
import tensorflow as tf

from configs import Config
from tests.conftest import PROJECT, Result, assert_one_line_error
from training.distributed.distribution import Distribution
from training.distributed.replicas import split_batches
from training.run import Run
from training.train import train

# 1,318 training images make 36 batches, the last of 23; and what an optimizer does to gradients.
FLAGS = (
    *("--dataset=digits", "--units=6", "--batch_size=37", "--epochs=2", "--name=run", "--resume"),
    *("--clip_norm=0.5", "--ema=0.9", "--checkpoint_every=9", "--model=peephole_lstm"),
)
TOGETHER = (*FLAGS, "--distribute=multi_worker", "--peer_seconds=100")

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.mark.parametrize(("workers", "devices"), [(1, 2), (2, 1), (3, 2), (2, 4)])
def test_the_parts_of_a_batch_are_the_batch_in_order(workers, devices):
    batches = [(np.arange(n), np.arange(n) + 10) for n in (13, 6, 1)]
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(batches), output_signature=(tf.TensorSpec([None], tf.int64),) * 2
    )
    fed = [
        list(split_batches(dataset, tf.distribute.InputContext(workers, worker, workers * devices)))
        for worker in range(workers)
    ]
    for number, (images, labels) in enumerate(batches):
        own = [part for each in fed for part in each[number * devices : (number + 1) * devices]]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in own]), images)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in own]), labels)
        sizes = [len(part[0]) for part in own]
        assert max(sizes) - min(sizes) <= 1


def assert_same_run(one, other, tolerance=1e-5):
    """The weights of two runs, what they measured, and their results agree."""
    for w, v in zip(one.load_model().weights, other.load_model().weights, strict=True):
        np.testing.assert_allclose(w, v, rtol=0, atol=tolerance)
    for epoch, same_epoch in zip(one.history(), other.history(), strict=True):
        assert epoch == pytest.approx(same_epoch, abs=10 * tolerance)
    assert one.metrics()["test"]["loss"] == pytest.approx(
        other.metrics()["test"]["loss"], abs=10 * tolerance
    )
    assert one.metrics()["test"]["confusion"] == other.metrics()["test"]["confusion"]


@pytest.mark.slow
def test_on_one_device_the_distributed_fit_is_kerass(data, tmp_path):
    config = Config(
        **{"model": "basic_rnn", "units": 5, "epochs": 2, "batch_size": 10, "clip_norm": 0.1},
        **{"dropout": 0.2, "row_dropout": 0.1, "ema": 0.8, "tensorboard": True},
    )
    plain = train(config, tmp_path / "plain", data)
    distributed = train(
        config, tmp_path / "distributed", data, distribution=Distribution("mirrored")
    )
    assert_same_run(plain, distributed)
    assert distributed.metrics()["training"]["distribute"] == "mirrored"
    assert plain.metrics()["training"]["replicas"] == 1


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--ray=local"], ["--ray=local", "--distribute=multi_worker"]),
        (["--distribute=mirored"], ["none, mirrored, multi_worker", "did you mean mirrored?"]),
        (["--distribute=multi_worker"], ["TF_CONFIG is not set", "--ray=local"]),
    ],
)
def test_a_mistaken_place_of_training_is_told_in_one_line(flags, expected, run_main, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert_one_line_error(run_main(*flags), *expected[:-1], expected[-1])


def test_without_ray_it_is_told_what_to_install(run_main, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run_main("--distribute=multi_worker", "--ray=local")
    assert_one_line_error(result, "--ray=local", "pip install -r requirements-ray.txt")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "auto"])
def test_a_ray_that_cannot_be_reached_is_told_in_one_line(
    address, call_main, tmp_path, monkeypatch
):
    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # Else auto may find that of another test.
    result = call_main("--dataset=digits", "--distribute=multi_worker", f"--ray={address}")
    assert_one_line_error(result, f"--ray={address}", "ray start --head")
    assert not list(tmp_path.iterdir())


def start(folder, alone, flags, **environment):
    """`main.py` in a process and network of its own."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [*alone, sys.executable, PROJECT / "main.py", *flags],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def free_addresses():
    """The addresses of two workers on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as other:
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, other)]


def start_worker(folder, alone, addresses, index, flags):
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    return start(folder, alone, flags, TF_CONFIG=json.dumps(config))


def start_workers(folder, alone, indices=(0, 1), flags=TOGETHER):
    """Start some of two workers."""
    addresses = free_addresses()
    return [start_worker(folder, alone, addresses, index, flags) for index in indices]


def end(process):
    """How a process ends; one that hangs is killed, and ends as such."""
    timer = threading.Timer(300, process.kill)
    timer.start()
    stdout, stderr = process.communicate()
    timer.cancel()
    return Result(process.returncode, stdout, stderr)


def wait_for_steps(folder, steps):
    """Wait until there is a checkpoint of so many steps."""
    path = folder / "runs/run/checkpoints"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if max([int(each.stem) for each in path.glob("[0-9]*.npz")], default=0) >= steps:
            return
        time.sleep(0.01)
    raise TimeoutError


@pytest.fixture(scope="module")
def by_one(tmp_path_factory, alone):
    """The run of one process on one device."""
    folder = tmp_path_factory.mktemp("one")
    assert end(start(folder, alone, FLAGS)).status == 0
    return Run(folder / "runs/run")


@pytest.fixture(scope="module")
def by_two(tmp_path_factory, alone):
    """The run of two workers, left alone, and what each of them said."""
    folder = tmp_path_factory.mktemp("two")
    said = [end(worker) for worker in start_workers(folder, alone)]
    return Run(folder / "runs/run"), said


@pytest.mark.slow
def test_two_workers_train_to_the_weights_of_one(by_one, by_two):
    run, (chief, other) = by_two
    assert chief.status == other.status == 0
    assert_same_run(by_one, run)
    assert run.metrics()["training"]["replicas"] == 2
    assert "distribute: multi_worker, 2 replicas" in chief.stdout
    assert chief.stdout.splitlines()[-1].startswith("done: ")
    assert other.stdout == "done: the chief has written the run\n"
    exported = run.folder.parent.parent / "saved_models/peephole_lstm"
    assert [path.name for path in exported.iterdir()] == ["1"]


MIRRORED = """
import sys
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
count = int(sys.argv.pop(1))
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
from configs import run_script
import main
run_script(main.main)
"""


@pytest.mark.slow
def test_three_devices_train_to_the_weights_of_one(tmp_path, alone):
    # Of the last batch there is one image for three devices.
    flags = (
        *FLAGS,
        "--batch_size=439",
        "--checkpoint_every=3",
        "--epochs=3",
        "--learning_rate=0.01",
    )
    one = start(tmp_path / "one", alone, flags)
    script = [*alone, sys.executable, "-c", MIRRORED, "3", *flags, "--distribute=mirrored"]
    (tmp_path / "three").mkdir()
    subprocess.run(
        script, cwd=tmp_path / "three", env=os.environ | {"PYTHONPATH": str(PROJECT)}, check=True
    )
    assert end(one).status == 0
    one, three = (Run(tmp_path / name / "runs/run") for name in ("one", "three"))
    assert three.metrics()["training"]["replicas"] == 3
    assert_same_run(one, three)


DRAWS = """
import keras, tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from configs import Config
from datasets.dataset import images_spec
from models import create_model
from training.distributed.distribution import Distribution
distribution = Distribution("mirrored")
config = Config(model="basic_rnn", units=5, dropout=0.5)
model = distribution.replicate(lambda: create_model(config, images_spec(7)))
drop = model.get_layer("dropout_1")

def draw():
    with model._own_seeds():
        return drop(tf.ones((1, 99)), training=True)

def answers():
    return model.strategy.experimental_local_results(model.strategy.run(draw))

before = drop.seed_generator.state.numpy()
one, other = answers()
assert (one.numpy() != other.numpy()).mean() > 0.3
again, _ = answers()
assert (one.numpy() != again.numpy()).mean() > 0.3
states = drop.seed_generator.state.value.values
assert all((state.numpy() == before + [0, 2]).all() for state in states)
drop.seed_generator.state.assign(before)
assert (drop(tf.ones((1, 99)), training=True).numpy() == one.numpy()).all()
"""


@pytest.mark.slow
def test_devices_draw_different_random_numbers_the_first_those_of_one():
    subprocess.run([sys.executable, "-c", DRAWS], cwd=PROJECT, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [0, 1])
def test_sigterm_to_any_worker_stops_all_after_one_checkpoint(asked, tmp_path, alone, by_two):
    workers = start_workers(tmp_path, alone)
    wait_for_steps(tmp_path, 9)
    workers[asked].send_signal(signal.SIGTERM)
    for ended in map(end, workers):
        assert ended.status == 128 + signal.SIGTERM
        assert ended.stderr.splitlines()[-1].endswith(
            "to go on: python main.py --resume --run=runs/run --distribute=multi_worker "
            "--peer_seconds=100.0"
        )
    assert [end(worker).status for worker in start_workers(tmp_path, alone)] == [0, 0]
    assert_same_run(by_two[0], Run(tmp_path / "runs/run"), tolerance=0)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_when_a_worker_is_killed_the_other_ends_and_all_go_on(killed, tmp_path, alone, by_two):
    workers = start_workers(tmp_path, alone)
    wait_for_steps(tmp_path, 9)
    workers[killed].kill()
    at = time.monotonic()
    left = end(workers[1 - killed])
    assert time.monotonic() - at < 30
    assert end(workers[killed]).status == -signal.SIGKILL
    assert_one_line_error(left, f"worker {1 - killed} (127.0.0.1:", "--resume")
    assert [end(worker).status for worker in start_workers(tmp_path, alone)] == [0, 0]
    assert_same_run(by_two[0], Run(tmp_path / "runs/run"), tolerance=0)


@pytest.mark.slow
def test_a_loss_that_explodes_ends_all_workers_and_keeps_a_good_checkpoint(tmp_path, alone):
    flags = (*TOGETHER, "--model=irnn", "--learning_rate=1000", "--schedule=constant")
    flags = [flag for flag in flags if not flag.startswith("--clip_norm")]
    for ended in map(end, start_workers(tmp_path, alone, flags=flags)):
        assert_one_line_error(ended, "the loss is", "--clip_norm=1")
    (path,) = (tmp_path / "runs/run/checkpoints").iterdir()
    with np.load(path) as archive:
        assert all(np.isfinite(archive[n]).all() for n in archive.files if n != "progress")


@pytest.mark.slow
def test_a_worker_that_never_comes_is_named(tmp_path, alone):
    (chief,) = start_workers(tmp_path, alone, [0], (*TOGETHER, "--peer_seconds=1"))
    assert_one_line_error(end(chief), "worker 1 (127.0.0.1:", "did not come within 1 seconds")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_worker_with_other_flags_is_named_by_all(tmp_path, alone):
    addresses = free_addresses()
    workers = [
        start_worker(tmp_path, alone, addresses, index, (*TOGETHER, f"--units={6 + index}"))
        for index in range(2)
    ]
    for ended in map(end, workers):
        assert_one_line_error(ended, "worker 1 (127.0.0.1:", "has --units 7, worker 0 (127.0.0.1:")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_chief_that_never_comes_is_named(tmp_path, alone):
    (worker,) = start_workers(tmp_path, alone, [1], (*TOGETHER, "--peer_seconds=1"))
    assert_one_line_error(end(worker), "worker 0 (127.0.0.1:", "the chief, did not answer worker 1")


def ray_workers(process):
    """The processes in which Ray's workers train, in the order of their start."""
    return sorted(
        (
            each
            for each in psutil.Process(process.pid).children(recursive=True)
            if each.status() != psutil.STATUS_ZOMBIE
            and "RayTrainWorker" in " ".join(each.cmdline())
        ),
        key=lambda each: each.create_time(),
    )


@pytest.mark.slow
def test_a_worker_of_rays_that_is_killed_is_replaced(tmp_path, alone, by_two):
    pytest.importorskip("ray", reason="Ray is not installed")
    training = start(tmp_path, alone, (*TOGETHER, "--ray=local"))
    wait_for_steps(tmp_path, 9)
    ray_workers(training)[0].kill()
    ended = end(training)
    assert ended.status == 0
    assert ended.stdout.splitlines()[-1].startswith("done: ")
    assert_same_run(by_two[0], Run(tmp_path / "runs/run"), tolerance=0)
    assert not (tmp_path / "runs/run/ray").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_a_training_on_ray_leaves_a_checkpoint(number, tmp_path, alone):
    pytest.importorskip("ray", reason="Ray is not installed")
    training = start(tmp_path, alone, (*TOGETHER, "--ray=local", "--epochs=999"))
    wait_for_steps(tmp_path, 9)
    if number == signal.SIGINT:  # Which a terminal sends to all processes of a group.
        os.killpg(training.pid, number)
    else:
        training.send_signal(number)
    ended = end(training)
    assert ended.status == 128 + number
    assert "to go on: python main.py --resume --run=" in ended.stderr.splitlines()[-1]


NODES = """
import sys
from tests.conftest import start_nodes
cluster = start_nodes()
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def address(alone):
    """Where the head of a cluster of two nodes is, in the network of its own."""
    pytest.importorskip("ray", reason="Ray is not installed")
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        nodes = subprocess.Popen(
            [*alone, sys.executable, "-c", NODES],
            cwd=PROJECT,
            env=os.environ | {"RAY_TMPDIR": folder},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with nodes:
            yield nodes.stdout.readline().strip()
            nodes.communicate(timeout=100)


@pytest.mark.slow
def test_on_a_cluster_that_is_running_two_workers_train_to_the_same_weights(
    address, tmp_path, alone, by_two
):
    assert re.fullmatch(r"[\d.]+:\d+", address)
    ended = end(start(tmp_path, alone, (*TOGETHER, "--workers=2", f"--ray={address}")))
    assert ended.status == 0, ended.stderr
    run = Run(tmp_path / "runs/run")
    assert_same_run(by_two[0], run, tolerance=0)
    assert run.metrics()["training"]["replicas"] == 2
    assert not (tmp_path / "runs/run/ray").exists()
