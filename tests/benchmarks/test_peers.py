"""The benchmarks with peers, with PyTorch and JAX; run by `make test-bench`."""

import concurrent.futures
import dataclasses
import functools
import importlib.util
import json
import multiprocessing
import sys

import pytest

from benchmarks.peers import trainers
from configs import Config

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("torch") and importlib.util.find_spec("jax")),
    reason="PyTorch and JAX are not installed: make test-bench",
)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Give PyTorch one thread: two that wait for each other are slow beside other tests."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """The flags of a small dataset that TensorFlow reads, as it reads MNIST."""
    from tests.datasets.test_tfds_images import store_letters  # It imports TensorFlow.

    folder = tmp_path_factory.mktemp("letters")
    store_letters(folder)
    return {"dataset": "emnist/letters", "data_dir": str(folder)}


@pytest.fixture
def measure(run_benchmark, letters, tmp_path):
    """Run a small benchmark once; returns its output and the results in its JSON."""

    def run(name, *flags):
        small = ("--turns=1", "--units=3", "--batch_size=8", f"--json={tmp_path}/figures.json")
        dataset = [f"--{name}={value}" for name, value in letters.items()]
        output = run_benchmark(name, *small, *flags, dataset=dataset)
        return output, json.loads((tmp_path / "figures.json").read_text())["results"]

    return run


# All kinds of networks in PyTorch.
NETWORKS = [
    {},
    {"compute_dtype": "bfloat16"},
    {"scan": "pixels"},
    {"model": "basic_rnn"},
    {"model": "bidirectional_lstm"},
]


def loaded_after(config, prepares):
    """Do a turn of each contender and one request; returns the amounts and loaded frameworks."""
    from benchmarks.infer import prepare_torch

    prepares = (*prepares, functools.partial(prepare_torch, config, 2, 0))
    frameworks = ("tensorflow", "keras", "jax", "torch")
    return [prepare()() for prepare in prepares], [f for f in frameworks if f in sys.modules]


def test_the_process_of_pytorch_does_not_load_other_frameworks(letters):
    config = Config(model="lstm", **letters, units=3, batch_size=8)
    prepares = [
        trainers(dataclasses.replace(config, **network), 1, ["PyTorch"])["PyTorch"]
        for network in NETWORKS
    ]
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as process:
        amounts, loaded = process.submit(loaded_after, config, prepares).result()
    assert amounts == [8, 8, 8, 8, 8, 1]
    assert loaded == ["torch"]


def test_training_is_compared_with_keras_pytorch_and_jax(measure):
    output, results = measure("train", "--work=lstm", "--turn_steps=1")
    (row,) = (line for line in output.splitlines() if line.startswith("| lstm | "))
    assert "–" not in row
    assert {*results["training images/s"]["lstm"]} == {"ours", "Keras", "PyTorch", "JAX"}


def test_training_on_a_text_is_compared_with_keras_pytorch_and_jax(measure):
    text = ("--dataset=python_manual", "--steps_per_batch=5", "--layers=2")
    output, results = measure("train", *text, "--work=lstm,basic_rnn,gru", "--turn_steps=2")
    rows = [line for line in output.splitlines() if line.startswith("| ")]
    assert "symbols/s" in rows[0]
    assert ["–" in row for row in rows[-3:]] == [False, False, True]  # PyTorch has another GRU.
    assert {*results["training symbols/s"]["lstm"]} == {"ours", "Keras", "PyTorch", "JAX"}


def test_sizes_are_compared_with_keras_and_pytorch(measure, tmp_path):
    sizes = ("--over_units=64", "--over_batches=40", "--units=64", "--batch_size=40")
    _, results = measure("sizes", *sizes, "--turn_steps=1", f"--picture={tmp_path}/sizes.png")
    assert {*results["units"]["64"]} == {"ours", "Keras", "PyTorch"}


def test_answers_are_compared_with_keras_and_pytorch(measure):
    output, results = measure("infer", "--turn_seconds=0", "--models=lstm", "--images=2")
    (row,) = (line for line in output.splitlines() if line.startswith("| lstm | 2 | "))
    assert "–" not in row
    assert {*results["requests/s"]["lstm, 2"]} == {"ours", "Keras", "predict", "PyTorch"}
