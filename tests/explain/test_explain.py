"""The values that the figures of `explain` show, compared with independent computations."""

import re

import numpy as np
import pytest

from configs import Config
from datasets.dataset import images_spec
from explain import gates, gradients, mistakes, probes, reading
from explain.explanation import Subject, explain
from models import create_model
from tasks.classification import ClassEvaluation
from tests.conftest import CLASSIFICATION, random_model, random_split


def weights_of(model):
    return {weight.name: weight.numpy() for weight in model.layers[-2].trainable_weights}


def test_an_answer_is_final_after_its_last_change():
    probabilities = np.random.default_rng(0).random((40, 9, 3))
    probabilities[0] = [1, 0, 0]  # From the first step on.
    probabilities[1] = [[1, 0, 0]] * 8 + [[0, 1, 0]]  # At the last.
    steps = reading.decided_at(probabilities)
    for image, step in zip(probabilities, steps, strict=True):
        answers = image.argmax(axis=-1).tolist()
        assert answers[step - 1 :] == [answers[-1]] * (10 - step)
        assert step == 1 or answers[step - 2] != answers[-1]
    assert steps[:2].tolist() == [1, 9]


@pytest.mark.parametrize("values", [{"model": "lstm"}, {"model": "bidirectional_gru"}])
def test_a_batch_gives_the_same_values_as_single_images(values, monkeypatch):
    model, images = random_model(**values), random_split(5, 7, seed=0).inputs
    alone = [reading.read(CLASSIFICATION, model, images[n : n + 1]) for n in range(5)]
    monkeypatch.setattr(reading, "_STEPS_AT_ONCE", 2 * 28)
    together = reading.read(CLASSIFICATION, model, images)
    for name, values in together.items():
        expected = np.concatenate([one[name] for one in alone])
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5)


def test_the_gradient_norms_of_a_basic_rnn_follow_from_the_chain_rule():
    model, split = random_model(model="basic_rnn"), random_split(5, 7, seed=0)
    norms = gradients.norms(CLASSIFICATION, model, split)
    W, U, b = weights_of(model).values()
    V, c = model.layers[-1].get_weights()
    h, states = np.zeros((5, 6)), []
    for x in split.inputs.swapaxes(0, 1) / 255:
        h = np.tanh(x @ W + h @ U + b)
        states.append(h)
    shares = np.exp(h @ V + c)
    shares /= shares.sum(axis=-1, keepdims=True)
    gradient, of_states, of_inputs = (shares - np.eye(7)[split.targets]) @ V.T, [], []
    for h in states[::-1]:
        of_states.insert(0, np.linalg.norm(gradient, axis=-1).mean())
        of_inputs.insert(0, np.linalg.norm((gradient * (1 - h**2)) @ W.T, axis=-1).mean())
        gradient = (gradient * (1 - h**2)) @ U.T
    np.testing.assert_allclose(norms["hidden"], of_states, rtol=1e-3)
    np.testing.assert_allclose(norms["inputs"], of_inputs, rtol=1e-3)


def test_gradients_are_computed_in_all_layers_and_directions():
    model = random_model(model="bidirectional_lstm", layers=2, scan="rows_and_columns")
    norms = gradients.norms(CLASSIFICATION, model, random_split(3, 7, seed=0))
    states = [f"{way}_{layer}_hidden" for way in ("forward", "backward") for layer in (1, 2)]
    assert set(norms) == {"inputs", *states}
    for values in norms.values():
        assert values.shape == (28,)
        assert np.isfinite(values).all()
    # The head reads the final state of each direction of the last layer.
    assert norms["forward_2_hidden"].argmax() == 27
    assert norms["backward_2_hidden"].argmax() == 0


@pytest.mark.parametrize(
    ("values", "widths"),
    [
        ({"model": "lstm"}, [6, 6, 6, 6]),
        ({"model": "gru"}, [6, 6, 6]),
        ({"model": "gru3"}, [6]),
        ({"model": "lstm_1997", "block_size": 2}, [3, 6, 3]),
    ],
)
def test_the_largest_singular_value_is_computed_for_each_block(values, widths):
    model = random_model(units=6, **values)
    random = np.random.default_rng(0)
    scales = [0.5, 1, 2, 3][: len(widths)]
    blocks = [
        scale * np.linalg.qr(random.normal(size=(6, width)))[0]
        for scale, width in zip(scales, widths, strict=True)
    ]
    recurrent = model.layers[-2].cell.recurrent_kernel
    recurrent.assign(np.concatenate(blocks, axis=1))
    values = gradients.largest_singular_values(model)
    assert list(values) == [recurrent.path]
    np.testing.assert_allclose(values[recurrent.path], scales, rtol=1e-6)


# The variant of the cell without a gate, and the position of the gate in the packed weights.
WITHOUT = {"input gate": ("nig", 0), "forget gate": ("nfg", 1), "output gate": ("nog", 3)}


@pytest.fixture(scope="module")
def whole():
    model, split = random_model(model="peephole_lstm"), random_split(211, 7, seed=0)
    before = model.get_weights()
    left = dict(
        gates.knock_out(
            CLASSIFICATION, model, split, reading.read(CLASSIFICATION, model, split.inputs)
        )
    )
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)
    return model, split, left


@pytest.mark.parametrize("gate", WITHOUT)
def test_holding_a_gate_open_gives_the_accuracy_of_the_cell_without_it(gate, whole):
    model, split, left = whole
    variant, missing = WITHOUT[gate]
    without = create_model(Config(model=f"peephole_{variant}_lstm", units=6), images_spec(7))
    weights, present = weights_of(model), [n for n in range(4) if n != missing]
    for weight in without.layers[-2].trainable_weights:
        value = weights[weight.name]
        if not weight.name.startswith("peephole"):
            value = np.concatenate([np.split(value, 4, axis=-1)[n] for n in present], axis=-1)
        weight.assign(value)
    without.layers[-1].set_weights(model.layers[-1].get_weights())
    expected = np.mean(without(split.inputs).numpy().argmax(axis=-1) == split.targets)
    assert left[f"{gate} = 1"] == expected


def test_without_all_peepholes_a_network_is_a_plain_lstm(whole):
    model, split, left = whole
    ways = ("0", "1", "its mean")
    assert {f"peephole {gate} = {way}" for gate in "ifo" for way in ways} < set(left)
    plain = create_model(Config(model="lstm", units=6), images_spec(7))
    weights = weights_of(model)
    plain.layers[-2].set_weights([weights[n] for n in ("kernel", "recurrent_kernel", "bias")])
    plain.layers[-1].set_weights(model.layers[-1].get_weights())
    without = random_model(model="peephole_lstm")
    for weight in without.trainable_weights:
        if weight.name.startswith("peephole"):
            weight.assign(np.zeros(6))
    expected = np.mean(plain(split.inputs).numpy().argmax(axis=-1) == split.targets)
    assert gates.score(CLASSIFICATION, without, split) == expected


def test_a_gate_is_held_at_the_mean_of_each_unit(whole):
    model, split, left = whole
    means = reading.read(CLASSIFICATION, model, split.inputs)["output_gate"].mean(axis=(0, 1))
    assert len(set(means)) == 6

    def hold(name, value):
        return value * 0 + means if name == "output_gate" else value

    assert left["output gate = its mean"] == gates.score(CLASSIFICATION, model, split, hold)


def test_row_saliency_is_the_accuracy_lost_with_a_blank_row():
    model, split = random_model(model="gru"), random_split(211, 7, seed=0)
    lost = gates.row_saliency(CLASSIFICATION, model, split)
    blank = split.inputs.copy()
    blank[:, 20] = 0
    right = [
        model(images).numpy().argmax(axis=-1) == split.targets for images in (split.inputs, blank)
    ]
    assert lost.shape == (28,)
    assert lost[20] == pytest.approx(right[0].mean() - right[1].mean())


def test_a_probe_finds_the_step_and_the_unit_that_reveal_a_class():
    random, labels = np.random.default_rng(0), np.arange(300) % 3
    hidden = random.normal(size=(300, 4, 8))
    hidden[:, 2:, 5] += 20 * (labels == 1)[:, None]  # From the third step on unit 5 is for class 1.
    classes, scores, weights = probes.probe(hidden, labels)
    assert classes.tolist() == [0, 1, 2]
    assert scores.shape == (3, 4)
    assert scores[1, :2].max() < 0.8
    assert scores[1, 2:].min() == 1
    assert dict(probes.most_informative(weights, [0, 1, 2]))[1][0] == 5


def test_a_constant_answer_has_a_low_f1_score():
    labels = np.repeat([0, 1, 2], [20, 60, 20])
    _, scores, _ = probes.probe(np.zeros((100, 2, 4)), labels)
    # It always answers class 1: a precision of 0.6, a recall of 1.
    np.testing.assert_allclose(scores, np.outer([0, 2 * 0.6 / 1.6, 0], [1, 1]))


def test_a_probe_ignores_a_class_with_a_single_image():
    random, labels = np.random.default_rng(0), np.arange(401) % 2
    labels[-1] = 9
    hidden = random.normal(size=(401, 3, 8))
    hidden[:, :, 4] += 20 * (labels == 1)[:, None]
    classes, scores, weights = probes.probe(hidden, labels)
    assert classes.tolist() == [0, 1]
    assert scores.min() == 1
    assert weights[0, 4] == -weights[1, 4] < 0
    assert [len(part) for part in probes.probe(hidden[:1], labels[:1])] == [0, 0, 0]


def test_peepholes_of_all_layers_and_directions_are_held_constant():
    model = random_model(model="bidirectional_peephole_lstm", layers=2, units=2)
    split = random_split(3, 7, seed=0)
    labels = [label for label, _ in gates.knock_out(CLASSIFICATION, model, split, {})]
    layers = [f"{way} {layer}" for layer in (1, 2) for way in ("forward", "backward")]
    expected = [
        f"{layer} peephole {gate} = {way}"
        for layer in layers
        for gate in "ifo"
        for way in ("0", "1", "its mean")
    ]
    assert labels == expected


DEEP = {"model": "bidirectional_peephole_lstm", "layers": 2}


def test_each_layer_and_direction_has_its_own_line_of_panels():
    model, split = random_model(**DEEP), random_split(30, 7, seed=0)
    readings = reading.read(CLASSIFICATION, model, split.inputs)
    layers = [f"layer {n}, {way}" for n in (1, 2) for way in ("forward", "backward")]
    for figure, axis in [
        (
            reading.draw_reading(
                CLASSIFICATION, split.inputs[0], {n: v[0] for n, v in readings.items()}, "it"
            ),
            "step",
        ),
        (reading.draw_classes(readings, split.targets), "class"),
    ]:
        assert figure.get_figwidth() < 18
        panels = [axes for axes in figure.axes if axes.get_title().endswith("forget gate")]
        assert len(panels) == 4
        assert len({panel.get_subplotspec().colspan.start for panel in panels}) == 1
        rows = [axes.get_ylabel() for axes in figure.axes if "layer" in axes.get_ylabel()]
        assert rows == [f"{layer}\n{axis}" for layer in layers]


def test_the_legend_of_many_curves_is_outside_the_axes():
    curves = {f"curve {n}": np.full(28, n + 1.0) for n in range(16)}
    few = gradients.draw_norms({"curve 0": curves["curve 0"]}, "few")
    assert few.axes[0].get_legend()
    many = gradients.draw_norms(curves, "many")
    many.draw_without_rendering()
    (legend,) = many.legends
    assert many.axes[0].get_legend() is None
    assert not legend.get_window_extent().overlaps(many.axes[0].get_window_extent())
    assert len(legend.get_texts()) == 16


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "classes", "images"),
    [
        # Two directions are run on each of the 28 prefixes of each image.
        ({"model": "bidirectional_peephole_lstm", "layers": 2, "units": 2}, 2, 20),
        ({"model": "gru", "scan": "pixels", "units": 3}, 13, 100),
        ({"model": "lstm_1997", "scan": "columns", "block_size": 2, "units": 4}, 7, 100),
        ({"model": "irnn", "permute_seed": 1}, 7, 100),
    ],
    ids=["layers and directions", "pixels", "columns", "permuted"],
)
def test_a_report_replaces_the_previous_one(values, classes, images, tmp_path):
    config = Config(**{"units": 6} | values)
    subject = Subject("it", random_model(classes, **values), config)
    folder = tmp_path / "explanation"
    folder.mkdir()
    (folder / "old.png").touch()
    test = random_split(120, classes, seed=0)
    path = explain([subject], test, folder, images=images)
    pictures = [path.name for path in folder.iterdir() if path.suffix in (".png", ".gif")]
    page = path.read_text()
    assert page.count("<img ") == len(pictures) > 10
    # Each caption names the network, and each chapter has a title.
    captions = re.findall("<figcaption>(.*?)</figcaption>", page)
    assert re.findall('alt="(.*?)"', page) == captions
    assert all(re.search(r"\bit\b", caption) for caption in captions)
    assert "<h2></h2>" not in page
    assert "old.png" not in pictures
    # The hardest images are found among all, not only among the first 100.
    drawn = {0, *mistakes.hardest(subject.task.evaluate(subject.model, test), 3).tolist()}
    assert {f"reading-{index}.png" for index in drawn} <= set(pictures)
    assert list(tmp_path.iterdir()) == [folder]


def test_the_hardest_images_are_those_whose_class_is_least_probable():
    random, labels = np.random.default_rng(0), np.arange(500) % 7
    probabilities = random.dirichlet(np.ones(7), 500)
    probabilities[[430, 77], labels[[430, 77]]] = [0, 1e-9]
    indices = mistakes.hardest(ClassEvaluation(labels, probabilities, loss=0), 3)
    assert indices[:2].tolist() == [430, 77]
    right = probabilities[np.arange(500), labels]
    assert right[indices[2]] == np.sort(right)[2]


def test_calibration_follows_its_definition():
    # Four answers of confidence 0.9, three of them right; two of 0.6, one of them right.
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.4, 0.6]] * 2)
    labels = np.array([0, 0, 0, 1, 1, 0])
    sure, right, counts, error = mistakes.calibration(probabilities, labels)
    np.testing.assert_allclose(sure, [0.6, 0.9])
    np.testing.assert_allclose(right, [0.5, 0.75])
    assert counts.tolist() == [2, 4]
    assert error == pytest.approx((2 * 0.1 + 4 * 0.15) / 6)


def test_the_figure_of_missed_images_names_the_networks_and_the_count():
    split = random_split(40, 4, seed=0)
    one, other = (split.targets + 1) % 4, (split.targets + 2) % 4
    other[:20] = split.targets[:20]  # Right answers.
    figure, caption = mistakes.draw_missed(split, {"one": one, "other": other})
    assert figure.get_suptitle() == "class → answers of one, other"
    assert figure.axes[0].get_title() == "0 → 1, 2\nimage 20"
    assert caption.startswith("Mistakes of one and other: the first 16 of the 20 images")
    _, caption = mistakes.draw_missed(split[:25], {"one": one[:25], "other": other[:25]})
    assert caption.startswith("Mistakes of one and other: the 5 images")


def test_the_counts_of_several_networks_do_not_overlap():
    one = (np.array([0.5, 0.99]), np.array([0.5, 0.99]), np.array([1234, 8765]), 0.012)
    figure = mistakes.draw_calibration({"one": one, "other": one, "third": one})
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 6
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "one: expected calibration error (ECE) 1.20 points" in labels


def test_images_are_changed_by_the_given_amounts():
    split = random_split(4, 4, seed=0)
    seen = {}

    def remember(changed):
        seen.setdefault("all", []).append(changed.inputs)
        return 0.5

    accuracies = mistakes.robustness(remember, split)
    changes = [(name, n) for name, (_, amounts, _) in mistakes.CHANGES.items() for n in amounts]
    changed = dict(zip(changes, seen["all"], strict=True))
    for name, (_, amounts, _) in mistakes.CHANGES.items():
        assert accuracies[name] == [0.5] * len(amounts)
        np.testing.assert_array_equal(changed[name, 0], split.inputs)
    upside_down = changed["rotated", 180]
    np.testing.assert_array_equal(upside_down, split.inputs[:, ::-1, ::-1])
    shifted = changed["shifted to the right", 3]
    np.testing.assert_array_equal(shifted[:, :, 3:], split.inputs[:, :, :-3])
    assert not shifted[:, :, :3].any()
    blank = ~changed["with blank rows", 8].any(axis=-1)
    assert blank.sum(axis=1).tolist() == [8] * 4
    noise = changed["with noise", 40].astype(float) - split.inputs
    inside = (split.inputs > 120) & (split.inputs < 136)
    assert noise[inside].std() == pytest.approx(40, rel=0.15)
