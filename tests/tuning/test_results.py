import dataclasses
import math

import pytest

from configs import Config
from tests.tuning.conftest import SCORE, TEXT_SCORE, rows_of
from tuning.results import Results
from tuning.space import parse_space
from tuning.table import Table, best_of_each, print_summary
from tuning.trial import Trial, best_of

SPACE = parse_space(
    "learning_rate:1e-4..1e-2:log,units:8|16,model:lstm|gru,schedule:constant|cosine"
)
VALUES = {"learning_rate": 1 / 300, "units": 16, "model": "gru", "schedule": "cosine"}
TRIALS = [
    Trial(0, "completed", VALUES, 0.1 + 0.2, (0.1, 0.2), 182, 0.123456789, 12.5, 3, 1),
    Trial(1, "rejected", VALUES, parameters=999, epochs=3, known_at=3, reason='too, "much"'),
    Trial(2, "running", VALUES, parameters=99, epochs=3),
]


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path, SPACE, SCORE)


def test_trials_are_read_back_with_equal_bits(results):
    saved = []
    for trial in TRIALS:
        results.save(saved, trial)
    assert saved == results.read() == TRIALS
    ended = Trial(2, "completed", VALUES, 0.5, (0.5,), 99, None, 1.0, 3, 3)
    results.save(saved, ended)
    assert results.read() == [*TRIALS[:2], ended]
    assert rows_of(results.folder)[0]["learning_rate"] == "0.0033333333333333335"


def test_tensorboard_shows_the_values_and_the_score_of_a_trial(results):
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    for _ in range(2):  # After a kill it is written again.
        results.save_hparams(TRIALS[0])
    assert len(list((results.folder / "hparams/0000").iterdir())) == 1
    events = EventAccumulator(str(results.folder / "hparams/0000")).Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    shown = metadata.parse_session_start_info_plugin_data(content).hparams
    assert shown["learning_rate"].number_value == 1 / 300
    assert shown["model"].string_value == "gru"
    assert shown["epochs"].number_value == 3
    (score,) = events.Tensors("validation score")
    assert tf.make_ndarray(score.tensor_proto) == pytest.approx(0.3)


def test_a_log_likelihood_is_printed_as_a_perplexity(tmp_path, capsys):
    results = Results(tmp_path, SPACE, TEXT_SCORE)
    trial = dataclasses.replace(TRIALS[0], score=-math.log(9.21), scores=(-math.log(9.21),))
    saved = []
    results.save(saved, trial)
    results.save_best(trial, Config(), {})
    assert "0: validation perplexity 9.21." in results.best_path.read_text().replace(
        f" of {tmp_path}", ""
    )
    table = Table(TEXT_SCORE)
    table.end(trial)
    table.end(dataclasses.replace(trial, number=1, score=-math.log(9.2)))
    print_summary(results, trial)
    first, second, _, best, *_, done = capsys.readouterr().out.splitlines()
    assert first.startswith("   0  completed  perplexity 9.21  ")
    assert second.startswith("   1  completed  perplexity 9.2  ")
    assert first.endswith("best so far")
    assert second.endswith("best so far")  # A lower perplexity is a higher score.
    assert best.startswith("   0  completed  perplexity 9.21  ")
    assert done == f"done: validation perplexity 9.21 in trial 0, see {tmp_path}"


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.7), (-431.4, -2.2)])
def test_the_best_is_the_first_completed_trial_with_the_highest_score(low, high):
    trials = [
        Trial(number, status, {}, score)
        for number, (status, score) in enumerate(
            [("failed", None), ("completed", low), ("completed", high), ("completed", high)]
        )
    ]
    assert best_of([*trials, Trial(4, "repeated", {}, high + 0.1)]).number == 2
    assert best_of(trials[:1]) is None


class Terminal:
    """A stream that may be a terminal, and keeps its text."""

    def __init__(self, is_terminal):
        self.is_terminal, self.text = is_terminal, ""

    def isatty(self):
        return self.is_terminal

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_a_log_has_a_line_for_each_draw_with_its_values_score_and_reason():
    log = Terminal(is_terminal=False)
    table = Table(SCORE, log)
    table.begin(TRIALS[0])
    table.end(TRIALS[0])
    table.end(TRIALS[1])
    first, second = log.text.splitlines()
    for words in ("0  completed", "30.00%", "12 s", "182", "learning_rate=0.003333", "best so far"):
        assert words in first
    assert second.endswith('model=gru schedule=cosine  (too, "much")')


def test_a_line_on_a_terminal_is_cut_to_its_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    terminal = Terminal(is_terminal=True)
    table = Table(SCORE, terminal)
    table.end(TRIALS[0])
    table.begin(TRIALS[2])
    line = terminal.text.split("\n")[-1].removeprefix("\r\x1b[2K")
    assert line.startswith("best 30.00% in 0;    2")
    assert len(line) == 29


def test_a_terminal_shows_the_running_trials_and_the_best(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    terminal = Terminal(is_terminal=True)
    table = Table(SCORE, terminal)
    table.end(TRIALS[0])
    table.begin(TRIALS[2])
    assert terminal.text.split("\n")[-1].startswith("\r\x1b[2Kbest 30.00% in 0;    2  running")
    assert not terminal.text.endswith("\n")
    table.begin(dataclasses.replace(TRIALS[2], number=3))
    assert "  3  running" in terminal.text.split("\r")[-1]
    assert terminal.text.endswith("  and 1 more")
    table.end(TRIALS[2])
    assert terminal.text.count("\n") == 2
    assert "  3  running" in terminal.text.split("\n")[-1]


def test_the_summary_names_the_best_of_each_model_the_figures_the_command_and_the_score(
    results, capsys
):
    saved = []
    for trial in TRIALS:
        results.save(saved, trial)
    results.save_best(TRIALS[0], Config(units=16), {"THREADS": "1"})
    for name in ("scores.png", "importance.png"):
        (results.folder / name).touch()
    print_summary(results, TRIALS[0])
    title, best, *lines = capsys.readouterr().out.splitlines()
    assert title == "the best of each model:"
    assert best.split()[:3] == ["0", "completed", "30.00%"]
    assert lines == [
        f"pictures: {results.folder}/importance.png, scores.png",
        f"to repeat the best: THREADS=1 python main.py --flagfile={results.folder}/best.flags",
        f"done: validation accuracy 30.00% in trial 0, see {results.folder}",
    ]


def test_the_best_of_each_model_is_listed_with_the_best_first():
    scores = [("lstm", 0.5), ("gru", 0.9), ("lstm", 0.7), ("irnn", None), ("gru", 0.8)]
    trials = [
        Trial(number, "completed" if score else "failed", {"model": model}, score, (score,))
        for number, (model, score) in enumerate(scores)
    ]
    lines = best_of_each("model", trials, SCORE).splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"]
    assert "90.00%" in lines[0]
