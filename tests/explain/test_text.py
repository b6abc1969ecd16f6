"""The figures of networks that read a text, compared with independent computations."""

import numpy as np
import pytest

from configs import Config
from datasets import StreamSplit
from datasets.dataset import Spec
from explain import features, text
from explain.explanation import Subject, explain
from explain.report import Report
from models import create_model

VOCABULARY = ("<unk>", *"abcDE \n'")
WORDS = ("<unk>", "<eos>", "The", "end", "(of", "it)", "a")


def random_subject(model="basic_rnn", name="it", vocabulary=VOCABULARY, units=6, **values):
    """A `Subject` with random weights."""
    tokens = "words" if vocabulary == WORDS else "characters"
    config = Config(dataset="python_manual", model=model, units=units, tokens=tokens, **values)
    spec = Spec("tokens", "next_token", (None,), len(vocabulary), tokens[:-1], vocabulary)
    network = create_model(config, spec)
    random = np.random.default_rng(1)
    network.set_weights([random.normal(scale=0.7, size=w.shape) for w in network.weights])
    return Subject(name, network, config, vocabulary)


def random_text(size, vocabulary=VOCABULARY):
    symbols = np.random.default_rng(0).integers(len(vocabulary), size=size)
    return StreamSplit.of_symbols(symbols.astype(np.int32), steps=5)


def set_weights(subject, **weights):
    """Replace weights of the recurrent layer, by name, and of the head: `head`."""
    recurrent, head = subject.model.layers[-2:]
    for weight in recurrent.trainable_weights:
        if weight.name in weights:
            weight.assign(weights[weight.name])
    if "head" in weights:
        head.kernel.assign(weights["head"])


def float64_weights(subject):
    return [
        w.astype(np.float64) for layer in subject.model.layers[-2:] for w in layer.get_weights()
    ]


def log_softmax(a):
    return a - np.log(np.exp(a).sum(axis=-1, keepdims=True))


def marks(values):
    return "".join("x" if value else "." for value in values)


def test_quotations_brackets_and_capitals_are_found_in_a_text():
    shown = "He: 'I can't (yet)', 'No.'\nA"
    found = features.features(list(shown), "character")
    assert marks(found["inside quotation marks"]) == "....xxxxxxxxxxxxxx...xxxx..."
    assert marks(found["inside brackets"]) == ".............xxxx..........."
    assert marks(found["capital letter"]) == "x....x................x....x"
    assert marks(found["line end"]) == "..........................x."
    assert found["position in the word"][:10].tolist() == [1, 2, 0, 0, 0, 1, 0, 1, 2, 3]
    assert found["position in the line"][-3:].tolist() == [26, 0, 1]
    assert "digit" not in found


def test_a_quotation_that_is_not_closed_ends_with_its_paragraph():
    found = features.features(list("a 'b\nc (d\n\ne 'f' g"), "character")
    assert marks(found["inside quotation marks"]) == "..xxxxxxxx...xx..."
    assert marks(found["inside brackets"]) == ".......xxx........"


def test_the_features_of_words_are_those_of_their_letters():
    words = ["The", "'old", "man'", "(of", "it)", "<eos>", "2", "'tis"]
    found = features.features(words, "word")
    assert marks(found["inside quotation marks"]) == ".xx....x"
    assert marks(found["inside brackets"]) == "...xx..."
    assert marks(found["capital letter"]) == "x......."
    assert found["position in the line"].tolist() == [1, 2, 3, 4, 5, 0, 1, 2]
    assert not {"space", "position in the word"} & set(found)
    assert features.kinds(words).tolist()[-3:] == ["line end", "digit", "other"]


def test_correlations_are_pearsons():
    random = np.random.default_rng(0)
    values, feature = random.normal(size=(50, 4)), random.normal(size=50)
    values[:, 3] = 7
    found = features.correlations(values, feature)
    expected = [np.corrcoef(values[:, unit], feature)[0, 1] for unit in range(3)]
    np.testing.assert_allclose(found, [*expected, 0], atol=1e-12)


def test_the_correlation_of_the_best_unit_is_not_that_by_which_it_was_chosen():
    random = np.random.default_rng(0)
    feature, values = random.normal(size=4000), random.normal(size=(4000, 3))
    values[:2000, 1] = feature[:2000]  # Lucky on the first half only.
    values[2000:, 2] = feature[2000:]
    unit, correlation = features.best_unit(values, feature)
    assert unit == 1
    assert abs(correlation) < 0.1


def test_a_unit_that_copies_a_feature_is_found():
    subject, kernel = random_subject(units=5), np.zeros((len(VOCABULARY), 5))
    kernel[:, 2] = np.where(np.isin(VOCABULARY, [" "]), 2, -2)
    kernel[:, 4] = np.where(np.isin(VOCABULARY, ["D", "E"]), -2, 2)
    kernel[:, [0, 1, 3]] = np.random.default_rng(0).normal(size=(len(VOCABULARY), 3))
    set_weights(subject, kernel=kernel, recurrent_kernel=np.zeros((5, 5)), bias=np.zeros(5))
    readings = {"it": text.TextReading(subject, random_text(400), 0)}
    found = text.find_units(readings, "character")
    for feature, unit, expected in [("space", "hidden 2", 1), ("capital letter", "hidden 4", -1)]:
        wanted, ((name, values, correlation),) = found[feature]
        assert name == unit
        assert correlation == pytest.approx(expected, abs=1e-5)
        assert np.corrcoef(values, wanted)[0, 1] == pytest.approx(expected, abs=1e-5)
    assert abs(found["inside quotation marks"][1][0][2]) < 0.9
    # The strips show the second half, over which r is computed.
    assert text._most_varied(found["space"][0], 80) >= 200


@pytest.mark.parametrize("model", ["basic_rnn", "lstm"])
def test_the_loss_of_a_context_is_that_of_a_network_that_reads_nothing_else(model):
    subject, symbols = random_subject(model), random_text(31).symbols
    found, count = text.context_losses(subject.task, subject.model, symbols)
    assert list(found) == [1, 2, 5, 10]
    assert count == 21
    for context, loss in found.items():
        read = np.stack([symbols[end - context : end] for end in range(10, 31)])
        logs = log_softmax(subject.model(read).numpy()[:, -1])
        assert loss == pytest.approx(-np.mean(logs[range(21), symbols[10:]]), rel=1e-4)


@pytest.mark.parametrize("back", [1, 2])
def test_the_curve_is_flat_after_the_symbols_that_a_network_looks_back(back):
    size = len(VOCABULARY)
    subject = random_subject(units=2 * size)
    # The first half of the units holds the last symbol, the other half the one before it.
    kernel, recurrent = np.zeros((size, 2 * size)), np.zeros((2 * size, 2 * size))
    kernel[:, :size] = 5 * np.eye(size)
    recurrent[:size, size:] = 5 * np.eye(size)
    head = np.random.default_rng(0).normal(size=(2 * size, size))
    head[back * size :] = 0
    set_weights(
        subject, kernel=kernel, recurrent_kernel=recurrent, bias=np.zeros(2 * size), head=head
    )
    losses, _ = text.context_losses(subject.task, subject.model, random_text(900).symbols)
    flat = [loss for context, loss in losses.items() if context >= back]
    np.testing.assert_allclose(flat, flat[0], rtol=1e-6)
    if back == 2:
        assert abs(losses[1] - losses[2]) > 0.05


def test_gradients_back_are_those_of_finite_differences():
    subject, symbols = random_subject(units=3), random_text(59).symbols
    found, count = text.gradients_back(subject.task, subject.model, symbols, lags=3)
    assert list(found) == ["hidden"]
    assert count == 5
    W, U, b, V, c = float64_weights(subject)

    def loss(begin, at, change):
        h = np.zeros(3)
        for n, symbol in enumerate(symbols[begin : begin + 54]):
            h = np.tanh(W[symbol] + h @ U + b) + (change if n == at else 0)
        return -log_softmax(h @ V + c)[symbols[begin + 54]]

    for lag in range(4):
        norms = []
        for begin in range(5):
            gradient = [
                (loss(begin, 53 - lag, change) - loss(begin, 53 - lag, -change)) / 2e-5
                for change in 1e-5 * np.eye(3)
            ]
            norms.append(np.linalg.norm(gradient))
        assert found["hidden"][lag] == pytest.approx(np.mean(norms), rel=1e-3)


@pytest.mark.parametrize("model", ["lstm", "basic_rnn"])
def test_the_surprise_of_a_passage_is_that_of_the_text_before_it(model, monkeypatch):
    monkeypatch.setattr(text, "_BEFORE", 20)
    monkeypatch.setattr(text, "_TRACED", 60)
    subject, test = random_subject(model), random_text(200)
    reading = text.TextReading(subject, test, index=9)
    part = test.symbols[25:85]  # The passage begins at 45.
    assert reading.first == 20
    assert reading.symbols == [VOCABULARY[symbol] for symbol in part]
    logs = log_softmax(subject.model(part[None]).numpy()[0].astype(np.float64))
    assert np.isnan(reading.bits[0])
    expected = -np.take_along_axis(logs[:-1], part[1:, None], axis=-1)[:, 0] / np.log(2)
    np.testing.assert_allclose(reading.bits[1:], expected, rtol=1e-4)
    # Near the end of the text, it is read from earlier on.
    late = text.TextReading(subject, test, index=38)
    assert (late.first, len(late.symbols)) == (50, 60)
    # A large vocabulary leaves room for fewer symbols.
    monkeypatch.setattr(text, "_MAX_PROBABILITIES", 30 * len(VOCABULARY))
    few = text.TextReading(subject, test, index=9)
    assert (few.first, few.symbols) == (15, reading.symbols[5:35])
    # The text begins with a symbol that is not predicted, so the passage begins with the second.
    assert text.TextReading(subject, test, index=0).first == 1


def test_a_gate_that_opens_at_spaces_is_shown_as_open_there():
    subject = random_subject("lstm", units=2)
    kernel = np.zeros((len(VOCABULARY), 8))
    kernel[:, 2:4] = np.where(np.isin(VOCABULARY, [" "]), 9, -9)[:, None]  # The forget gate.
    set_weights(subject, kernel=kernel, recurrent_kernel=np.zeros((2, 8)), bias=np.zeros(8))
    means = text.mean_gates(text.TextReading(subject, random_text(200), 0))
    assert set(means) == {"input_gate", "forget_gate", "output_gate"}
    assert list(means["forget_gate"]) == [
        *("lower case", "capital letter", "space", "line end", "other")
    ]
    for kind, mean in means["forget_gate"].items():
        assert mean == pytest.approx(1.0 if kind == "space" else 0.0, abs=1e-3)
    assert set(means["input_gate"].values()) == {0.5}


@pytest.fixture
def drawn(monkeypatch):
    """The captions of all figures by name. Nothing is rendered, which takes long."""
    captions = {}
    monkeypatch.setattr(
        Report, "figure", lambda _, name, figure, caption: captions.update({name: caption})
    )
    return captions


@pytest.fixture
def fast(monkeypatch):
    """Do not compute the values that other tests check."""
    monkeypatch.setattr(text, "context_losses", lambda *_: ({1: 2.0, 5: 1.0}, 7))
    monkeypatch.setattr(text, "gradients_back", lambda *_: ({"hidden": np.ones(3)}, 7))


@pytest.mark.parametrize("vocabulary", [VOCABULARY, WORDS])
def test_a_report_on_a_text_compares_the_networks_and_names_what_it_leaves_out(
    vocabulary, drawn, fast, tmp_path
):
    models = ("lstm", "basic_rnn")
    subjects = [random_subject(model, f"my {model}", vocabulary) for model in models]
    test = random_text(700, vocabulary)
    page = explain(subjects, test, tmp_path / "explanation", image=3, images=100).read_text()
    assert set(drawn) == {
        *("passage", "context", "gradients-back", "units", "gates", "surprise-1", "surprise-2"),
    }
    for name in ("passage", "context", "gradients-back", "units"):
        assert drawn[name].startswith("my lstm, my basic_rnn: ")
    assert drawn["gates"].startswith("my lstm: ")
    assert drawn["surprise-2"].startswith("my basic_rnn: ")
    step = "word" if vocabulary == WORDS else "character"
    titles = [line[4:-5] for line in page.splitlines() if line.startswith("<h2>")]
    assert titles == [
        "How it reads a passage",
        "How much context it uses",
        "Gradients through time",
        "Units with a clear meaning",
        f"Gates by kind of {step}",
        f"Surprise of each {step}",
    ]
    assert "because the networks answer at every step: the score without each gate." in page
    assert "because the answers are not classes: the hardest examples" in page
    assert "because sequences are not images: the score without each row" in page
    assert "no gates" not in page
    for subject in subjects:
        assert f"{subject.name}: perplexity " in page
    assert f" on 699 test {step}s" in page


def test_a_report_on_networks_without_gates_says_so(drawn, fast, tmp_path):
    test = random_text(300)
    page = explain([random_subject()], test, tmp_path / "explanation", images=100).read_text()
    assert "gates" not in drawn
    assert "Left out, because the cells have no gates: the gates by kind of symbol." in page
    assert "Gates by" not in page


@pytest.mark.slow
def test_a_short_text_and_several_layers_are_explained(drawn, tmp_path):
    subject = random_subject("lstm", layers=2, embedding_size=6, tie_embeddings=True)
    explain([subject], random_text(12), tmp_path / "explanation")
    assert {"passage", "context", "gradients-back", "units", "gates"} <= set(drawn)


def test_the_text_is_written_below_the_bits_of_its_symbols():
    subject, test = random_subject(), random_text(300)
    readings = {name: text.TextReading(subject, test, 2) for name in ("one", "two")}
    figure = text.draw_passage(readings, "character")
    reading = readings["one"]
    first, *_, last = figure.axes
    shown = "".join(label.get_text() for label in first.get_xticklabels())
    begin = reading.first
    assert shown == "".join(reading.symbols[begin : begin + 80]).replace("\n", "↵")
    np.testing.assert_allclose(first.lines[1].get_ydata()[:-1], reading.bits[begin : begin + 80])
    assert len(last.lines[0].get_ydata()) == 300 - begin - 3 * 80 + 1
