"""Networks that read generated sequences, compared with independent computations."""

import numpy as np
import pytest
import tensorflow as tf

from configs import Config
from datasets import ArraySplit, lags, load
from explain import explanation, gates, gradients, mistakes, reading
from explain.explanation import Subject, explain
from explain.report import Report
from models import create_model
from tests.conftest import random_model, random_split

UNITS = 5


def subject_and_test(dataset, model="lstm"):
    """A `Subject` with random weights and 120 examples of its dataset's test split."""
    config = Config(dataset=dataset, length=12, model=model, units=UNITS)
    data = lags.read(config, lambda: load(Config(dataset="digits")))
    network = create_model(config, data.spec)
    random = np.random.default_rng(1)
    network.set_weights([random.normal(scale=0.7, size=w.shape) for w in network.weights])
    return Subject("it", network, config), data.test[:120]


DATASETS = ("adding", "temporal_order", "first_row")


@pytest.fixture(scope="module", params=DATASETS)
def subject_of(request):
    return subject_and_test(request.param)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softmax(a):
    return np.exp(a) / np.exp(a).sum(axis=-1, keepdims=True)


PREDICTIONS = {"adding": lambda a: a, "temporal_order": softmax, "first_row": sigmoid}


@pytest.mark.parametrize(
    ("dataset", "model"),
    [*((dataset, "lstm") for dataset in DATASETS), ("adding", "bidirectional_gru")],
)
def test_the_answer_after_a_step_is_that_to_the_sequence_until_there(dataset, model):
    subject, test = subject_and_test(dataset, model)
    sequences = test.inputs[:6]
    found = subject.read(sequences)[subject.task.output]
    assert found.shape == (6, sequences.shape[1], subject.spec.size)
    for step in (1, 7, sequences.shape[1]):
        expected = PREDICTIONS[dataset](subject.model(sequences[:, :step]).numpy())
        np.testing.assert_allclose(found[:, step - 1], expected, rtol=1e-4, atol=1e-5)


def outputs_without_forgetting(model, sequences):
    """What an LSTM answers in float64 if its forget gate is 1 at each step."""
    (W, U, b), (V, c) = (
        [w.astype(np.float64) for w in layer.get_weights()] for layer in model.layers[-2:]
    )
    h = cell = np.zeros((len(sequences), UNITS))
    for x in sequences.swapaxes(0, 1):
        i, _, g, o = np.split(x @ W + h @ U + b, 4, axis=-1)
        cell = cell + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(cell)
    return h @ V + c


def score(dataset, outputs, targets):
    if dataset == "temporal_order":
        return np.mean(outputs.argmax(axis=-1) == targets)
    if dataset == "adding":
        return np.mean(np.abs(outputs - targets) < 0.04)
    answered, right = outputs > 0, targets > 0
    return np.mean((answered & right).sum(axis=-1) / (answered | right).sum(axis=-1))


def test_holding_a_gate_at_1_gives_the_score_of_the_equations_without_it(subject_of):
    subject, test = subject_of
    outputs = outputs_without_forgetting(subject.model, test.inputs)
    dataset, targets = subject.config.dataset, test.targets
    if dataset == "adding":  # Targets near the answers: an untrained network is always wrong.
        noise = np.random.default_rng(2).normal(scale=0.05, size=targets.shape)
        targets = (outputs + noise).astype(np.float32)
    split, values = ArraySplit(test.inputs, targets), {"forget_gate": np.zeros((1, 1, UNITS))}
    changes = gates.knock_out(subject.task, subject.model, split, values)
    found = next(score for change, score in changes if change == "forget gate = 1")
    assert found == pytest.approx(score(dataset, outputs, targets), abs=1e-6)
    assert 0.02 < found < 0.9
    whole = score(dataset, subject.model(split.inputs).numpy(), targets)
    assert gates.score(subject.task, subject.model, split) == pytest.approx(whole, abs=1e-6)
    assert whole != pytest.approx(found, abs=1e-6)


def test_gradients_of_the_inputs_are_those_of_the_whole_network(subject_of):
    subject, test = subject_of
    found = gradients.norms(subject.task, subject.model, test)
    sequences = tf.constant(test.inputs)
    with tf.GradientTape() as tape:
        tape.watch(sequences)
        outputs = subject.model(sequences)
        losses = {
            "adding": lambda: tf.reduce_sum((outputs - test.targets) ** 2),
            "temporal_order": lambda: tf.reduce_sum(
                tf.nn.sparse_softmax_cross_entropy_with_logits(test.targets, outputs)
            ),
            # The loss of an example is the mean over its 28 bits.
            "first_row": lambda: tf.reduce_sum(
                tf.nn.sigmoid_cross_entropy_with_logits(test.targets, outputs) / 28
            ),
        }
        loss = losses[subject.config.dataset]()
    expected = np.linalg.norm(tape.gradient(loss, sequences), axis=-1).mean(axis=0)
    np.testing.assert_allclose(found["inputs"], expected, rtol=1e-3)
    assert found["hidden"].shape == expected.shape == (test.inputs.shape[1],)


FIGURES = ["reading-0", "gradients-states", "gradients-inputs", "gates"]
NO_IMAGES = "Left out, because sequences are not images: the score without each row, pictures of"
NO_CLASSES = "Left out, because the answers are not classes: the hardest examples, averages by"


@pytest.fixture
def drawn(monkeypatch):
    """The captions of all figures by name.

    Nothing is rendered, and values that other tests check are not computed: both take long.
    """
    captions = {}

    def norms(task, model, split):
        return dict.fromkeys(("hidden", "inputs"), np.ones(split.inputs.shape[1]))

    monkeypatch.setattr(explanation, "_HARDEST", 1)
    monkeypatch.setattr(gradients, "norms", norms)
    monkeypatch.setattr(gates, "knock_out", lambda *_: [("forget gate = 0", 0.5)])
    monkeypatch.setattr(gates, "row_saliency", lambda *_: np.zeros(28))
    no_change = {name: [0] * len(amounts) for name, (_, amounts, _) in mistakes.CHANGES.items()}
    monkeypatch.setattr(mistakes, "robustness", lambda *_: no_change)
    monkeypatch.setattr(reading, "animate_reading", lambda path, *_: path.touch())
    monkeypatch.setattr(
        Report, "figure", lambda _, name, figure, caption: captions.update({name: caption})
    )
    return captions


def test_a_report_has_the_chapters_that_apply_and_names_the_others(subject_of, drawn, tmp_path):
    subject, test = subject_of
    page = explain([subject], test, tmp_path / "explanation", image=3, images=100).read_text()
    dataset = subject.config.dataset
    assert {"reading-3", *FIGURES[1:]} <= set(drawn)
    assert "How it reads test sequence 3." in drawn["reading-3"]
    of_classes = {"classes", "decisions", "probes", "calibration", "confusion-1"}
    assert not {"rows", "missed", "robustness"} & set(drawn)
    assert NO_IMAGES in page
    if dataset == "temporal_order":
        assert of_classes < set(drawn)
        assert len([name for name in drawn if name.startswith("reading")]) == 2  # The hardest.
        assert NO_CLASSES not in page
    else:
        assert set(drawn) == {"reading-3", *FIGURES[1:], "answers-1"}
        assert NO_CLASSES in page
    assert "image " not in page.replace("not images", "")
    assert f"The {subject.task.score_name} with one gate held at a constant value" in page


def test_a_network_that_answers_at_every_step_shows_its_answers(drawn, tmp_path):
    subject, test = subject_and_test("reber")
    found = subject.read(test.inputs[:6])["probabilities"]
    outputs = subject.model(test.inputs[:6]).numpy()
    np.testing.assert_allclose(found, sigmoid(outputs), rtol=1e-4, atol=1e-5)
    page = explain([subject], test, tmp_path / "explanation", image=3, images=100).read_text()
    assert set(drawn) == {"reading-3", "answers-1"}
    assert (
        "Left out, because the networks answer at every step: gradients through time, the score "
        "without each gate." in page
    )


def test_a_network_without_gates_has_no_chapter_of_gates(drawn, tmp_path):
    subject, test = subject_and_test("adding", "basic_rnn")
    page = explain([subject], test, tmp_path / "explanation", images=100).read_text()
    assert "gates" not in drawn
    assert "Left out, because the cells have no gates: the score without each gate." in page
    assert "How much each gate" not in page


def test_the_report_on_images_leaves_nothing_out(drawn, tmp_path):
    subject = Subject("it", random_model(4, model="lstm"), Config(model="lstm", units=6))
    test = random_split(120, 4, seed=0)
    page = explain([subject], test, tmp_path / "explanation", images=100).read_text()
    assert "Left out" not in page
    assert {"rows", "missed", "robustness", "confusion-1", "calibration"} < set(drawn)
    titles = [line[4:-5] for line in page.splitlines() if line.startswith("<h2>")]
    assert titles == [
        "How it reads a digit",
        "Averages by class",
        "Gradients through time",
        "How much each gate and row matters",
        "Units that store each class",
        "Mistakes",
    ]


@pytest.mark.parametrize(
    ("dataset", "prediction", "target", "expected"),
    [
        ("adding", [1.234], [1.1], "answers 1.23; the target is 1.10"),
        ("temporal_order", [0.1, 0.2, 0.6, 0.1], 3, "reads a sequence of class 3 and answers 2"),
        ("reber", [0.5, 0.5], [[1, 0], [0, 1], [0, 0]], "reads a sequence of 2 symbols"),
        (
            "first_row",
            [0, 0.6, 0, 0.7],
            [0, 0, 0, 0],
            "answers 1 in these bits: 1, 3; the target: none",
        ),
    ],
)
def test_an_answer_is_described_beside_its_target(dataset, prediction, target, expected):
    subject, _ = subject_and_test(dataset)
    assert subject.task.describe(np.array(prediction), np.array(target)) == expected
