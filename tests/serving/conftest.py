"""Servers in their own processes, with exported models that have random weights."""

import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import requests

from configs import Config
from datasets.dataset import Spec
from export.saved_model import export
from models import create_model
from tasks import task_of
from tests.conftest import CLASSIFICATION, PROJECT, random_model

MODELS = ["lstm", "basic_rnn"]
CHARACTERS = ("<unk>", *' \n"abcdefghijklmnop.,Жя')
WORDS = ("<unk>", "<eos>", "one", "two", "three", "four", "five", "six")

# JavaScript: the controls that stick out of the element around them.
STICKING_OUT = """[...document.querySelectorAll("button, select, input, textarea")]
  .filter((it) => it.offsetParent)
  .filter((it) => it.getBoundingClientRect().right
    > it.parentElement.getBoundingClientRect().right + 0.5)
  .map((it) => it.id || it.className)"""


class Server:
    """A running `serve.py`.

    Attributes:
        url: The address of its REST API.
        grpc: The address of its gRPC services, `host:port`.
    """

    def __init__(self, folder, *flags):
        self.process = subprocess.Popen(
            [
                *(sys.executable, PROJECT / "serve.py", f"--saved_models_dir={folder}"),
                *("--rest_api_port=0", "--port=0", "--poll_seconds=0.1", *flags),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = []
        line = next(line for line in self.process.stdout if line.startswith("REST"))
        self.url, self.grpc = re.fullmatch(r".* (http:\S+), gRPC: (\S+)\n", line).groups()
        # Read its output, because a full pipe would block it.
        self._listening = threading.Thread(target=lambda: self.said.extend(self.process.stdout))
        self._listening.start()

    def wait_until(self, is_so, seconds=60):
        """Wait until a function returns something true, and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if answer := is_so():
                return answer
            time.sleep(0.05)
        raise AssertionError(f"not so within {seconds} seconds")

    def is_ready(self):
        return self.get("/readyz").status_code == 200

    def get(self, path, **options):
        return requests.get(self.url + path, timeout=60, **options)

    def post(self, path, json=None, **options):
        return requests.post(self.url + path, json=json, timeout=60, **options)

    def options(self, path, **options):
        return requests.options(self.url + path, timeout=60, **options)

    def predict(self, model="lstm", **body):
        return self.post(f"/v1/models/{model}:predict", body)

    def states(self, model="lstm"):
        """The states of a model's versions by number."""
        answer = self.get(f"/v1/models/{model}").json()
        return {v["version"]: v["state"] for v in answer.get("model_version_status", [])}

    def stop(self):
        """Stop the server if it still runs, and return its exit status."""
        self.process.terminate()
        status = self.process.wait(60)
        self._listening.join()
        self.process.stdout.close()
        return status


def random_text_model(folder, name, model="lstm", symbols=CHARACTERS, step="character", seed=1):
    """Export a model of random weights with 6 units that reads text, and return it."""
    dataset = "python_manual"
    spec = Spec("tokens", "next_token", (None,), len(symbols), step, symbols)
    config = Config(model=model, units=6, dataset=dataset)
    created = create_model(config, spec)
    random = np.random.default_rng(seed)
    created.set_weights([random.normal(scale=0.9, size=w.shape) for w in created.weights])
    card = {
        "config": {"units": 6, "layers": 1, "scan": "rows", "dataset": dataset},
        "dataset": {"spec": {"reads": "tokens", "step": step}},
        "metrics": {"perplexity": 4.0, f"bits_per_{step}": 2.0, f"{step}s": 1000, "accuracy": 0.5},
    }
    export(created, task_of(spec, config), folder / name, card)
    return created


def surprise(model, text, symbols=CHARACTERS):
    """The ids of a text, and what a live model says of it.

    Returns:
        The ids, `(steps,)`; the bits of each symbol, 0 for the first, `(steps,)`; and the
        probabilities of the next symbol after each, `(steps, symbols)`.
    """
    ids = np.array([symbols.index(s) if s in symbols else 0 for s in text])
    shares = softmax(np.asarray(model(ids[None])[0], np.float64))
    bits = -np.log2(shares[np.arange(len(ids) - 1), ids[1:]])
    return ids, np.concatenate([[0], bits]), shares


@pytest.fixture(scope="session")
def models():
    """Models by name, with random weights and 7 classes."""
    return {name: random_model(model=name) for name in MODELS}


@pytest.fixture(scope="session")
def exported(models, tmp_path_factory):
    """A folder with version 1 of every model."""
    folder = tmp_path_factory.mktemp("exported")
    for name, model in models.items():
        export(model, CLASSIFICATION, folder / name, card={"run": name})
    return folder


@pytest.fixture
def saved_models(exported, tmp_path):
    """A copy of that folder, which a test may change."""
    return pathlib.Path(shutil.copytree(exported, tmp_path / "saved_models"))


@pytest.fixture(scope="session")
def server(exported):
    """A server of all models, for tests that do not change it."""
    running = Server(exported)
    running.wait_until(running.is_ready)
    yield running
    running.stop()


@pytest.fixture
def start():
    """Start servers that are stopped after the test."""
    running = []

    def start(folder, *flags):
        running.append(Server(folder, *flags))
        running[-1].wait_until(running[-1].is_ready)
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def browser():
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield browser
        browser.close()


def images(count, seed=0):
    """Random images, `(count, 28, 28)`."""
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28))


def digits(count):
    """Random images in MNIST's form, which `serving_bytes` does not change."""
    return np.pad(images(count)[:, :18, :18], ((0, 0), (5, 5), (5, 5)))


def softmax(logits):
    shares = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)
