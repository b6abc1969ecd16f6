"""What the tests share: a handful of images, and the program itself."""

import os

# Before anything imports TensorFlow or reads a default from the environment.
if "MNIST_DIR" in os.environ:  # Renamed, since it would change what the program does by default.
    os.environ["TEST_MNIST_DIR"] = os.environ.pop("MNIST_DIR")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import signal
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import psutil
import pytest
from absl import flags
from absl.testing import flagsaver

import main
from configs import Config, run_script
from datasets import ArraySplit, Dataset
from datasets.dataset import images_spec
from tasks import task_of

MNIST = images_spec(classes=10)
CLASSIFICATION = task_of(MNIST, Config())
PROJECT = pathlib.Path(__file__).parent.parent

# In the background a shell has its programs ignore Ctrl-C, and so would those that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Result(NamedTuple):
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


def random_split(size, classes, seed):
    """An `ArraySplit` of random images with every class in it, if `size` allows."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (size, 28, 28), dtype=np.uint8)
    return ArraySplit(images, np.arange(size, dtype=np.int64) % classes)


def random_model(classes=7, **values):
    """A model with random weights, so that none of its parts is silent; 6 units by default."""
    from models import create_model

    # The outputs of a fully recurrent network are units.
    units = classes + 1 if values.get("model") == "fully_recurrent" else 6
    model = create_model(Config(**{"units": units} | values), images_spec(classes))
    random = np.random.default_rng(1)
    model.set_weights([random.normal(scale=0.5, size=w.shape) for w in model.weights])
    return model


@pytest.fixture(autouse=True)
def not_deterministic():
    """Undo what a training in this process has set, with which Keras refuses `jit_compile`."""
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework import config

        config.disable_op_determinism()


@pytest.fixture
def nothing_left():
    """Kill the programs that a failed test has left to run."""
    yield
    for child in psutil.Process().children():
        if {str(PROJECT / "main.py"), str(PROJECT / "tune.py")} & {*child.cmdline()}:
            child.kill()


@pytest.fixture(scope="session")
def data():
    """A `Dataset` of random images: 37 to train on, 11 to validate on, 23 to test on; 7 classes."""
    train, validation, test = (random_split(n, 7, seed=n) for n in (37, 11, 23))
    return Dataset("random", "drawn at random", images_spec(7), train, validation, test)


@pytest.fixture
def run_main(tmp_path, monkeypatch, capfd):
    """Run `main.py` with flags in this process, on the embedded digits, in a temporary folder."""

    def run(*arguments):
        monkeypatch.chdir(tmp_path)
        # A later flag wins; an evaluation takes the dataset of its run.
        dataset = [] if "--mode=export" in arguments else ["--dataset=digits"]
        monkeypatch.setattr(sys, "argv", ["main.py", *dataset, *arguments])
        status = 0
        with flagsaver.flagsaver():
            flags.FLAGS.unparse_flags()
            try:
                run_script(main.main)
            except SystemExit as end:
                status = end.code or 0
                if isinstance(status, str):  # Python prints such a status and exits with 1.
                    print(status, file=sys.stderr)
                    status = 1
        return Result(status, *capfd.readouterr())

    return run


@pytest.fixture
def call_main(tmp_path):
    """Run `python main.py` with flags in a process of its own, in a temporary folder."""

    def call(*arguments, **environment):
        done = subprocess.run(
            [sys.executable, PROJECT / "main.py", *arguments],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def run_benchmark():
    """Run a benchmark on the embedded digits; gives what it prints. Speed is no test's business."""

    def run(name, *arguments, dataset=("--dataset=digits",), prefix=()):
        command = [*prefix, sys.executable, "-m", f"benchmarks.{name}", *dataset, *arguments]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
        return done.stdout

    return run


@pytest.fixture(scope="module")
def alone():
    """What a command begins with to run in a network where there is this machine alone."""
    command = "ip link set lo up && echo up && exec sleep 9999"
    try:
        holder = subprocess.Popen(
            ["unshare", "--map-root-user", "--net", "sh", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare, to make a network of its own")
    with holder:
        if holder.stdout.readline() != "up\n":
            pytest.skip("this user cannot make a network of its own")
        target = f"--target={holder.pid}"
        yield ["nsenter", target, "--user", "--net", "--preserve-credentials", "--wd=."]
        holder.kill()


def start_nodes():
    """Start two nodes of Ray on this machine, with a processor each; Ray's `Cluster` of them."""
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    cluster.add_node(**options)
    cluster.wait_for_nodes()
    return cluster


def pytest_collection_modifyitems(items):
    for item in items:
        if "mnist_dir" in item.fixturenames:  # Which TFDS takes half a minute to prepare.
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def mnist_dir():
    """The folder with MNIST's four original files, where there is one."""
    if "TEST_MNIST_DIR" not in os.environ:
        pytest.skip("MNIST_DIR does not name the folder of MNIST's four original .gz files")
    return pathlib.Path(os.environ["TEST_MNIST_DIR"])


@pytest.fixture(scope="session")
def text_dir():
    """The folder with original texts, such as `time_machine/timemachine.txt`, if there is one."""
    if "TEXT_DIR" not in os.environ:
        pytest.skip("TEXT_DIR does not name the folder of time_machine/, shakespeare/ and ptb/")
    return pathlib.Path(os.environ["TEXT_DIR"])


def assert_one_line_error(result, *expected):
    """The command failed, and told why in one line that holds all of `expected`."""
    assert result.status not in (0, None)
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    for text in ("expected", *expected):
        assert text in line
