"""`FastLSTM` and `FastRNN` in programs that were written for Keras's layers.

Each case is a function that receives a maker of layers. It runs twice, with layers of this project
and with Keras's own layers, which have the same random weights. Both must give the same numbers. In
the slowest cases Keras's layers run eagerly.
"""

import copy
import functools
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import models.unroll
from models import FastLSTM, FastRNN, GRUCell

BATCH, STEPS, FEATURES, UNITS = 4, 3, 5, 6

pytestmark = pytest.mark.slow


def _ours_in_rnn(cell):
    return lambda dtype=None, **options: FastRNN(cell(UNITS, dtype=dtype), dtype=dtype, **options)


# The name of a kind -> a maker of this project's layer and a maker of Keras's layer.
KINDS = {
    "lstm": (
        functools.partial(FastLSTM, UNITS),
        functools.partial(keras.layers.LSTM, UNITS),
    ),
    "gru": (
        _ours_in_rnn(GRUCell),
        functools.partial(keras.layers.GRU, UNITS, reset_after=False),
    ),
}
CASES = {}


@pytest.fixture(autouse=True)
def two_shards(monkeypatch):
    """Two shards on every machine. They have the same size, so XLA compiles once."""
    monkeypatch.setattr(models.unroll, "_shards", lambda: 2)


def case(function):
    CASES[function.__name__] = function
    return function


def maker(make, seed=5):
    """A maker of built layers. Two makers give the same random weights, call by call."""
    random = np.random.default_rng(seed)

    def layer(features=FEATURES, batch=None, **options):
        made = make(**options)
        made.build((batch, None, features))
        made.set_weights([random.normal(scale=0.5, size=w.shape) for w in made.get_weights()])
        return made

    return layer


def sequences(batch=BATCH, steps=STEPS, features=FEATURES, dtype="float32"):
    random = np.random.default_rng(batch + 10 * steps + 100 * features)
    return tf.constant(random.normal(size=(batch, steps, features)), dtype)


def graph(function, **options):
    return tf.function(function, autograph=False, **options)


def loss(outputs):
    outputs = tf.nest.flatten(outputs)
    return sum(tf.reduce_sum(tf.sin(tf.cast(y, "float32") + k)) for k, y in enumerate(outputs))


def values(layer):
    return [weight.value for weight in layer.trainable_weights]


def steps_of_training(model, x, y, **options):
    model.compile("sgd", "mse", **options)
    losses = [model.train_on_batch(x, y) for _ in range(2)]
    return losses, model.get_weights(), model.predict(x, verbose=0)


@case
def options(layer):
    found = []
    x = sequences()
    for name in ("return_sequences", "return_state", "go_backwards", "unroll"):
        found.append(graph(layer(**{name: True}))(x))
    return found


@case
def first_states_by_keyword(layer):
    rnn = layer(return_state=True, return_sequences=True)
    states = [sequences(steps=UNITS)[:, :, 0] for _ in rnn.state_size]
    return graph(lambda x: rnn(x, initial_state=states))(sequences())


@case
def masks(layer):
    mask = tf.constant([[True, False, True]] * BATCH)
    rnn, zero = layer(), layer(return_sequences=True, zero_output_for_mask=True)
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), keras.layers.Masking(), layer()])
    x = np.array(sequences())
    x[:, 1] = 0
    return (
        graph(lambda x: rnn(x, mask=mask))(sequences()),
        graph(lambda x: zero(x, mask=mask))(sequences()),
        model.predict(x, verbose=0),
    )


@case
def embedded_words(layer):
    words = np.array([[1, 2, 0, 0], [3, 1, 2, 0]])
    embedding = keras.layers.Embedding(
        4, FEATURES, mask_zero=True, embeddings_initializer=keras.initializers.RandomNormal(seed=1)
    )
    model = keras.Sequential([keras.Input((STEPS,)), embedding, layer()])
    return model.predict(words, verbose=0)


@case
def stateful(layer):
    rnn = layer(batch=BATCH, stateful=True)
    run = graph(rnn)
    found = [run(sequences()), run(sequences())]
    rnn.reset_state()
    return [*found, run(sequences())]


@case
def sizes(layer):
    rnn = layer(return_sequences=True)
    unknown = graph(rnn, input_signature=[tf.TensorSpec((None, None, None))])
    run = graph(rnn)
    return (
        run(sequences(steps=1)),
        run(sequences(batch=1)),
        unknown(sequences()),
        graph(rnn, reduce_retracing=True)(sequences(batch=7)),
    )


@case
def empty_batch_learns(layer):
    rnn = layer()

    @functools.partial(graph, input_signature=[tf.TensorSpec((None, STEPS, FEATURES))])
    def step(x):
        with tf.GradientTape() as tape:
            y = loss(rnn(x))
        return tape.gradient(y, values(rnn))

    return step(sequences(batch=0)), step(sequences())


@case
def two_lengths(layer):
    rnn = layer()

    @graph
    def step(x):
        with tf.GradientTape() as tape:
            y = loss(rnn(x))
        return y, tape.gradient(y, values(rnn))

    both = graph(lambda x: rnn(x) + rnn(x[:, 1:]))
    return step(sequences()), step(sequences(steps=7)), step(sequences(batch=2)), both(sequences())


@case
def a_shared_layer_in_a_model(layer):
    rnn = layer()
    inputs = [keras.Input((STEPS, FEATURES)), keras.Input((STEPS + 2, FEATURES))]
    model = keras.Model(inputs, rnn(inputs[0]) * rnn(inputs[1]))
    x = [sequences(), sequences(steps=STEPS + 2)]
    return steps_of_training(model, x, np.ones((BATCH, UNITS)))


@case
def integers(layer):
    x = tf.cast(sequences() * 3, "int32")
    return [graph(layer())(tf.cast(x, dtype)) for dtype in ("int32", "uint8", "int64", "bool")]


@case
def integers_in_a_model(layer):
    inputs = keras.Input((STEPS, FEATURES), dtype="int32")
    model = keras.Model(inputs, layer()(inputs))
    return steps_of_training(model, np.ones((BATCH, STEPS, FEATURES), int), np.ones((BATCH, UNITS)))


@case
def float64(layer):
    return graph(layer(dtype="float64"))(sequences(dtype="float64"))


@case
def float64_into_float32(layer):
    return graph(layer())(sequences(dtype="float64"))


@case
def numpy_arrays(layer):
    rnn, x = layer(), sequences().numpy()
    return graph(lambda: rnn(x))()


@case
def inside_cond(layer):
    rnn = layer()

    @graph
    def step(x, flag):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = loss(tf.cond(flag, lambda: rnn(x), lambda: 2 * rnn(x)))
        return y, tape.gradient(y, [x, *values(rnn)])

    return [step(sequences(), tf.constant(flag)) for flag in (True, False)]


@case
def a_function_inside_cond(layer):
    rnn = layer()
    inner = graph(rnn)

    @graph
    def step(x, flag):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = loss(tf.cond(flag, lambda: inner(x), lambda: 2 * inner(x)))
        return y, tape.gradient(y, [x, *values(rnn)])

    return [step(sequences(), tf.constant(flag)) for flag in (True, False)]


@case
def inside_while_loop(layer):
    rnn = layer(features=UNITS, return_sequences=True)

    @graph
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            _, y = tf.while_loop(
                lambda i, _: i < 3, lambda i, y: (i + 1, rnn(y)), (0, x), maximum_iterations=3
            )
            y = loss(y)
        return y, tape.gradient(y, [x, *values(rnn)])

    return step(sequences(features=UNITS))


@case
def a_tape_inside_a_while_loop(layer):
    rnn = layer()

    @graph
    def step(x):
        def gradients():
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = loss(rnn(x))
            return tape.gradient(y, x)

        return tf.while_loop(
            lambda i, _: i < 3, lambda i, g: (i + 1, g + gradients()), (0, tf.zeros_like(x))
        )

    return step(sequences())


@case
def inside_map_fn(layer):
    rnn = layer()

    @graph
    def step(x):
        with tf.GradientTape() as tape:
            y = loss(tf.map_fn(rnn, x))
        return y, tape.gradient(y, values(rnn))

    return step(tf.stack([sequences(), 2 * sequences()]))


@case
def inside_vectorized_map(layer):
    rnn = layer()
    return graph(lambda x: tf.vectorized_map(rnn, x))(tf.stack([sequences(), 2 * sequences()]))


@case
def a_persistent_tape(layer):
    rnn = layer(return_sequences=True)

    def gradients(run):
        x = sequences()
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = run(x)
            losses = loss(y), tf.reduce_sum(y**2)
        return [tape.gradient(each, [x, *values(rnn)]) for each in losses]

    return gradients(graph(rnn)), graph(lambda: gradients(rnn))()


@case
def two_tapes_around_a_function(layer):
    generator, discriminator = layer(return_sequences=True), layer(features=UNITS)
    run = graph(lambda x: discriminator(generator(x)))
    x = sequences()
    with tf.GradientTape() as one, tf.GradientTape() as other:
        y = run(x)
        losses = loss(y), -loss(y)
    weights = [layer.trainable_variables for layer in (generator, discriminator)]
    variables = [[w.value for w in each] for each in weights]
    return one.gradient(losses[0], variables[0]), other.gradient(losses[1], variables[1])


@case
def two_tapes_inside_a_function(layer):
    generator, discriminator = layer(return_sequences=True), layer(features=UNITS)

    @graph
    def step(x):
        with tf.GradientTape() as one, tf.GradientTape() as other:
            y = discriminator(generator(x))
            losses = loss(y), -loss(y)
        return one.gradient(losses[0], values(generator)), other.gradient(
            losses[1], values(discriminator)
        )

    return step(sequences())


@case
def second_derivatives(layer):
    rnn = layer(return_sequences=True)

    def penalty(run, x):
        sources = [x, *values(rnn)]
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = loss(run(x))
            slope = inner.gradient(y, x)
            norm = tf.reduce_sum(slope**2)
        return norm, outer.gradient(norm, sources)

    return penalty(graph(rnn), sequences()), graph(lambda x: penalty(rnn, x))(sequences())


@case
def third_derivative(layer):
    rnn = layer()

    @graph
    def third(x):
        with tf.GradientTape() as c:
            c.watch(x)
            with tf.GradientTape() as b:
                b.watch(x)
                with tf.GradientTape() as a:
                    a.watch(x)
                    y = loss(rnn(x))
                y = tf.reduce_sum(a.gradient(y, x) ** 2)
            y = tf.reduce_sum(b.gradient(y, x) ** 2)
        return c.gradient(y, x)

    return third(sequences())


@case
def tf_gradients(layer):
    rnn = layer()

    @graph
    def step(x):
        y = loss(rnn(x))
        first = tf.gradients(y, [x, *values(rnn)])
        return first, tf.gradients(tf.reduce_sum(first[0] ** 2), [x, *values(rnn)])

    return step(sequences())


@case
def jacobians(layer):
    rnn = layer()

    @graph
    def jacobian(x):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = rnn(x)
        return tape.jacobian(y, x, experimental_use_pfor=False)

    return jacobian(sequences())


@case
def recomputed_gradients(layer):
    rnn = layer()

    @graph
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = loss(tf.recompute_grad(rnn)(x))
        return tape.gradient(y, x)

    return step(sequences())


@case
def within_xla(layer):
    rnn = layer()

    @functools.partial(graph, jit_compile=True)
    def step(x):
        with tf.GradientTape() as tape:
            y = loss(rnn(x))
        return y, tape.gradient(y, values(rnn))

    return step(sequences()), step(sequences(steps=2))


@case
def training(layer):
    inputs = keras.Input((STEPS, FEATURES))
    outputs = layer(features=UNITS)(layer(return_sequences=True)(inputs))
    y = np.ones((BATCH, UNITS))
    found = []
    for options in ({}, {"run_eagerly": True}):
        model = keras.models.clone_model(keras.Model(inputs, outputs))
        model.set_weights(keras.Model(inputs, outputs).get_weights())
        found.append(steps_of_training(model, sequences(), y, **options))
    return found


@case
def constraints_and_regularizers(layer):
    cell = {"kernel_regularizer": "l2", "recurrent_constraint": "max_norm"}
    rnn = layer(**cell) if isinstance(layer(), keras.layers.LSTM) else layer()
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), rnn])
    return steps_of_training(model, sequences(), np.ones((BATCH, UNITS)))


@case
def time_distributed(layer):
    inputs = keras.Input((2, STEPS, FEATURES))
    model = keras.Model(inputs, keras.layers.TimeDistributed(layer())(inputs))
    x = np.stack([sequences(), 2 * sequences()], axis=1)
    return steps_of_training(model, x, np.ones((BATCH, 2, UNITS)))


@case
def bidirectional(layer):
    found = []
    for mode in ("concat", "sum", "mul", "ave", None):
        options = {"return_sequences": True, "return_state": mode == "concat"}
        forward, backward = layer(**options), layer(go_backwards=True, **options)
        both = keras.layers.Bidirectional(forward, mode, backward_layer=backward)
        both.build((None, STEPS, FEATURES))
        both.forward_layer.set_weights(forward.get_weights())
        found.append(graph(both)(sequences()))
    return found


@case
def a_subclassed_model(layer):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.rnns = [layer(return_sequences=True), layer(features=UNITS)]

        def call(self, x, training=False):
            for rnn in self.rnns:
                x = rnn(x, training=training)
            return x

    return steps_of_training(Model(), sequences(), np.ones((BATCH, UNITS)))


@case
def a_training_loop_of_ones_own(layer):
    rnn, optimizer = layer(), keras.optimizers.SGD(0.1)

    @graph
    def step(x):
        with tf.GradientTape() as tape:
            y = loss(rnn(x))
        optimizer.apply_gradients(
            zip(
                tape.gradient(y, rnn.trainable_variables),
                rnn.trainable_variables,
                strict=True,
            )
        )
        return y

    optimizer.build(rnn.trainable_variables)
    return [step(sequences()) for _ in range(3)], values(rnn)


@case
def copies(layer):
    rnn = layer()
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), rnn])
    x = sequences()
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    model.predict(x, verbose=0)
    again = [clone, copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    layers = [copy.deepcopy(rnn), type(rnn).from_config(rnn.get_config())]
    layers[1].build((None, STEPS, FEATURES))
    layers[1].set_weights(rnn.get_weights())
    return [each.predict(x, verbose=0) for each in again], [graph(each)(x) for each in layers]


@case
def without_state(layer):
    rnn = layer()
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), rnn])
    doubled = [2 * each for each in values(rnn)]
    others = [variable.value for variable in model.non_trainable_variables]

    @graph
    def run(x):
        return model.stateless_call(doubled, others, x)[0]

    return run(sequences())


@case
def replicas(layer):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer()])
        return steps_of_training(model, sequences().numpy(), np.ones((BATCH, UNITS)))


@pytest.mark.parametrize("write", ["model.export", "tf.saved_model.save", "ExportArchive"])
def test_a_saved_model_does_not_contain_xla_and_takes_batches_of_any_size(write, tmp_path):
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), maker(KINDS["lstm"][0])()])
    model.predict(sequences(), verbose=0)  # This traces the fast path, which must not be exported.
    if write == "model.export":
        model.export(tmp_path, verbose=False)
    elif write == "tf.saved_model.save":
        tf.saved_model.save(model, tmp_path)
    else:
        archive = keras.export.ExportArchive()
        archive.track(model)
        spec = tf.TensorSpec((None, STEPS, FEATURES))
        archive.add_endpoint("serving_default", model.call, input_signature=[spec])
        archive.write_out(tmp_path, verbose=False)
    assert b"XlaMustCompile" not in (tmp_path / "saved_model.pb").read_bytes()
    serve = tf.saved_model.load(tmp_path).signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    for size in (1, 7):
        (found,) = serve(**{name: sequences(size)}).values()
        np.testing.assert_allclose(found, model(sequences(size)), rtol=1e-4, atol=1e-5)


def test_a_saved_model_predicts_and_learns_without_this_project(tmp_path):
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), maker(KINDS["lstm"][0])()])
    model.predict(sequences(), verbose=0)
    model.export(tmp_path / "model", verbose=False)
    np.savez(tmp_path / "it.npz", x=sequences(), y=model(sequences()))
    code = """if True:
        import sys
        import numpy as np
        import tensorflow as tf
        it = np.load("it.npz")
        loaded = tf.saved_model.load("model")
        with tf.GradientTape() as tape:
            y = loaded.serve(tf.constant(it["x"]))
        np.testing.assert_allclose(y, it["y"], rtol=0, atol=1e-5)
        gradients = tape.gradient(y, loaded.trainable_variables)
        assert len(gradients) == 3
        assert not any(gradient is None for gradient in gradients)
        assert "models" not in sys.modules
    """
    subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True)


@pytest.mark.parametrize("policy", ["float16", "mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_as_good_as_with_kerass_layer(policy):
    ours, theirs = (maker(make)(dtype=policy) for make in KINDS["lstm"])
    y = graph(ours)(sequences())
    assert y.dtype == ours.compute_dtype == theirs.compute_dtype
    assert [w.dtype for w in ours.weights] == [w.dtype for w in theirs.weights]
    atol = 0.02 if policy == "mixed_bfloat16" else 0.003
    expected = tf.cast(graph(theirs)(sequences()), "float32")
    np.testing.assert_allclose(tf.cast(y, "float32"), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("kind", [0, 1])
def test_ragged_sequences_are_refused_as_by_kerass_layer(kind):
    words = tf.ragged.constant([[[1.0, 2], [3, 4]], [[5, 6]]], ragged_rank=1)
    with pytest.raises(ValueError, match="Cannot index into an inner ragged dimension"):
        graph(KINDS["lstm"][kind]())(words)


# Keras's loop does not support forward-mode derivatives in a graph. They are compared with eager
# ones.
def jvp_by_inputs(layer, x, run):
    with tf.autodiff.ForwardAccumulator(x, tf.cos(x)) as accumulator:
        y = run(tf.sin(x))
    return accumulator.jvp(y)


def jvp_by_weights(layer, x, run):
    weight = layer.trainable_weights[1].value
    with tf.autodiff.ForwardAccumulator(weight, tf.cos(weight)) as accumulator:
        y = run(x)
    return accumulator.jvp(y)


def jvp_of_the_gradient(layer, x, run):
    with tf.autodiff.ForwardAccumulator(x, tf.cos(x)) as accumulator:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = loss(run(x))
        slope = tape.gradient(y, x)
    return accumulator.jvp(slope)


@pytest.mark.parametrize("derivative", [jvp_by_inputs, jvp_by_weights, jvp_of_the_gradient])
def test_forward_mode_derivatives_are_those_of_the_eager_layer(derivative):
    rnn, x = maker(KINDS["lstm"][0])(return_sequences=True), sequences()
    expected = derivative(rnn, x, rnn)
    found = [graph(lambda x: derivative(rnn, x, rnn))(x), derivative(rnn, x, graph(rnn))]
    if derivative is not jvp_by_weights:  # TensorFlow returns None in a nested function.
        found.append(graph(lambda x: derivative(rnn, x, graph(rnn)))(x))
    for each in found:
        np.testing.assert_allclose(each, expected, rtol=1e-4, atol=1e-5)


EAGERLY = {
    *("two_lengths", "integers", "bidirectional", "within_xla"),
    *("inside_cond", "a_function_inside_cond", "inside_while_loop", "a_tape_inside_a_while_loop"),
    *("two_tapes_around_a_function", "two_tapes_inside_a_function"),
    *("second_derivatives", "third_derivative"),
}
# Most cases do not depend on the class of the cell.
WITH_A_GRU = {"two_lengths", "inside_cond", "second_derivatives", "training", "integers"}
TABLE = [(name, "lstm") for name in CASES] + [(name, "gru") for name in sorted(WITH_A_GRU)]


@pytest.mark.parametrize(("name", "kind"), TABLE)
def test_a_program_gives_the_same_numbers_as_with_kerass_layers(name, kind):
    ours, theirs = (maker(make) for make in KINDS[kind])
    found = tf.nest.flatten(CASES[name](ours))
    tf.config.run_functions_eagerly(name in EAGERLY)
    try:
        expected = tf.nest.flatten(CASES[name](theirs))
    finally:
        tf.config.run_functions_eagerly(False)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
