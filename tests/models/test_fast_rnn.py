"""The fast path compared with Keras's loop: values, gradients, and when it runs."""

import functools

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import models.unroll
from models import FastLSTM, FastRNN, LSTMCell
from tests.models.oracles import CASES

BATCH, STEPS, FEATURES, UNITS = 4, 3, 5, 6
# One cell of each class, with all its options.
EVERY_KIND = ("lstm", "irnn", "peephole_fgr_lstm", "lstm_1997 (blocks of 2)", "gru")
OTHERS = [name for name in CASES if name not in EVERY_KIND]
EVERY_LAYER = [*EVERY_KIND, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
# The tests set all options at once.
OPTIONS = {"return_sequences": True, "return_state": True, "go_backwards": True}


@pytest.fixture(autouse=True)
def two_shards(monkeypatch):
    """Two shards on every machine. They have the same size, so XLA compiles once."""
    monkeypatch.setattr(models.unroll, "_shards", lambda: 2)


@pytest.fixture
def random():
    return np.random.default_rng(3)


def fast_and_plain(name, random, dtype="float64", dropout=0.0, **options):
    """A layer of this project and Keras's own, with the same random weights."""

    def layer(ours):
        if name == "lstm":
            kind = FastLSTM if ours else keras.layers.LSTM
            return kind(UNITS, dtype=dtype, **options)
        masks = {"dropout": dropout, "recurrent_dropout": dropout, "seed": 1}
        cell = CASES[name](UNITS, dtype=dtype, **masks)
        return (FastRNN if ours else keras.layers.RNN)(cell, dtype=dtype, **options)

    pair = layer(True), layer(False)
    for each in pair:
        each.build((BATCH, STEPS, FEATURES))
    for fast, plain in zip(*(each.trainable_weights for each in pair), strict=True):
        value = random.normal(scale=0.7, size=fast.shape)
        fast.assign(value)
        plain.assign(value)
    return pair


def inputs_of(layer, random, batch=BATCH):
    """Random sequences and initial states that are not zero."""
    arrays = [random.normal(size=(batch, STEPS, FEATURES))]
    arrays += [random.normal(size=(batch, size)) for size in layer.state_size]
    return [tf.constant(array, layer.compute_dtype) for array in arrays]


def results(layer, sequences, *states):
    """The outputs of a layer, and gradients with respect to inputs, states and weights."""
    sources = [sequences, *states, *(weight.value for weight in layer.trainable_weights)]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs = tf.nest.flatten(layer(sequences, initial_state=list(states), training=True))
        loss = sum(tf.reduce_sum(tf.sin(tf.cast(y, "float64") + k)) for k, y in enumerate(outputs))
    return outputs, tape.gradient(loss, sources, unconnected_gradients="zero")


def in_a_graph(layer):
    """`results` in a graph with an unknown batch size, as in `fit`."""
    shapes = [(None, STEPS, FEATURES), *((None, size) for size in layer.state_size)]
    signature = [tf.TensorSpec(shape, layer.compute_dtype) for shape in shapes]

    run = functools.partial(results, layer)
    return tf.function(run, input_signature=signature, autograph=False)


def largest_difference(ones, others):
    pairs = zip(tf.nest.flatten(ones), tf.nest.flatten(others), strict=True)
    return max(
        float(np.abs(np.asarray(one, "float64") - np.asarray(other, "float64")).max())
        for one, other in pairs
    )


@pytest.fixture
def unrolls(monkeypatch):
    """A list with one entry for each call of the fast path."""
    taken = []
    unroll = models.unroll.Unroll.__call__

    def counted(self, *args, **kwargs):
        taken.append(self)
        return unroll(self, *args, **kwargs)

    monkeypatch.setattr(models.unroll.Unroll, "__call__", counted)
    return taken


@pytest.mark.parametrize("name", EVERY_LAYER)
def test_outputs_states_and_gradients_are_those_of_kerass_loop(name, random, unrolls):
    dropout = 0.0 if name == "lstm" else 0.4
    fast, plain = fast_and_plain(name, random, dropout=dropout, **OPTIONS)
    inputs = inputs_of(fast, random)
    assert largest_difference(in_a_graph(fast)(*inputs), results(plain, *inputs)) < 1e-13
    assert unrolls


@pytest.mark.parametrize("name", EVERY_KIND)
def test_without_sequences_the_output_and_its_gradients_are_those_of_kerass_loop(
    name, random, unrolls
):
    fast, plain = fast_and_plain(name, random)
    inputs = inputs_of(fast, random)
    assert largest_difference(in_a_graph(fast)(*inputs), results(plain, *inputs)) < 1e-13
    assert unrolls


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *(("lstm", "float32"), ("gru", "float32"), ("lstm", "mixed_bfloat16")),
        *(
            pytest.param(name, dtype, marks=pytest.mark.slow)
            for name, dtype in [
                *((name, "float32") for name in EVERY_KIND[1:-1]),
                *((name, "mixed_bfloat16") for name in EVERY_KIND[1:]),
                ("peephole_fgr_lstm", "mixed_float16"),
            ]
        ),
    ],
)
def test_in_lower_precision_it_is_as_near_to_float64_as_kerass_loop(name, dtype, random, unrolls):
    fast, plain = fast_and_plain(name, random, dtype, **OPTIONS)
    _, exact = fast_and_plain(name, random, **OPTIONS)
    for weight, value in zip(exact.trainable_weights, fast.trainable_weights, strict=True):
        weight.assign(value)
    inputs = inputs_of(fast, random)
    expected = results(exact, *(tf.cast(each, "float64") for each in inputs))
    ours, theirs = in_a_graph(fast)(*inputs), results(plain, *inputs)
    assert [each.dtype for each in ours[0]] == [each.dtype for each in theirs[0]]
    error, allowed = largest_difference(ours, expected), largest_difference(theirs, expected)
    assert error < max(2 * allowed, 1e-5)
    assert unrolls
    if dtype == "float32":
        assert largest_difference(ours, theirs) < 1e-5


@pytest.mark.parametrize("name", EVERY_KIND)
def test_gradients_are_the_slopes_of_the_function(name, random):
    layer, _ = fast_and_plain(name, random, **OPTIONS)
    inputs = inputs_of(layer, random)
    weights = [weight.numpy() for weight in layer.trainable_weights]
    step = in_a_graph(layer)

    def loss(arrays):
        for weight, value in zip(layer.trainable_weights, arrays[len(inputs) :], strict=True):
            weight.assign(value)
        outputs, _ = step(*arrays[: len(inputs)])
        return sum(np.sum(np.sin(y.numpy() + k)) for k, y in enumerate(outputs))

    arrays = [*(each.numpy() for each in inputs), *weights]
    _, gradients = step(*inputs)
    for index, gradient in enumerate(gradients):
        direction = random.normal(size=gradient.shape)
        slopes = []
        for epsilon in (1e-6, -1e-6):
            moved = [tf.constant(array) for array in arrays]
            moved[index] = moved[index] + epsilon * direction
            slopes.append(loss(moved) / 2e-6)
        slope = slopes[0] - slopes[1]
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("batch", [1, 5])
def test_batch_sizes_that_are_not_a_multiple_of_the_shards_give_the_same(batch, random, unrolls):
    fast, plain = fast_and_plain("lstm", random, **OPTIONS)
    inputs = inputs_of(fast, random, batch)
    assert largest_difference(in_a_graph(fast)(*inputs), results(plain, *inputs)) < 1e-13
    assert unrolls


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_stacked_layers_learn_as_kerass_do(jit_compile):
    losses = []
    for layer in (FastLSTM, keras.layers.LSTM):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((STEPS, FEATURES))
        model = keras.Model(inputs, layer(UNITS)(layer(UNITS, return_sequences=True)(inputs)))
        model.compile("sgd", "mse", jit_compile=jit_compile and layer is FastLSTM)
        x = np.random.default_rng(0).normal(size=(10, STEPS, FEATURES))
        history = model.fit(x, x[:, 0, :1] * np.ones(UNITS), batch_size=5, epochs=3, verbose=0)
        losses.append(history.history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_a_stateful_layer_continues_from_its_last_state(random, unrolls):
    fast, plain = fast_and_plain("peephole_lstm", random, stateful=True)
    xs = random.normal(size=(BATCH, 2 * STEPS, FEATURES))
    run = tf.function(fast, autograph=False)
    for part in (xs[:, :STEPS], xs[:, STEPS:]):
        np.testing.assert_allclose(run(part), plain(part), rtol=0, atol=1e-13)
    assert unrolls


@pytest.mark.parametrize(
    ("name", "options", "call"),
    [
        ("gru", {}, {"mask": np.array([[True, False, True]] * BATCH)}),
        ("lstm", {}, {"mask": np.array([[True, False, True]] * BATCH)}),
        ("gru", {"unroll": True}, {}),
        ("lstm", {"activation": "relu"}, {}),
        ("lstm", {"use_bias": False}, {}),
        ("lstm", {"recurrent_dropout": 0.5, "seed": 1}, {"training": True}),
    ],
    ids=str,
)
def test_unsupported_options_use_kerass_loop(name, options, call, random, unrolls):
    fast, plain = fast_and_plain(name, random, **options)
    xs = inputs_of(fast, random)[0]
    run = tf.function(fast, autograph=False)
    np.testing.assert_allclose(run(xs, **call), plain(xs, **call), rtol=0, atol=1e-6)
    assert not unrolls


def test_keras_cells_and_stacks_of_cells_use_kerass_loop(random, unrolls):
    for cell in (keras.layers.GRUCell(UNITS), [LSTMCell(UNITS), LSTMCell(UNITS)]):
        run = tf.function(FastRNN(cell), autograph=False)
        assert run(random.normal(size=(BATCH, STEPS, FEATURES))).shape == (BATCH, UNITS)
    assert not unrolls


class Doubled(LSTMCell):
    def call(self, inputs, states, training=False):
        h, states = super().call(inputs, states, training)
        return 2 * h, states


class DropsFirst(LSTMCell):
    def drop_inputs(self, inputs, training):
        return inputs * ([0] + [1] * (FEATURES - 1))


class DoublesPreactivations(LSTMCell):
    def preactivations_of(self, x, gate_weights, mask=None):
        return super().preactivations_of(2 * x, gate_weights, mask)


class WithAWeightOfItsOwn(LSTMCell):
    def build(self, input_shape):
        super().build(input_shape)
        self.scale = self.add_weight((), "ones", name="scale")

    def step(self, preactivations, states, *args, **kwargs):
        h, c = super().step(preactivations, states, *args, **kwargs)
        return [self.scale * h, c]


class AsksTwice(LSTMCell):
    def step(self, preactivations, states, *args, **kwargs):
        preactivations(states[0])
        return super().step(preactivations, states, *args, **kwargs)


class Obedient(LSTMCell):
    def step(self, preactivations, states, *args, **kwargs):
        h, c = super().step(preactivations, states, *args, **kwargs)
        return [h / 2, c]


def patched(units, **options):
    cell = LSTMCell(units, **options)
    cell.call = lambda inputs, states, training=False: (states[0] + 1, [states[0] + 1, states[1]])
    return cell


@pytest.mark.parametrize(
    "cell", [Doubled, DropsFirst, DoublesPreactivations, WithAWeightOfItsOwn, AsksTwice, patched]
)
def test_a_cell_that_does_more_than_its_equations_uses_kerass_loop(cell, random, unrolls):
    layer = FastRNN(cell(UNITS, dtype="float64"), dtype="float64")
    plain = keras.layers.RNN(layer.cell, dtype="float64")
    xs = random.normal(size=(BATCH, STEPS, FEATURES))
    plain(xs)
    np.testing.assert_allclose(
        tf.function(layer, autograph=False)(xs), plain(xs), rtol=0, atol=1e-13
    )
    assert not unrolls


def test_a_cell_that_overrides_only_its_equations_uses_the_fast_path(random, unrolls):
    layer = FastRNN(Obedient(UNITS, dtype="float64"), dtype="float64")
    xs = random.normal(size=(BATCH, STEPS, FEATURES))
    run = tf.function(layer, autograph=False)
    np.testing.assert_allclose(run(xs), layer(xs), rtol=0, atol=1e-13)
    assert unrolls


class KerassDoubled(keras.layers.LSTMCell):
    def call(self, inputs, states, training=False):
        h, states = super().call(inputs, states, training)
        return 2 * h, states


def replace_cell(layer):
    layer.cell.__class__ = KerassDoubled


def replace_activation(layer):
    layer.cell.activation = keras.activations.relu


def replace_call(layer):
    layer.cell.call = lambda inputs, states, training=False: (states[0] + 1, states)


@pytest.mark.parametrize("change", [replace_cell, replace_activation, replace_call])
def test_an_lstm_whose_cell_was_changed_uses_kerass_loop(change, random, unrolls):
    layer, _ = fast_and_plain("lstm", random)
    change(layer)
    xs = inputs_of(layer, random)[0]
    np.testing.assert_allclose(
        tf.function(layer, autograph=False)(xs), layer(xs), rtol=0, atol=1e-13
    )
    assert not unrolls


def test_one_layer_reads_sequences_of_several_lengths(random, unrolls):
    fast, plain = fast_and_plain("lstm", random)
    run = tf.function(fast, autograph=False)
    for steps in (STEPS, STEPS + 2):
        xs = random.normal(size=(BATCH, steps, FEATURES))
        np.testing.assert_allclose(run(xs), plain(xs), rtol=0, atol=1e-13)
    assert len(unrolls) == 2


def lstms(kind):
    inputs = keras.Input((STEPS, FEATURES))
    x = kind(UNITS, return_sequences=True)(inputs)
    x = keras.layers.Bidirectional(kind(UNITS, return_sequences=True))(x)
    return keras.Model(inputs, kind(UNITS)(x))


def test_weights_go_from_kerass_lstm_to_ours_and_back(random, tmp_path):
    ours, theirs = lstms(FastLSTM), lstms(keras.layers.LSTM)
    xs = random.normal(size=(BATCH, STEPS, FEATURES)).astype("float32")
    for source, target in ((theirs, ours), (ours, theirs)):
        source.set_weights([random.normal(size=w.shape) for w in source.get_weights()])
        for file in ("it.weights.h5", "it.keras"):
            target.set_weights([0 * w for w in target.get_weights()])
            (source.save_weights if file.endswith("h5") else source.save)(tmp_path / file)
            target.load_weights(tmp_path / file)
            np.testing.assert_allclose(target(xs), source(xs), rtol=1e-6, atol=1e-6)


def test_weights_go_from_kerass_rnn_to_ours(random, tmp_path):
    models = [
        keras.Sequential([keras.Input((STEPS, FEATURES)), rnn(LSTMCell(UNITS))])
        for rnn in (FastRNN, keras.layers.RNN)
    ]
    for source, target in (models, models[::-1]):
        source.set_weights([random.normal(size=w.shape) for w in source.get_weights()])
        source.save_weights(tmp_path / "it.weights.h5")
        target.load_weights(tmp_path / "it.weights.h5")
        for one, other in zip(source.get_weights(), target.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_weights_in_files_with_the_former_names_of_the_layers_are_loaded(random, tmp_path):
    model = lstms(FastLSTM)
    model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
    path = tmp_path / "old.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        for name in ("lstm", "lstm_1"):
            file.move(f"layers/{name}", f"layers/fast_{name}")
    loaded = lstms(FastLSTM)
    loaded.load_weights(path)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_sequences_of_unknown_length_use_kerass_loop(random, unrolls):
    fast, plain = fast_and_plain("gru", random)
    xs = inputs_of(fast, random)[0]
    signature = [tf.TensorSpec((None, None, FEATURES), "float64")]
    np.testing.assert_allclose(tf.function(fast, signature)(xs), plain(xs), rtol=0, atol=1e-13)
    assert not unrolls


def test_a_cell_with_another_precision_than_its_layer_uses_kerass_loop(random, unrolls):
    xs = random.normal(size=(BATCH, STEPS, FEATURES))
    run = tf.function(FastRNN(LSTMCell(UNITS, dtype="float64")), autograph=False)
    assert run(xs).dtype == "float32"
    assert not unrolls


def test_with_a_gpu_kerass_loop_runs(random, unrolls, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"a {kind}"])
    fast, plain = fast_and_plain("gru", random)
    xs = inputs_of(fast, random)[0]
    run = tf.function(fast, autograph=False)
    np.testing.assert_allclose(run(xs), plain(xs), rtol=0, atol=1e-13)
    assert not unrolls


def test_in_eager_calls_kerass_loop_runs(random, unrolls):
    fast, plain = fast_and_plain("gru", random)
    xs = inputs_of(fast, random)[0]
    np.testing.assert_array_equal(fast(xs), plain(xs))
    assert not unrolls


@pytest.mark.parametrize("name", EVERY_LAYER)
def test_a_serving_graph_gives_the_same_without_xla_and_without_variables(name, random):
    fast, plain = fast_and_plain(name, random, **OPTIONS)
    inputs = inputs_of(fast, random)
    fast.for_serving = True
    signature = [tf.TensorSpec((None, *each.shape[1:]), each.dtype) for each in inputs]

    @tf.function(input_signature=signature, autograph=False)
    def serve(sequences, *states):
        return fast(sequences, initial_state=list(states))

    graph = serve.get_concrete_function()
    operations = graph.graph.get_operations()
    assert not any(op.type == "ReadVariableOp" for op in operations)
    assert not any("_XlaMustCompile" in op.node_def.attr for op in operations)
    expected = plain(inputs[0], initial_state=inputs[1:])
    assert largest_difference(serve(*inputs), expected) < 1e-13


@pytest.mark.parametrize("steps", [37, 64])
def test_long_sequences_are_served_in_equal_chunks(steps, random):
    fast, plain = fast_and_plain("lstm", random, return_sequences=True)
    fast.for_serving = True
    xs = random.normal(size=(2, steps, FEATURES))
    serve = tf.function(fast, autograph=False)
    np.testing.assert_allclose(serve(xs), plain(xs), rtol=0, atol=1e-13)
    assert len(serve.get_concrete_function(xs).graph.get_operations()) < 1500


@pytest.mark.parametrize("name", EVERY_KIND)
def test_a_layer_survives_its_config_and_its_keras_file(name, random, tmp_path):
    inputs = keras.Input((STEPS, FEATURES))
    fast, plain = fast_and_plain(name, random, "float32", return_sequences=True)
    pair = keras.layers.Bidirectional(fast), keras.layers.Bidirectional(plain)
    models = [keras.Model(inputs, each(inputs)) for each in pair]
    models[1].set_weights(models[0].get_weights())
    models[0].save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[1].backward_layer) is type(fast)
    xs = random.normal(size=(BATCH, STEPS, FEATURES)).astype("float32")
    outputs = loaded.predict(xs, verbose=0)
    np.testing.assert_allclose(outputs, models[1](xs), rtol=0, atol=1e-6)
