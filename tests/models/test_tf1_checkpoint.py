import json
import pathlib

import keras
import numpy as np
import pytest

from configs import Config
from models import create_model, load_tf1_checkpoint
from tests.conftest import assert_one_line_error
from tests.models.oracles import tf1_graphs

GRAPHS = {
    "basic_rnn": {"model": "basic_rnn"},
    "basic_lstm": {"model": "lstm"},
    "lstm": {"model": "custom_lstm"},
    "peephole_lstm": {"model": "peephole_lstm"},
    "gru": {"model": "gru"},
    "bidirectional_basic_rnn": {"model": "bidirectional_basic_rnn"},
    "bidirectional_basic_lstm": {"model": "bidirectional_lstm"},
    "last_output_bidirectional_basic_lstm": {"model": "bidirectional_lstm", "read_out": "last"},
    "bidirectional_gru": {"model": "bidirectional_gru"},
    "stacked_basic_lstm": {"model": "lstm", "layers": 2},
    "stacked_bidirectional_peephole_lstm": {"model": "bidirectional_peephole_lstm", "layers": 2},
}


@pytest.fixture(scope="module")
def graph():
    """A real TensorFlow 1 checkpoint: its path, some images and the graph's logits for them."""

    def get(name):
        folder = tf1_graphs() / name
        answers = np.load(folder / "answers.npz")
        return folder / "model.ckpt-781", answers["images"], answers["logits"]

    return get


def a_model(**values):
    return create_model(Config(units=6, **values))


@pytest.mark.parametrize("name", GRAPHS)
def test_a_tensorflow_1_checkpoint_gives_the_same_logits(name, graph):
    path, images, logits = graph(name)
    model = a_model(**GRAPHS[name])
    load_tf1_checkpoint(model, path)
    np.testing.assert_allclose(model(images), logits, rtol=0, atol=1e-6)


def test_the_run_time_forget_bias_is_added_to_the_weights(graph):
    path, images, logits = graph("basic_lstm_forget_bias_0")
    model = a_model(model="lstm")
    load_tf1_checkpoint(model, path, forget_bias=0.0)
    np.testing.assert_allclose(model(images), logits, rtol=0, atol=1e-6)
    load_tf1_checkpoint(model, path, forget_bias=1.0)
    assert np.abs(np.subtract(model(images), logits)).max() > 1e-3


def test_the_folder_of_a_checkpoint_means_its_latest(graph):
    path, images, logits = graph("basic_lstm")
    model = a_model(model="lstm")
    load_tf1_checkpoint(model, path.parent)
    np.testing.assert_allclose(model(images), logits, rtol=0, atol=1e-6)


def rewrite(path, new_path, change):
    """Write a checkpoint again, `(name, value)` of each variable changed; gives its path."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(path))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name in reader.get_variable_to_shape_map():
            new_name, value = change(name, reader.get_tensor(name))
            tf.compat.v1.Variable(value, name=new_name)
        session.run(tf.compat.v1.global_variables_initializer())
        return tf.compat.v1.train.Saver().save(session, str(new_path / "model.ckpt"))


def test_names_from_before_tensorflow_1_2_and_an_outer_scope_are_understood(graph, tmp_path):
    path, images, logits = graph("gru")

    def age(name, value):
        name = name.replace("gates/kernel", "gates/weights").replace("gates/bias", "gates/biases")
        return name.replace("rnn/", "my_scope/RNN/"), value

    model = a_model(model="gru")
    load_tf1_checkpoint(model, rewrite(path, tmp_path, age))
    np.testing.assert_allclose(model(images), logits, rtol=0, atol=1e-6)


def test_the_backward_read_out_of_a_bidirectional_graph_takes_the_backward_weights(graph, tmp_path):
    path, images, _ = graph("bidirectional_basic_lstm")
    both = a_model(model="bidirectional_lstm")
    load_tf1_checkpoint(both, path)
    # The same graph, read out from its backward direction alone.
    backward_path = rewrite(
        path, tmp_path, lambda name, value: (name, value[6:] if value.shape == (12, 10) else value)
    )
    model = a_model(model="bidirectional_lstm", read_out="backward")
    load_tf1_checkpoint(model, backward_path)
    kernel, bias = both.layers[-1].get_weights()
    finals = keras.Model(both.input, both.layers[-1].input)(images)
    expected = np.asarray(finals)[:, 6:] @ kernel[6:] + bias
    np.testing.assert_allclose(model(images), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "values", "missing"),
    [
        ("basic_lstm", {"model": "basic_rnn"}, "basic_rnn_cell/kernel (34, 6)"),
        ("basic_lstm", {"model": "lstm", "units": 5}, "lstm_cell/kernel (33, 20)"),
        ("lstm", {"model": "peephole_lstm"}, "lstm_cell/w_i_diag (6,)"),
        ("peephole_lstm", {"model": "lstm"}, "of no use: rnn/lstm_cell/w_f_diag (6,)"),
        ("stacked_basic_lstm", {"model": "lstm"}, "cell_1/basic_lstm_cell/kernel (12, 24)"),
        ("bidirectional_basic_lstm", {"model": "lstm"}, "lstm_cell/kernel (34, 24)"),
        ("basic_lstm", {"model": "bidirectional_lstm"}, "fw/lstm_cell/kernel (34, 24)"),
        ("gru", {"model": "gru", "scan": "pixels"}, "gru_cell/gates/kernel (7, 12)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_whole_with_what_was_found_and_expected(
    name, values, missing, graph
):
    path, _, _ = graph(name)
    model = create_model(Config(**{"units": 6} | values))
    before = model.get_weights()
    with pytest.raises(ValueError, match="does not fit") as error:
        load_tf1_checkpoint(model, path)
    found, expected = str(error.value).split("; expected ")
    assert missing in expected
    assert "Variable (" in found
    assert "Adam" not in found
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_without_counterpart_is_refused(graph):
    with pytest.raises(ValueError, match=r"cifg_lstm has no counterpart .* expected one of basic"):
        load_tf1_checkpoint(a_model(model="cifg_lstm"), "anywhere")


def test_what_is_missing_and_what_is_of_no_use_is_named(graph):
    path, _, _ = graph("basic_lstm")

    with pytest.raises(ValueError, match="does not fit") as error:
        load_tf1_checkpoint(a_model(model="gru"), path)
    assert "missing or not the only one of its name and shape: gru_cell/gates/k" in str(error.value)
    assert "of no use: rnn/basic_lstm_cell/bias (24,), rnn/basic_lstm_cell/k" in str(error.value)


def test_what_optimizers_keep_in_a_scope_of_their_own_and_integers_are_passed_over(graph, tmp_path):
    path, images, logits = graph("basic_lstm")

    def move(name, value):
        if "Adam" in name:
            return f"train/{name}", value
        return (name, np.array([3, 4])) if name == "global_step" else (name, value)

    model = a_model(model="lstm")
    load_tf1_checkpoint(model, rewrite(path, tmp_path, move))
    np.testing.assert_allclose(model(images), logits, rtol=0, atol=1e-6)


def test_values_that_are_not_finite_are_refused(graph, tmp_path):
    path, _, _ = graph("basic_lstm")
    nan = rewrite(path, tmp_path, lambda name, value: (name, value * np.float32("nan")))
    with pytest.raises(ValueError, match="Variable has values that are not finite"):
        load_tf1_checkpoint(a_model(model="lstm"), nan)
    with pytest.raises(ValueError, match="received forget_bias=nan; expected a finite number"):
        load_tf1_checkpoint(a_model(model="lstm"), path, forget_bias=float("nan"))


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_one_of_a_checkpoints_files_means_the_checkpoint(suffix, graph):
    path, images, logits = graph("basic_lstm")
    model = a_model(model="lstm")
    load_tf1_checkpoint(model, f"{path}{suffix}")
    np.testing.assert_allclose(model(images), logits, rtol=0, atol=1e-6)


@pytest.mark.parametrize("damage", ["absent", "an empty folder", "truncated"])
def test_a_checkpoint_that_cannot_be_read_is_refused(damage, graph, tmp_path):
    path = tmp_path / "model.ckpt"
    if damage == "an empty folder":
        path.mkdir()
    if damage == "truncated":
        whole, _, _ = graph("basic_lstm")
        for suffix in (".index", ".data-00000-of-00001"):
            content = whole.with_name(whole.name + suffix).read_bytes()
            path.with_name(path.name + suffix).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"no checkpoint can be read there .* expected the part"):
        load_tf1_checkpoint(a_model(model="lstm"), path)


@pytest.mark.slow
def test_the_program_imports_a_checkpoint_evaluates_and_exports_it(graph, run_main, tmp_path):
    import tensorflow as tf

    path, images, logits = graph("bidirectional_gru")
    result = run_main(
        "--mode=import", f"--tf1_checkpoint={path}", "--model=bidirectional_gru", "--units=6",
        "--name=old",
    )  # fmt: skip
    assert result.status == 0
    assert result.stdout.splitlines()[-1].startswith("done: ")
    metrics = json.loads((tmp_path / "runs/old/metrics.json").read_text())
    assert metrics["imported"] == {"tf1_checkpoint": str(path), "tf1_forget_bias": 1.0}
    assert metrics["test"]["images"] == 360
    signatures = tf.saved_model.load(str(tmp_path / "saved_models/bidirectional_gru/1")).signatures
    answer = signatures["serving_default"](rows=tf.constant(images, tf.float32))
    np.testing.assert_allclose(answer["probabilities"], tf.nn.softmax(logits), rtol=0, atol=1e-6)
    card = json.loads((tmp_path / "saved_models/bidirectional_gru/1/model_card.json").read_text())
    assert card["imported"] == metrics["imported"]
    assert "dataset: digits (scikit-learn)" in result.stdout
    again = run_main("--mode=evaluate", "--run=runs/old")
    assert f"done: {metrics['summary']}" in again.stdout


@pytest.mark.slow
def test_the_program_adds_the_forget_bias_it_is_told(graph, run_main, tmp_path):
    path, images, logits = graph("basic_lstm_forget_bias_0")
    run_main(
        "--mode=import", f"--tf1_checkpoint={path}", "--tf1_forget_bias=0", "--units=6",
        "--name=old",
    )  # fmt: skip
    model = keras.models.load_model(tmp_path / "runs/old/model.keras")
    np.testing.assert_allclose(model(images), logits, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--units=7"], "lstm_cell/kernel (35, 28)"),
        (["--model=cifg_lstm"], "expected one of basic_rnn"),
        (["--tf1_checkpoint=nowhere"], "nowhere: no checkpoint"),
        (["--tf1_checkpoint="], "--tf1_checkpoint=PATH"),
        (["--run=runs/none"], "--mode=import: expected no --run=PATH"),
        (["--mode=train"], "--mode=train: expected no --tf1_checkpoint=PATH"),
        (["--tf1_forget_bias=nan"], "received forget_bias=nan; expected a finite number"),
    ],
)
def test_a_mistaken_import_is_told_in_one_line_and_leaves_nothing(
    flags, expected, graph, run_main, tmp_path
):
    path, _, _ = graph("basic_lstm")
    result = run_main("--mode=import", f"--tf1_checkpoint={path}", "--units=6", *flags)
    assert_one_line_error(result, expected)
    assert not pathlib.Path(tmp_path, "runs").exists()
