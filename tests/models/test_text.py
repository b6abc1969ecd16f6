"""A model of the next token reads, answers and writes text."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from configs import Config
from datasets import Spec
from datasets.vocabulary import Vocabulary
from models import create_model
from models.text import TextModel, _draw

CHARACTERS = ("<unk>", *"abcdeé \n漢")
WORDS = ("<unk>", "<eos>", "the", "time", "machine", "a")
SETTINGS = {"temperature": 1.0, "top_k": 0, "seed": 3}


def random_model(vocabulary=CHARACTERS, step="character", **values):
    spec = Spec("tokens", "next_token", (None,), len(vocabulary), step, vocabulary)
    config = Config(dataset="text", **{"model": "gru", "units": 7} | values)
    model = create_model(config, spec)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(scale=0.7, size=w.shape) for w in model.weights])
    return model, TextModel(model, vocabulary, step)


def tensors(**settings):
    settings = {**SETTINGS, **settings}
    dtypes = {"temperature": tf.float32}
    return [tf.constant(value, dtypes.get(name, tf.int32)) for name, value in settings.items()]


def numbers(temperature, top_k):
    return tf.constant(temperature), tf.constant(top_k)


@pytest.mark.parametrize(
    ("vocabulary", "step", "text"),
    [
        (CHARACTERS, "character", "abé漢\nzz😀 c"),
        (WORDS, "word", "the time\na machine  who\n"),
    ],
)
def test_texts_are_encoded_and_decoded_as_the_dataset_does(vocabulary, step, text):
    _, reader = random_model(vocabulary, step)
    theirs = Vocabulary(vocabulary, f"{step}s")
    expected = theirs.encode(text)
    ids = reader.encode(tf.constant([text, ""]))
    np.testing.assert_array_equal(ids[0], expected)
    assert len(ids[1]) == 0
    assert reader.decode(ids[:1].to_tensor()).numpy()[0].decode() == theirs.decode(expected)


@pytest.mark.parametrize(("name", "layers"), [("lstm", 1), ("peephole_lstm", 2)])
def test_texts_of_any_lengths_are_read_together_as_alone(name, layers):
    model, reader = random_model(model=name, layers=layers)
    texts = ["abé cd", "b", "dd\nba漢e"]
    _, logits, _ = tf.function(reader.read)(tf.constant(texts))
    for text, given in zip(texts, logits.numpy(), strict=True):
        ids = Vocabulary(CHARACTERS).encode(text)[None]
        np.testing.assert_allclose(given, model.predict_on_batch(ids)[0, -1], atol=1e-5)


def test_the_symbols_of_temperature_0_are_the_likeliest():
    model, reader = random_model(model="lstm")
    ids = list(Vocabulary(CHARACTERS).encode("ab"))
    for _ in range(15):
        logits = model.predict_on_batch(np.int32([ids]))[0, -1]
        ids.append(1 + int(logits[1:].argmax()))  # Never the unknown symbol.
    expected = "".join(CHARACTERS[n] for n in ids[2:])
    text = reader.generate(tf.constant(["ab"]), 15, *tensors(temperature=0.0))
    assert text.numpy()[0].decode() == expected


def test_the_same_seed_writes_the_same_in_parts_in_a_batch_and_alone():
    _, reader = random_model()
    generate = tf.function(reader.generate)
    prompts = ["ab", "c d\ne", "a"]
    together = generate(tf.constant(prompts), 20, *tensors()).numpy()
    for prompt, text in zip(prompts, together, strict=True):
        assert generate(tf.constant([prompt]), 20, *tensors()).numpy() == [text]
        states, logits, _ = reader.read(tf.constant([prompt]))
        parts = []
        for first, length in ((0, 7), (7, 1), (8, 12)):
            ids, states, logits = reader.write(
                states, logits, tf.constant(first), tf.constant(length), *tensors()
            )
            parts.append(reader.decode(ids).numpy()[0])
        assert b"".join(parts) == text
    assert generate(tf.constant(prompts), 20, *tensors(seed=4)).numpy().tolist() != [*together]


def test_symbols_are_drawn_as_often_as_the_softmax_says():
    logits = np.float32([[5.0, 0.3, 1.0, -1.0, 0.0, 2.0]])
    temperature, draws = 0.7, 4000
    draw = tf.function(lambda n: _draw(tf.constant(logits), *numbers(temperature, 0), (1, n)))
    drawn = [int(draw(tf.constant(n))[0]) for n in range(draws)]
    shares = np.bincount(drawn, minlength=6) / draws
    expected = np.array([0, *scipy.special.softmax(logits[0, 1:] / temperature)])
    assert shares[0] == 0  # The unknown symbol, although its logit is the largest.
    np.testing.assert_allclose(shares, expected, atol=4 * 0.5 / np.sqrt(draws))


def test_top_k_draws_only_from_the_likeliest():
    logits = tf.constant([[9.0, 0.3, 1.0, -1.0, 0.0, 2.0], [9.0, 3.0, 2.0, 1.0, 0.0, -1.0]])
    draw = tf.function(lambda n: _draw(logits, *numbers(5.0, 2), (1, n)))
    drawn = np.array([draw(tf.constant(n)).numpy() for n in range(200)])
    assert set(drawn[:, 0]) == {5, 2}
    assert set(drawn[:, 1]) == {1, 2}
    one = tf.function(lambda n: _draw(logits, *numbers(5.0, 1), (1, n)))
    assert {tuple(one(tf.constant(n)).numpy()) for n in range(20)} == {(5, 1)}


def test_an_empty_prompt_is_a_beginning_where_no_symbol_is_favoured():
    _, reader = random_model()
    _, logits, nats = reader.read(tf.constant([""]))
    assert not logits.numpy().any()
    assert nats.to_list() == [[]]
    text = reader.generate(tf.constant([""]), 30, *tensors())
    assert len(text.numpy()[0].decode()) == 30


def test_a_text_is_judged_by_the_cross_entropy_of_each_symbol_but_the_first():
    model, reader = random_model(model="lstm")
    texts = ["abé cdz", "b", "", "dd"]
    _, _, nats = reader.read(tf.constant(texts))
    assert nats.row_lengths().numpy().tolist() == [6, 0, 0, 1]
    for text, given in zip(texts, nats.to_list(), strict=True):
        if len(text) > 1:
            ids = Vocabulary(CHARACTERS).encode(text)
            logs = scipy.special.log_softmax(model.predict_on_batch(ids[None])[0], axis=-1)
            np.testing.assert_allclose(given, -logs[np.arange(len(ids) - 1), ids[1:]], atol=1e-5)
