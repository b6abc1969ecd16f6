import functools
import json
import pathlib
import re

import keras
import numpy as np
import pytest

from configs import Config
from models import create_model, load_tf1_checkpoint
from tests.conftest import MNIST, assert_one_line_error
from tests.models import tf1_cells
from tests.models.oracles import tf1_graphs

GRAPHS = {
    "basic_rnn": {"model": "basic_rnn"},
    "basic_lstm": {"model": "lstm"},
    "lstm": {"model": "custom_lstm"},
    "peephole_lstm": {"model": "peephole_lstm"},
    "gru": {"model": "gru"},
    "bidirectional_basic_rnn": {"model": "bidirectional_basic_rnn"},
    "bidirectional_basic_lstm": {"model": "bidirectional_lstm"},
    "last_output_bidirectional_basic_lstm": {"model": "bidirectional_lstm", "head": "last"},
    "bidirectional_gru": {"model": "bidirectional_gru"},
    "stacked_basic_lstm": {"model": "lstm", "layers": 2},
    "stacked_bidirectional_peephole_lstm": {"model": "bidirectional_peephole_lstm", "layers": 2},
    "input_layer_basic_lstm": {"model": "lstm"},
    "averages_basic_rnn": {"model": "basic_rnn"},
}

_KERNEL_AND_BIAS = {"kernel": "kernel", "bias": "bias"}
_PEEPHOLES = {"w_i": "w_i_diag", "w_f": "w_f_diag", "w_o": "w_o_diag"}
_KERAS = {"kernel": "kernel", "recurrent_kernel": "recurrent_kernel", "bias": "bias"}
_GRU = {
    "gates_kernel": "gates/kernel",
    "gates_bias": "gates/bias",
    "candidate_kernel": "candidate/kernel",
    "candidate_bias": "candidate/bias",
}
_OBJECT = "{}/.ATTRIBUTES/VARIABLE_VALUE"
_OBJECTS = {part: _OBJECT.format(name) for part, name in _KERAS.items()}
# A kind of checkpoint -> the model, the cell by its equations, the scope of its weights in each
# layer or direction, the names of the weights in the scope, and the names of the head.
NAMES = {
    "BasicLSTMCell of 0.x": (
        *("lstm", tf1_cells.basic_lstm, ["RNN/BasicLSTMCell/Linear"]),
        *({"kernel": "Matrix", "bias": "Bias"}, ("out_w", "out_b")),
    ),
    "BasicLSTMCell of 1.0": (
        *("custom_lstm", tf1_cells.basic_lstm, ["rnn/basic_lstm_cell"]),
        *({"kernel": "weights", "bias": "biases"}, ("Variable", "Variable_1")),
    ),
    "LSTMCell of 0.x with peepholes": (
        *("peephole_lstm", tf1_cells.basic_lstm, ["my/RNN/LSTMCell"]),
        {"kernel": "W_0", "bias": "B", "w_i": "W_I_diag", "w_f": "W_F_diag", "w_o": "W_O_diag"},
        ("softmax_w", "softmax_b"),
    ),
    "CudnnLSTM": (
        *("lstm", tf1_cells.cudnn_compatible_lstm),
        ["cudnn_lstm/rnn/multi_rnn_cell/cell_0/cudnn_compatible_lstm_cell"],
        *(_KERNEL_AND_BIAS, ("dense/kernel", "dense/bias")),
    ),
    "CudnnLSTM in two layers": (
        *("lstm", tf1_cells.cudnn_compatible_lstm),
        [f"cudnn_lstm/rnn/multi_rnn_cell/cell_{n}/cudnn_compatible_lstm_cell" for n in (0, 1)],
        *(_KERNEL_AND_BIAS, ("dense/kernel", "dense/bias")),
    ),
    "CudnnLSTM in two directions": (
        *("bidirectional_lstm", tf1_cells.cudnn_compatible_lstm),
        [
            "stack_bidirectional_rnn/cell_0/bidirectional_rnn/fw/cudnn_compatible_lstm_cell",
            "stack_bidirectional_rnn/cell_0/bidirectional_rnn/bw/cudnn_compatible_lstm_cell",
        ],
        *(_KERNEL_AND_BIAS, ("dense/kernel", "dense/bias")),
    ),
    "CudnnRNNRelu": (
        *("irnn", tf1_cells.relu_rnn),
        ["cudnn_rnn_relu/rnn/multi_rnn_cell/cell_0/basic_rnn_cell"],
        *(_KERNEL_AND_BIAS, ("dense/kernel", "dense/bias")),
    ),
    "LSTMBlockFusedCell": (
        *("lstm", tf1_cells.basic_lstm, ["lstm_fused_cell"]),
        *(_KERNEL_AND_BIAS, ("out/weights", "out/biases")),
    ),
    "LSTMBlockFusedCell of 1.2 with peepholes": (
        *("peephole_lstm", tf1_cells.basic_lstm, ["lstm_block_wrapper"]),
        *(_KERNEL_AND_BIAS | _PEEPHOLES, ("out/weights", "out/biases")),
    ),
    "LSTMBlockCell of 1.0 with peepholes": (
        *("peephole_lstm", tf1_cells.basic_lstm, ["rnn/LSTMBlockCell"]),
        {"kernel": "W", "bias": "b", "w_i": "wci", "w_f": "wcf", "w_o": "wco"},
        ("out/weights", "out/biases"),
    ),
    "BasicRNNCell of 0.x in two layers": (
        *("basic_rnn", tf1_cells.basic_rnn),
        [f"RNN/MultiRNNCell/Cell{n}/BasicRNNCell/Linear" for n in (0, 1)],
        *({"kernel": "Matrix", "bias": "Bias"}, ("w", "b")),
    ),
    "GRUCell of 0.x": (
        *("gru", tf1_cells.gru, ["RNN/GRUCell"]),
        {
            "gates_kernel": "Gates/Linear/Matrix",
            "gates_bias": "Gates/Linear/Bias",
            "candidate_kernel": "Candidate/Linear/Matrix",
            "candidate_bias": "Candidate/Linear/Bias",
        },
        ("w", "b"),
    ),
    "GRUBlockCell": (
        *("gru", tf1_cells.gru, ["rnn/gru_cell"]),
        {
            "gates_kernel": "w_ru",
            "gates_bias": "b_ru",
            "candidate_kernel": "w_c",
            "candidate_bias": "b_c",
        },
        ("w", "b"),
    ),
    "GRUBlockCellV2": (
        *("gru", tf1_cells.gru, ["any/scope/rnn/gru_cell"]),
        *(_GRU, ("dense_1/kernel", "dense_1/bias")),
    ),
    "two directions of 0.6": (
        *("bidirectional_lstm", tf1_cells.basic_lstm),
        [f"BiRNN_{direction}/BasicLSTMCell/Linear" for direction in ("FW", "BW")],
        *({"kernel": "Matrix", "bias": "Bias"}, ("w", "b")),
    ),
    "two directions of 0.9": (
        *("bidirectional_basic_rnn", tf1_cells.basic_rnn),
        [f"BiRNN/{direction}/BasicRNNCell/Linear" for direction in ("FW", "BW")],
        *({"kernel": "Matrix", "bias": "Bias"}, ("w", "b")),
    ),
    "a cell of another name": (
        *("lstm", tf1_cells.basic_lstm, ["rnn/the_cell"]),
        *(_KERNEL_AND_BIAS, ("w", "b")),
    ),
    "Keras's SimpleRNN": (
        *("basic_rnn", tf1_cells.keras_rnn, ["simple_rnn"]),
        *(_KERAS, ("dense/kernel", "dense/bias")),
    ),
    "Keras's LSTM of TensorFlow 1": (
        *("lstm", tf1_cells.keras_lstm, ["lstm"]),
        *(_KERAS, ("dense/kernel", "dense/bias")),
    ),
    "Keras's LSTM of TensorFlow 2, the second of the session": (
        *("custom_lstm", tf1_cells.keras_lstm, ["lstm_9/lstm_cell_9", "lstm_10/lstm_cell_10"]),
        *(_KERAS, ("dense_1/kernel", "dense_1/bias")),
    ),
    "Keras's CuDNNLSTM": (
        *("lstm", tf1_cells.keras_cudnn_lstm, ["cu_dnnlstm"]),
        *(_KERAS, ("dense/kernel", "dense/bias")),
    ),
    "Keras's GRU": (
        *("gru", tf1_cells.keras_gru, ["gru/gru_cell"]),
        *(_KERAS, ("dense/kernel", "dense/bias")),
    ),
    "Keras's Bidirectional": (
        *("bidirectional_lstm", tf1_cells.keras_lstm),
        ["bidirectional/forward_lstm/lstm_cell_1", "bidirectional/backward_lstm/lstm_cell_2"],
        *(_KERAS, ("dense/kernel", "dense/bias")),
    ),
    "Keras's LSTM by object": (
        *("lstm", tf1_cells.keras_lstm, ["model/layer_with_weights-0/cell"]),
        _OBJECTS,
        [_OBJECT.format(f"model/layer_with_weights-1/{part}") for part in ("kernel", "bias")],
    ),
    "Keras's Bidirectional by object": (
        *("bidirectional_gru", tf1_cells.keras_gru),
        [f"layer_with_weights-0/{direction}_layer/cell" for direction in ("forward", "backward")],
        _OBJECTS,
        [_OBJECT.format(f"layer_with_weights-1/{part}") for part in ("kernel", "bias")],
    ),
}
UNITS, FEATURES, CLASSES = 6, 28, 10
IMAGES = np.random.default_rng(1).integers(0, 256, (3, 28, FEATURES), dtype=np.uint8)


def written(name, path, input_width=None):
    """Write a checkpoint of `NAMES` with random weights.

    Returns:
        The values of the `Config`, the variables, and the logits by the equations.
    """
    model, cell, scopes, names, head_names = NAMES[name]
    random = np.random.default_rng(0)

    def draw(*shape):
        return random.normal(scale=0.5, size=shape).astype("float32")

    bidirectional = model.startswith("bidirectional_")
    layers = 1 if bidirectional else len(scopes)
    variables, xs, states = {}, IMAGES / 255, []
    if input_width:
        variables = {"in_w": draw(FEATURES, input_width), "in_b": draw(input_width)}
        xs = xs @ variables["in_w"] + variables["in_b"]
    for number, scope in enumerate(scopes):
        weights = tf1_cells.random_weights(random, cell, xs.shape[-1], UNITS, names)
        variables |= {f"{scope}/{names[part]}": value for part, value in weights.items()}
        hs = cell(xs[:, ::-1] if bidirectional and number else xs, **weights)
        states.append(hs[:, -1])
        xs = xs if bidirectional else hs
    final = np.concatenate(states if bidirectional else states[-1:], axis=1)
    kernel, bias = draw(final.shape[1], CLASSES), draw(CLASSES)
    variables |= dict(zip(head_names, (kernel, bias), strict=True))
    tf1_cells.save(path, variables)
    return {"model": model, "layers": layers}, variables, final @ kernel + bias


# One checkpoint for each layout. The others differ in names only.
FAST = {
    *("BasicLSTMCell of 0.x", "LSTMBlockCell of 1.0 with peepholes", "CudnnLSTM"),
    *("GRUBlockCell", "two directions of 0.6", "Keras's GRU", "Keras's LSTM by object"),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in FAST else pytest.mark.slow) for n in NAMES]
)
def test_a_checkpoint_with_the_names_of_any_version_gives_the_logits_of_its_cells(name, tmp_path):
    values, _, logits = written(name, tmp_path / "model.ckpt")
    model = a_model(**values)
    load_tf1_checkpoint(model, tmp_path / "model.ckpt")
    np.testing.assert_allclose(model(IMAGES), logits, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "name",
    ["CudnnLSTM", "LSTMBlockFusedCell", "LSTMBlockCell of 1.0 with peepholes", "GRUBlockCell"],
)
def test_the_equations_of_the_fused_cells_are_those_of_tensorflows_kernels(name):
    import tensorflow as tf

    _, cell, _, names, _ = NAMES[name]
    random = np.random.default_rng(0)
    w = tf1_cells.random_weights(random, cell, FEATURES, UNITS, names)
    xs = (IMAGES / 255).astype("float32")
    zeros = np.zeros(UNITS, "float32")
    h = c = np.zeros((len(xs), UNITS), "float32")
    for x in np.moveaxis(xs, 1, 0):
        if cell is tf1_cells.gru:
            *_, h = tf.raw_ops.GRUBlockCell(
                x=x, h_prev=h, w_ru=w["gates_kernel"], w_c=w["candidate_kernel"],
                b_ru=w["gates_bias"], b_c=w["candidate_bias"],
            )  # fmt: skip
        else:
            _, c, *_, h = tf.raw_ops.LSTMBlockCell(
                x=x, cs_prev=c, h_prev=h, w=w["kernel"], b=w["bias"], use_peephole="w_i" in w,
                wci=w.get("w_i", zeros), wcf=w.get("w_f", zeros), wco=w.get("w_o", zeros),
                forget_bias=float(cell is tf1_cells.basic_lstm), cell_clip=-1.0,
            )  # fmt: skip
    np.testing.assert_allclose(cell(xs, **w)[:, -1], h, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("cell", "layer"),
    [
        (tf1_cells.keras_rnn, keras.layers.SimpleRNN(UNITS)),
        (tf1_cells.keras_lstm, keras.layers.LSTM(UNITS)),
        (tf1_cells.keras_gru, keras.layers.GRU(UNITS, reset_after=False)),
    ],
)
def test_the_equations_of_keras_layers_are_those_of_its_layers(cell, layer):
    xs = (IMAGES / 255).astype("float32")
    w = tf1_cells.random_weights(np.random.default_rng(0), cell, FEATURES, UNITS, _KERAS)
    layer.build(xs.shape)
    layer.set_weights(list(w.values()))
    np.testing.assert_allclose(cell(xs, **w)[:, -1], layer(xs), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("BasicLSTMCell of 1.0", FEATURES),
        ("GRUBlockCell", 4),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                ("BasicLSTMCell of 1.0", 4),
                ("BasicLSTMCell of 1.0", UNITS),
                ("BasicRNNCell of 0.x in two layers", 4),
                ("Keras's GRU", 4),
                ("Keras's CuDNNLSTM", 4),
                ("LSTMBlockFusedCell of 1.2 with peepholes", 4),
                ("CudnnLSTM in two directions", 4),
            ]
        ),
    ],
)
def test_a_linear_layer_before_the_cell_is_folded_into_it_exactly(name, width, tmp_path):
    values, _, logits = written(name, tmp_path / "model.ckpt", input_width=width)
    model = a_model(**values)
    notes = load_tf1_checkpoint(model, tmp_path / "model.ckpt")
    np.testing.assert_allclose(model(IMAGES), logits, rtol=0, atol=5e-6)
    assert f"in_b ({width},), in_w (28, {width}) -> folded into the input weights" in notes[-1]


@pytest.fixture(scope="module")
def graph():
    """A real TensorFlow 1 checkpoint: its path, some images and the graph's logits for them."""

    def get(name):
        folder = tf1_graphs() / name
        answers = np.load(folder / "answers.npz")
        return folder / "model.ckpt-781", answers["images"], answers["logits"]

    return get


@functools.cache
def a_model(**values):
    """One model for all tests: its weights are replaced."""
    return create_model(Config(units=6, **values), MNIST)


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


def test_a_folder_stands_for_its_latest_checkpoint(graph):
    path, images, logits = graph("basic_lstm")
    model = a_model(model="lstm")
    load_tf1_checkpoint(model, path.parent)
    np.testing.assert_allclose(model(images), logits, rtol=0, atol=1e-6)


def rewrite(path, new_path, change):
    """Write a checkpoint with each variable's `(name, value)` changed; returns its path."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(path))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name in reader.get_variable_to_shape_map():
            new_name, value = change(name, reader.get_tensor(name))
            tf.compat.v1.Variable(value, name=new_name)
        session.run(tf.compat.v1.global_variables_initializer())
        return tf.compat.v1.train.Saver().save(session, str(new_path / "model.ckpt"))


def test_names_before_tensorflow_1_2_and_an_outer_scope_are_recognised(graph, tmp_path):
    path, images, logits = graph("gru")

    def age(name, value):
        name = name.replace("gates/kernel", "gates/weights").replace("gates/bias", "gates/biases")
        return name.replace("rnn/", "my_scope/RNN/"), value

    model = a_model(model="gru")
    load_tf1_checkpoint(model, rewrite(path, tmp_path, age))
    np.testing.assert_allclose(model(images), logits, rtol=0, atol=1e-6)


def test_a_backward_head_loads_the_backward_weights(graph, tmp_path):
    path, images, _ = graph("bidirectional_basic_lstm")
    both = a_model(model="bidirectional_lstm")
    load_tf1_checkpoint(both, path)
    # This is the same graph with a head on its backward direction only.
    backward_path = rewrite(
        path, tmp_path, lambda name, value: (name, value[6:] if value.shape == (12, 10) else value)
    )
    model = a_model(model="bidirectional_lstm", head="backward")
    load_tf1_checkpoint(model, backward_path)
    kernel, bias = both.layers[-1].get_weights()
    finals = keras.Model(both.input, both.layers[-1].input)(images)
    expected = np.asarray(finals)[:, 6:] @ kernel[6:] + bias
    np.testing.assert_allclose(model(images), expected, rtol=0, atol=1e-6)


def test_names_decide_between_two_variables_with_the_shape_of_the_head(tmp_path):
    path = tmp_path / "model.ckpt"
    _, _, logits = written("BasicLSTMCell of 1.0", path, input_width=CLASSES)
    with pytest.raises(
        ValueError, match=r"bias \(10,\), named logits/bias since there are several"
    ):
        load_tf1_checkpoint(a_model(model="lstm"), path)
    model = a_model(model="lstm")
    load_tf1_checkpoint(model, path, names=["Variable_1:logits/bias"])
    np.testing.assert_allclose(model(IMAGES), logits, rtol=0, atol=5e-6)


@pytest.fixture
def lstm(tmp_path):
    """Write a plain LSTM's checkpoint with changed variables; returns its path and the logits."""
    _, variables, logits = written("BasicLSTMCell of 1.0", tmp_path / "whole.ckpt")

    def get(change=dict):
        return tf1_cells.save(tmp_path / "model.ckpt", change(variables)), logits

    return get


def load(path, model="lstm", **options):
    """The logits of a model with a checkpoint's weights, and the notes of the import."""
    model = a_model(model=model)
    notes = load_tf1_checkpoint(model, path, **options)
    return np.asarray(model(IMAGES)), "; ".join(notes)


def test_averages_are_loaded_only_if_requested_and_a_note_says_so(graph):
    path, images, logits = graph("averages_basic_rnn")
    average_logits = np.load(path.parent / "answers.npz")["average_logits"]
    model = a_model(model="basic_rnn")
    notes = load_tf1_checkpoint(model, path)
    assert notes[0].startswith(
        "last values of 4 variables taken, not their moving averages; --tf1_"
    )
    np.testing.assert_allclose(model(images), logits, rtol=0, atol=1e-6)
    notes = load_tf1_checkpoint(model, path, averages=True)
    assert notes[0] == "moving averages of 4 variables taken, not their last values"
    np.testing.assert_allclose(model(images), average_logits, rtol=0, atol=1e-6)


@pytest.mark.parametrize("averages", [False, True])
@pytest.mark.parametrize("scope", ["", "train/"])
def test_averages_are_loaded_if_the_weights_are_missing(scope, averages, lstm):
    path, logits = lstm(
        lambda variables: {f"{scope}{n}/ExponentialMovingAverage": v for n, v in variables.items()}
    )
    answer, notes = load(path, averages=averages)
    np.testing.assert_allclose(answer, logits, rtol=0, atol=2e-6)
    assert "moving averages taken; the last values are not in the checkpoint" in notes


def test_averages_of_some_variables_in_an_outer_scope_replace_them(lstm):
    path, logits = lstm(
        lambda variables: (
            variables
            | {"Variable_1": variables["Variable_1"] + 1}
            | {"train/Variable_1/ExponentialMovingAverage": variables["Variable_1"]}
        )
    )
    answer, notes = load(path, averages=True)
    np.testing.assert_allclose(answer, logits, rtol=0, atol=2e-6)
    assert "moving averages of 1 variables taken" in notes


def test_a_request_for_missing_averages_is_refused(lstm):
    path, _ = lstm()
    with pytest.raises(ValueError, match=r"has no name that ends in Expo.* expected moving aver"):
        load(path, averages=True)


@pytest.mark.parametrize(
    ("names", "renames"),
    [
        (["w0:rnn/kernel", "b0:rnn/bias"], {"weights": "w0", "biases": "b0"}),
        (["enc/w0:0:rnn/kernel:0", "enc:rnn", "b0:bias"], {"weights": "w0", "biases": "b0"}),
        (["_matrix:/kernel", "_vector:/bias"], {"/weights": "_matrix", "/biases": "_vector"}),
    ],
)
def test_variables_of_any_name_can_be_renamed(names, renames, lstm):
    def change(variables):
        for old, new in renames.items():
            variables = {
                n.replace("rnn/basic_lstm_cell", "enc").replace(old, new): v
                for n, v in variables.items()
            }
        return variables

    path, logits = lstm(change)
    with pytest.raises(ValueError, match="rename variables with --tf1_names=old:new"):
        load(path)
    answer, _ = load(path, names=names if "enc" in str(names) else ["enc:rnn", *names])
    np.testing.assert_allclose(answer, logits, rtol=0, atol=2e-6)


def test_renaming_matches_whole_parts_of_names(lstm):
    def change(variables):
        return {"old": variables["Variable_1"] + 1, **variables}  # Two biases for the head.

    path, _ = lstm(change)
    with pytest.raises(ValueError, match=r"named logits/bias since there are several"):
        load(path)
    with pytest.raises(ValueError, match=r"not used: old \(10,\)"):
        load(path, names=["Variable_1:logits/bias"])
    path, _ = lstm(lambda variables: {**variables, "Variable_10": np.ones((2, 2), "float32")})
    with pytest.raises(ValueError, match=r"not used: Variable_10 \(2, 2\)"):
        load(path, names=["Variable_1:logits/bias"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["nothing"], "received 'nothing'; expected old:new"),
        ([":new"], "received ':new'; expected old:new"),
        (["a:b:c"], "received 'a:b:c'; expected old:new"),
        (
            ["absent:new"],
            "has Variable (6, 10), Variable_1 (10,), rnn/basic_lstm_cell/biases (24,)",
        ),
        (["Variable_1:Variable"], "which gives several variables the same name"),
    ],
)
def test_a_wrong_renaming_is_refused(names, expected, lstm):
    path, _ = lstm()
    with pytest.raises(ValueError, match="--tf1_names: received") as error:
        load(path, names=names)
    assert expected in str(error.value)


def test_variables_of_optimizers_and_gpu_formats_are_ignored(lstm):
    slots = ("Adam", "Adam_1", "Momentum", "RMSProp", "RMSProp_1", "Adagrad", "AnyOther")

    def change(variables):
        kept = {f"{name}/{slot}": v for name, v in variables.items() for slot in slots}
        kept |= {f"training/Adam/{name}/m": v for name, v in variables.items()}
        kept |= {f"{name}/.OPTIMIZER_SLOT/optimizer/m": v for name, v in variables.items()}
        kept |= {"training/Adam/Variable_7": variables["Variable"]}
        kept |= {"cudnn_lstm/opaque_kernel": np.ones(912, "float32")}
        kept |= {"cudnn_lstm/opaque_kernel/Adam": np.ones(912, "float32")}
        kept |= {"cudnn_compatible_lstm_cell/bias_cudnn_0": np.ones(24, "float32")}
        return {**kept, **variables, "global_step": np.int64(781), "beta1_power": np.float32(0.9)}

    path, logits = lstm(change)
    answer, _ = load(path)
    np.testing.assert_allclose(answer, logits, rtol=0, atol=2e-6)


def test_a_head_without_a_bias_gets_zeros_and_a_note(lstm):
    def change(variables):
        return {name: value for name, value in variables.items() if name != "Variable_1"}

    path, logits = lstm()
    _, variables, _ = written("BasicLSTMCell of 1.0", path)
    path, _ = lstm(change)
    answer, notes = load(path)
    np.testing.assert_allclose(answer, logits - variables["Variable_1"], rtol=0, atol=2e-6)
    assert "no (10,) variable -> zeros for the head's bias" in notes


@pytest.mark.parametrize(
    ("added", "reason"),
    [
        ({"rnn/lstm_cell/projection/kernel": (6, 4)}, "num_proj projects h"),
        ({"RNN/LSTMCell/W_P_0": (6, 4)}, "num_proj projects h"),
        ({"rnn/layer_norm_basic_lstm_cell/transform/gamma": (6,)}, "LayerNormBasicLSTMCell norm"),
        ({"a/cudnn_compatible_gru_cell/candidate/input_projection/bias": (6,)}, "reset_after=True"),
        ({"gru/recurrent_kernel": (6, 18), "gru/bias": (2, 18)}, "reset_after=True"),
        ({"cu_dnngru/recurrent_kernel": (6, 18), "cu_dnngru/bias": (36,)}, "reset_after=True"),
    ],
)
def test_an_unsupported_cell_is_refused_by_name(added, reason, lstm):
    weights = {name: np.ones(shape, "float32") for name, shape in added.items()}
    path, _ = lstm(lambda variables: variables | weights)
    with pytest.raises(ValueError, match="cannot be imported") as error:
        load(path)
    assert reason in str(error.value)
    assert "; expected the weights of BasicRNNCell" in str(error.value)


def test_weights_that_only_a_gpu_can_read_are_refused(lstm):
    path, _ = lstm(lambda variables: {"cudnn_lstm/opaque_kernel": np.ones(912, "float32")})
    with pytest.raises(ValueError, match=r"CudnnLSTM packs it as its GPU needs it"):
        load(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "Keras's LSTM of TensorFlow 1",
            "lstm is a Keras layer, whose bias includes the forget bias",
        ),
        ("Keras's GRU", "gru does not have a forget gate; expected an LSTM"),
        ("Keras's SimpleRNN", "basic_rnn does not have a forget gate; expected an LSTM"),
    ],
)
def test_a_forget_bias_that_does_not_apply_is_refused(name, expected, tmp_path):
    values, _, _ = written(name, tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match=r"--tf1_forget_bias=0\.5: ") as error:
        load(tmp_path / "model.ckpt", values["model"], forget_bias=0.5)
    assert expected in str(error.value)


def test_a_note_names_the_activation_that_a_keras_checkpoint_lacks(tmp_path):
    values, _, _ = written("Keras's GRU", tmp_path / "model.ckpt")
    _, notes = load(tmp_path / "model.ckpt", values["model"])
    assert "gru/gru_cell with sigmoid gates (tf.keras of TensorFlow 1 had hard_sigmoid" in notes


def test_layers_without_numbers_for_their_order_are_refused(tmp_path):
    path, units = tmp_path / "model.ckpt", FEATURES  # The inputs have the width of the layers.
    random = np.random.default_rng(0)
    variables = {"w": np.ones((units, CLASSES), "float32"), "b": np.ones(CLASSES, "float32")}
    for scope in ("top", "bottom"):
        weights = tf1_cells.random_weights(
            random, tf1_cells.basic_rnn, units, units, _KERNEL_AND_BIAS
        )
        variables |= {f"{scope}/{name}": value for name, value in weights.items()}
    tf1_cells.save(path, variables)
    model = create_model(Config(model="basic_rnn", units=units, layers=2), MNIST)
    with pytest.raises(
        ValueError, match="missing: numbers in bottom, top, which would tell the or"
    ):
        load_tf1_checkpoint(model, path)
    load_tf1_checkpoint(model, path, names=["bottom:layer_1", "top:layer_2"])


@pytest.mark.parametrize(
    ("name", "values", "missing", "suggestion"),
    [
        ("basic_lstm", {"model": "basic_rnn"}, "kernel (34, 6)", "lstm --units=6 --layers=1"),
        ("basic_lstm", {"units": 5}, "kernel (33, 20)", "lstm --units=6 --layers=1"),
        ("lstm", {"model": "peephole_lstm"}, "w_i_diag (6,)", "lstm --units=6 --layers=1"),
        ("peephole_lstm", {}, None, "peephole_lstm --units=6 --layers=1"),
        ("stacked_basic_lstm", {}, "layer 1 with kernel (34, 24)", "lstm --units=6 --layers=2"),
        ("basic_lstm", {"layers": 2}, "kernel (12, 24)", "lstm --units=6 --layers=1"),
        ("bidirectional_basic_lstm", {}, "kernel (34, 24)", "bidirectional_lstm --units=6 --lay"),
        ("basic_lstm", {"model": "bidirectional_lstm"}, "a fw cell of layer 1", "lstm --units=6"),
        (
            "gru",
            {"model": "gru", "scan": "pixels"},
            "(1, 28)",
            "gru --units=6 --layers=1 and read 28",
        ),
        ("bidirectional_gru", {}, "bias (24,)", "bidirectional_gru --units=6 --layers=1"),
        ("basic_rnn", {}, "bias (24,)", "basic_rnn --units=6 --layers=1"),
    ],
)
def test_a_checkpoint_that_does_not_fit_changes_nothing_and_lists_found_and_expected(
    name, values, missing, suggestion, graph
):
    path, _, _ = graph(name)
    model = create_model(Config(**{"units": 6} | values), MNIST)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"does not fit .*, its cells are --model=") as error:
        load_tf1_checkpoint(model, path)
    found, expected = str(error.value).split("; expected ")
    assert suggestion in found
    expected, told = expected.split("; missing: ")
    if missing:
        assert missing in expected
        assert missing in told
    else:
        assert "missing: nothing; not used: rnn/lstm_cell/w_f_diag (6,), " in str(error.value)
    assert "Variable (" in found
    assert "Adam" not in found
    assert "\n" not in str(error.value)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_without_counterpart_is_refused(graph):
    with pytest.raises(ValueError, match=r"cifg_lstm has no counterpart .* expected one of basic"):
        load_tf1_checkpoint(a_model(model="cifg_lstm"), "anywhere")


def test_optimizers_in_their_own_scope_and_integers_are_ignored(graph, tmp_path):
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
    with pytest.raises(ValueError, match="--tf1_forget_bias=nan: expected a finite number"):
        load_tf1_checkpoint(a_model(model="lstm"), path, forget_bias=float("nan"))


@pytest.mark.parametrize(
    "given",
    [
        *("{}.index", "{}.data-00000-of-00001", "{}.meta"),
        *("{folder}", "{folder}/", "{folder}/checkpoint"),
    ],
)
def test_all_paths_to_a_checkpoint_are_accepted(given, graph):
    path, images, logits = graph("basic_lstm")
    model = a_model(model="lstm")
    load_tf1_checkpoint(model, given.format(path, folder=path.parent))
    np.testing.assert_allclose(model(images), logits, rtol=0, atol=1e-6)


def test_a_moved_folder_or_one_with_a_single_checkpoint_is_accepted(lstm, tmp_path):
    path, logits = lstm()
    folder = tmp_path / "moved"
    folder.mkdir()
    for old in path.parent.glob("model.ckpt.*"):
        old.rename(folder / old.name)
    for text in (
        None,
        'model_checkpoint_path: "/home/old/model.ckpt"\n',
        'model_checkpoint_path: "g"',
    ):
        if text:
            (folder / "checkpoint").write_text(text)
        np.testing.assert_allclose(load(folder)[0], logits, rtol=0, atol=2e-6)


@pytest.mark.parametrize("given", ["", "saved_model.pb", "variables", "variables/variables.index"])
def test_a_saved_model_of_tensorflow_1_is_accepted(given, lstm, tmp_path):
    path, logits = lstm()
    variables = tmp_path / "saved/variables"
    variables.mkdir(parents=True)
    for old in path.parent.glob("model.ckpt.*"):
        old.rename(variables / old.name.replace("model.ckpt", "variables"))
    (tmp_path / "saved/saved_model.pb").write_bytes(b"")
    np.testing.assert_allclose(load(tmp_path / "saved" / given)[0], logits, rtol=0, atol=2e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Nobody develops tf_keras any more.
@pytest.mark.parametrize(
    ("values", "layer"),
    [
        ({"model": "lstm"}, lambda layers: layers.LSTM(UNITS)),
        ({"model": "gru"}, lambda layers: layers.GRU(UNITS, reset_after=False)),
        (
            {"model": "bidirectional_basic_rnn"},
            lambda layers: layers.Bidirectional(layers.SimpleRNN(UNITS)),
        ),
    ],
)
def test_all_formats_of_tf_keras_are_read(values, layer, tmp_path):
    import tf_keras

    old = tf_keras.Sequential(
        [tf_keras.layers.Input((28, 28)), layer(tf_keras.layers), tf_keras.layers.Dense(CLASSES)]
    )
    old.compile("adam", "mse")
    old.fit(IMAGES / 255, np.zeros((len(IMAGES), CLASSES)), verbose=0)  # Its optimizer has slots.
    random = np.random.default_rng(0)
    old.set_weights([random.normal(scale=0.5, size=w.shape) for w in old.get_weights()])
    old.save_weights(tmp_path / "weights")
    old.save(tmp_path / "saved_model")
    for name in ("weights", "saved_model"):
        model = create_model(Config(units=UNITS, **values), MNIST)
        load_tf1_checkpoint(model, tmp_path / name)
        np.testing.assert_allclose(model(IMAGES), old(IMAGES / 255), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_checkpoint_from_before_0_12_is_read(lstm, tmp_path):
    import tensorflow as tf

    path, logits = lstm()
    reader = tf.train.load_checkpoint(str(path))
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for name in reader.get_variable_to_shape_map():
            v1.Variable(reader.get_tensor(name), name=name)
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver(write_version=v1.train.SaverDef.V1)
        (tmp_path / "old").mkdir()
        old = saver.save(session, str(tmp_path / "old/model.ckpt"), global_step=5)
    for given in (old, f"{old}.meta", tmp_path / "old"):
        np.testing.assert_allclose(load(given)[0], logits, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("nowhere", "nowhere does not exist; expected the common prefix"),
        (
            "modl.ckpt",
            "modl.ckpt does not exist; did you mean {folder}/model.ckpt?; expected the com",
        ),
        ("model", "model does not exist; did you mean {folder}/model.ckpt?; expected the common"),
        ("empty", "empty has no file that ends in .index; expected the common prefix"),
        ("several", "several has several checkpoints, and not the file named checkpoint"),
        ("graph.pb", "graph.pb is a frozen graph or a graph without weights; expected the common"),
        ("weights.h5", "weights.h5 is a file of Keras; expected the common prefix"),
        ("model.keras", "model.keras is a file of Keras; expected the common prefix"),
        ("half.ckpt", "half.ckpt.index does not exist, only half.ckpt.meta; expected the common"),
        (
            "half.ckpt.meta",
            "half.ckpt.index does not exist, only half.ckpt.meta; expected the common",
        ),
        ("cut.ckpt", "it cannot be read as a checkpoint"),
    ],
)
def test_a_path_that_is_not_a_checkpoint_is_refused(given, expected, lstm, tmp_path):
    path, _ = lstm()
    for name in ("empty", "several"):
        (tmp_path / name).mkdir()
    for end in (".index", ".data-00000-of-00001"):
        content = pathlib.Path(f"{path}{end}").read_bytes()
        (tmp_path / f"cut.ckpt{end}").write_bytes(content[: len(content) // 2])
        for name in ("a", "b"):
            (tmp_path / f"several/{name}{end}").write_bytes(content)
    for name in ("graph.pb", "weights.h5", "model.keras", "half.ckpt.meta"):
        (tmp_path / name).write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="expected") as error:
        load(tmp_path / given)
    assert expected.format(folder=tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


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
    assert "weights: bidirectional_rnn/fw/gru_cell -> forward_recurrent_1\n" in result.stdout
    # Its weights are random.
    assert re.search(
        r"\nwarning: \d+\.\d\d% is low .* range of the pixels \(expected: 0 to 1\)", result.stdout
    )
    metrics = json.loads((tmp_path / "runs/old/metrics.json").read_text())
    assert metrics["imported"] == {
        "tf1_checkpoint": str(path),
        "tf1_forget_bias": None,
        "tf1_names": [],
        "tf1_averages": False,
    }
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
def test_the_program_adds_the_forget_bias_of_the_flag(graph, run_main, tmp_path):
    path, images, logits = graph("basic_lstm_forget_bias_0")
    run_main(
        "--mode=import", f"--tf1_checkpoint={path}", "--tf1_forget_bias=0", "--units=6",
        "--name=old",
    )  # fmt: skip
    command = (tmp_path / "runs/old/flags.txt").read_text().splitlines()[0]
    assert f"--tf1_checkpoint={path} --tf1_forget_bias=0.0 --flagfile=" in command
    model = keras.models.load_model(tmp_path / "runs/old/model.keras")
    np.testing.assert_allclose(model(images), logits, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--units=7"], "kernel (35, 28)"),
        (["--tf1_names=none"], "--tf1_names: received 'none'; expected old:new"),
        (["--tf1_averages"], "--tf1_averages: "),
        (["--model=cifg_lstm"], "expected one of basic_rnn"),
        (["--tf1_checkpoint=nowhere"], "nowhere does not exist"),
        (["--tf1_checkpoint="], "--tf1_checkpoint=: the path is empty"),
        (["--run=runs/none"], "--run=runs/none: received --mode=import; expected"),
        (["--mode=train"], "received --mode=train; expected --mode=import with --tf1_checkpoint"),
        (["--tf1_forget_bias=nan"], "--tf1_forget_bias=nan: expected a finite number"),
    ],
)
def test_a_wrong_import_prints_one_line_and_leaves_nothing(
    flags, expected, graph, run_main, tmp_path
):
    path, _, _ = graph("basic_lstm")
    result = run_main("--mode=import", f"--tf1_checkpoint={path}", "--units=6", *flags)
    assert_one_line_error(result, expected)
    assert not pathlib.Path(tmp_path, "runs").exists()
