"""A search whose trials take no time, and its results."""

import csv
import dataclasses
import random

import pytest

from configs import Config
from datasets.dataset import Spec
from tasks import task_of
from tests.conftest import CLASSIFICATION
from tuning import execution
from tuning.execution import InProcess
from tuning.results import Results
from tuning.score import Score
from tuning.search import Search, run_search
from tuning.space import parse_space

SCORE = Score(CLASSIFICATION)
TEXT_SCORE = Score(
    task_of(
        Spec("tokens", "next_token", (None,), 4, "character", ("<unk>", *"abc")),
        Config(dataset="python_manual"),
    )
)


@dataclasses.dataclass
class Trainer:
    """Replaces the training of trials: computes a score from the values, and records the calls.

    Attributes:
        configs: The `Config` of each call.
        measured: The `Config` of each model whose cost was measured.
        before: A function of the index and `Config` of a call, called before it scores.
        excess: A function of a `Config` that returns why it is over the budget, or `None`.
    """

    configs: list = dataclasses.field(default_factory=list)
    measured: list = dataclasses.field(default_factory=list)
    before: object = lambda number, config: None
    excess: object = lambda config: None

    def run_trial(self, trial, config, folder, data, executions):
        self.configs.append(config)
        try:
            self.before(len(self.configs) - 1, config)
        except ValueError as error:
            return trial.failed(error)
        score = 1 / (1 + config.units / 30 + config.dropout) + config.epochs / 100
        return dataclasses.replace(
            trial,
            status="completed",
            score=score,
            scores=(score,) * executions,
            parameters=10 * config.units,
            seconds=1.0,
        )

    def measure(self, config, spec, max_parameters=None, max_latency_ms=None):
        self.measured.append(config)
        return 10 * config.units, None, self.excess(config)


class Parallel(InProcess):
    """Runs several trials at the same time, which end in a random order.

    Args:
        max_running: Number of trials at the same time.
        seed: Seed of the order.
        kill_after: Number of trials after which `Killed` is raised, or `None`.
    """

    def __init__(self, max_running, seed=0, kill_after=None):
        super().__init__()
        self.max_running, self.kill_after = max_running, kill_after
        self._random, self._tasks = random.Random(seed), []

    @property
    def running(self):
        return len(self._tasks)

    def start(self, *task):
        assert len(self._tasks) < self.max_running
        self._tasks.append(task)

    def wait(self):
        if self.kill_after is not None and self.kill_after <= 0:
            raise Killed
        count = self._random.randrange(len(self._tasks) + 1)
        ended = [self._tasks.pop(self._random.randrange(len(self._tasks))) for _ in range(count)]
        if self.kill_after is not None:
            self.kill_after -= count
        return [execution.run_trial(*task, self._data, self._executions) for task in ended]


class Killed(BaseException):
    """Ends a search as `kill -9` does: nothing is written after it."""


@pytest.fixture
def trainer(monkeypatch):
    """A `Trainer` in place of TensorFlow. Figures and TensorBoard files are not written."""
    trainer = Trainer()
    monkeypatch.setattr("tuning.execution.run_trial", trainer.run_trial)
    monkeypatch.setattr("tuning.loop.measure", trainer.measure)
    monkeypatch.setattr(Results, "save_figures", lambda self, trials: None)
    monkeypatch.setattr(Results, "save_hparams", lambda self, trial: None)
    return trainer


SPACES = {
    "random": "units:8..64,model:lstm|gru",
    "bayesian": "dropout:0..0.5",
    "hyperband": "units:8..64,dropout:0..0.5",
    "asha": "units:8..64,dropout:0..0.5",
    "grid": "units:8..64:8,model:lstm|gru",
}
MAX_TRIALS = {"random": 7, "bayesian": 5, "hyperband": None, "asha": 9, "grid": None}


def make_search(tuner="random", space=None, max_trials=0, **options):
    """A `Search` that ends after a few trials."""
    config = options.pop("config", Config(dataset="digits", model="basic_rnn", epochs=3))
    space = parse_space(space or SPACES[tuner])
    return Search(config, space, tuner, max_trials or MAX_TRIALS[tuner], **options)


@pytest.fixture
def search(data, tmp_path):
    """Run a search with the arguments of `make_search`; return the rows of its `trials.csv`."""

    def run(*arguments, folder="tune-it", workers=None, **options):
        run_search(make_search(*arguments, **options), tmp_path / folder, data, workers)
        return rows_of(tmp_path / folder)

    return run


def rows_of(folder):
    """The rows of a `trials.csv` as dicts of strings."""
    with open(folder / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))
