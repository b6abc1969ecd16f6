"""The initial biases that flags set, beside the papers' formulas."""

import keras
import numpy as np
import pytest

from configs import Config, UserError
from configs.cells import CELLS, FORGET_GATES, MODELS
from datasets import Spec
from models import create_model
from tests.conftest import MNIST

SEQUENCES = Spec("vectors", "number", (None, 2), 1)
UNITS = 400
# The order in which the bias of a cell holds its gates, by the name of the model.
ORDERS = {
    **dict.fromkeys(FORGET_GATES, "ifco"),
    **{name: "ico" for name in FORGET_GATES if "cifg" in name or "nog" in name},
    **{name: "fco" for name in FORGET_GATES if "nig" in name},
    **{name: "ifc" for name in FORGET_GATES if "nog" in name},
    **dict.fromkeys(("gru", "gru1", "gru3"), "zrh"),
}


def biases(model, order, units=UNITS):
    """The bias of each gate of each direction of each layer."""
    found = [w.numpy() for w in model.weights if w.shape == (len(order) * units,)]
    return [
        {gate: bias[n * units : (n + 1) * units] for n, gate in enumerate(order)} for bias in found
    ]


def build(spec=SEQUENCES, seed=0, **values):
    keras.utils.set_random_seed(seed)
    settings = {"dataset": "adding", "length": 101, "units": UNITS}
    return create_model(Config(**settings | values), spec)


def assert_chrono(gates, steps):
    """The times that the forget gates stand for are spread uniformly from 1 to T - 1."""
    forget = gates["z" if "z" in gates else "f"] if {"z", "f"} & gates.keys() else -gates["i"]
    times = np.exp(forget.astype(np.float64))
    assert 0.999 < times.min() < 1 + steps / 20
    assert steps - 1 - steps / 20 < times.max() < steps - 0.999
    shares = np.arange(len(times)) / len(times)
    distance = np.abs(np.sort((times - 1) / (steps - 2)) - shares).max()  # Kolmogorov-Smirnov.
    assert distance < 1.95 / np.sqrt(len(times))
    if "i" in gates:
        np.testing.assert_array_equal(gates["i"], -forget)


@pytest.mark.parametrize("name", FORGET_GATES)
def test_chrono_draws_the_biases_of_the_paper_and_leaves_all_other_weights(name):
    model, plain = build(model=name, forget_bias="chrono"), build(model=name)
    (gates,), (before,) = biases(model, ORDERS[name]), biases(plain, ORDERS[name])
    assert_chrono(gates, 101)
    for gate in set(gates) - set("fiz"):
        np.testing.assert_array_equal(gates[gate], before[gate])
    for weight, other in zip(model.weights, plain.weights, strict=True):
        if weight.name != "bias":
            np.testing.assert_array_equal(weight, other)


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ({"dataset": "mnist"}, 28),
        ({"dataset": "mnist", "scan": "pixels"}, 784),
        ({"dataset": "first_row", "length": 50}, 78),
        ({"dataset": "text", "steps_per_batch": 35}, 35),
    ],
)
def test_the_number_of_steps_is_that_of_the_dataset(values, steps):
    spec = {
        "mnist": MNIST,
        "first_row": Spec("vectors", "bits", (None, 28), 28),
        "text": Spec("tokens", "next_token", (None,), 3, "character", ("a", "b", "c")),
    }[values["dataset"]]
    values = {"length": 100, **values}
    (gates,) = biases(build(spec, model="lstm", forget_bias="chrono", **values), "ifco")
    assert_chrono(gates, steps)


@pytest.mark.parametrize("name", ["lstm", "peephole_fgr_lstm", "gru", "cifg_lstm"])
def test_a_number_is_the_bias_of_the_forget_gate_alone(name):
    model, plain = (build(model=name, forget_bias=bias) for bias in ("2.5", None))
    (gates,), (before,) = biases(model, ORDERS[name]), biases(plain, ORDERS[name])
    changed = {"gru": "z", "cifg_lstm": "i"}.get(name, "f")
    assert set(gates[changed]) == {-2.5 if changed == "i" else 2.5}
    for gate in set(gates) - {changed}:
        np.testing.assert_array_equal(gates[gate], before[gate])


@pytest.mark.parametrize("name", ["lstm", "custom_lstm", "peephole_lstm", "cifg_lstm"])
def test_the_default_of_an_lstm_is_1(name):
    for weight, other in zip(
        build(model=name).weights, build(model=name, forget_bias="1").weights, strict=True
    ):
        np.testing.assert_array_equal(weight, other)


def test_every_layer_and_direction_has_biases_of_its_own_that_a_file_keeps(tmp_path):
    model = build(model="bidirectional_custom_lstm", layers=2, forget_bias="chrono")
    found = biases(model, "ifco")
    assert len(found) == 4
    for gates in found:
        assert_chrono(gates, 101)
    assert len({gates["f"].tobytes() for gates in found}) == 4
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for weight, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight, other)
    rebuilt = keras.Model.from_config(model.get_config())
    rebuilt.set_weights(model.get_weights())
    sequences = np.random.default_rng(0).random((3, 7, 2), np.float32)
    np.testing.assert_array_equal(model(sequences), rebuilt(sequences))


def test_small_weights_keep_the_biases_that_were_asked_for():
    model = build(model="custom_lstm", weights_init="small", forget_bias="chrono")
    (gates,) = biases(model, "ifco")
    assert_chrono(gates, 101)
    assert not gates["c"].any()
    (kernel,) = (w.numpy() for w in model.weights if w.name == "recurrent_kernel")
    assert kernel.std() == pytest.approx(0.01, rel=0.05)


def test_each_seed_draws_its_own():
    first, same, other = (
        biases(build(seed=seed, forget_bias="chrono"), "ifco")[0]["f"] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.isin(first, other).any()


@pytest.mark.parametrize("bias", ["", "crono", "nan", "inf", "101", "1:2"])
def test_another_bias_is_refused(bias):
    with pytest.raises(UserError, match="expected a number from -100 to 100, or chrono"):
        Config(model="lstm", forget_bias=bias)


def test_a_model_without_a_forget_gate_is_refused():
    without = {"fully_recurrent", "basic_rnn", "irnn", "lstm_1997", "gru2"}
    without |= {"nfg_lstm", "peephole_nfg_lstm"}
    assert {*CELLS, "lstm"} - {*FORGET_GATES} == without
    for name in MODELS:
        if name.removeprefix("bidirectional_") in without:
            with pytest.raises(UserError, match=f"--model={name} has no forget gate with a bias"):
                Config(model=name, forget_bias="1")


def test_chrono_needs_three_steps():
    Config(dataset="text", steps_per_batch=3, forget_bias="chrono")
    with pytest.raises(UserError, match=r"--steps_per_batch=2 is too short.*expected"):
        Config(dataset="text", steps_per_batch=2, forget_bias="chrono")


@pytest.mark.parametrize(
    ("bias", "expected"),
    [
        ("-3:-6", [-3, -3.75, -4.5, -5.25, -6]),
        ("-2", [-2] * 5),
        ("-6:-3", [-6, -5.25, -4.5, -3.75, -3]),
    ],
)
def test_the_biases_of_the_input_gates_go_from_the_first_block_to_the_last(bias, expected):
    values = {"model": "bidirectional_lstm_1997", "units": 10, "block_size": 2}
    model, plain = build(**values, input_gate_bias=bias), build(**values)
    changed = 0
    for weight, other in zip(model.weights, plain.weights, strict=True):
        if weight.shape == (20,):
            np.testing.assert_array_equal(weight[:5], expected)
            np.testing.assert_array_equal(weight[5:], other[5:])
            changed += 1
        else:
            np.testing.assert_array_equal(weight, other)
    assert changed == 2


def test_uniform_weights_are_within_a_tenth_except_the_biases_that_were_asked_for():
    values = {"model": "lstm_1997", "units": 100, "weights_init": "uniform"}
    for weight in build(**values).weights:
        assert weight.numpy().min() < 0 < weight.numpy().max() or weight.shape == (1,)
        assert np.abs(weight).max() <= 0.1
    (bias,) = (w for w in build(**values, input_gate_bias="-3").weights if w.shape == (300,))
    assert set(bias.numpy()[:100]) == {-3}
    assert np.abs(bias[100:]).max() <= 0.1
    matrix = max((w.numpy() for w in build(**values).weights), key=np.size)
    assert matrix.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.02)


@pytest.mark.parametrize("bias", ["", "low", "-3:", ":-3", "-3:-6:-9", "nan", "-3:inf", "-101"])
def test_another_bias_of_the_input_gate_is_refused(bias):
    with pytest.raises(UserError, match="expected a number from -100 to 100, or two with a colon"):
        Config(model="lstm_1997", input_gate_bias=bias)
    with pytest.raises(UserError, match=r"--model=lstm has no blocks.*no --input_gate_bias"):
        Config(model="lstm", input_gate_bias="-3")
