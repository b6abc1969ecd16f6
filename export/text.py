"""The signatures of a model of the next token. The vocabulary is in their graphs."""

import tensorflow as tf

from models import trace

_LIKELIEST = 5  # Next symbols that `trace` names.


def text_signatures(reader):
    """The signatures of a `TextModel`.

    Returns:
        A list of names, functions and lists of `tf.TensorSpec`:

        - `serving_default` takes `text string (batch,)` and returns `probabilities float32 (batch,
          symbols)` of the next symbol, the states `state_0 ... float32 (batch, units)` after the
          text, and `perplexity float32 (batch,)` of the text; it is 1 for a text without a second
          symbol.
        - `step` takes `ids int32 (batch,)` and the states before, and returns `probabilities` of
          the next symbol and the new states by the same names.
        - `decode` takes `ids int32 (batch,)` and returns `symbols string (batch,)`.
        - `generate` takes `prompt string (batch,)` and the scalars `length`, `temperature`, `top_k`
          and `seed`, and returns `text string (batch,)`: see `TextModel.write`.
        - `trace` takes `text` and returns for each symbol of it `symbols string (batch, steps)`,
          empty after the end of a text, `ids int32 (batch, steps)`, -1 there, and `bits float32
          (batch, steps)`, its surprise, which is 0 for the first. `likeliest int32 (batch, steps,
          5)` are the ids of the five likeliest next symbols, and `shares float32` their
          probabilities. In addition it returns the result of `models.trace`, with probabilities
          of the next symbol instead of outputs.
    """
    units = [state.shape[-1] for state in reader.initial_states]
    texts = tf.TensorSpec((None,), tf.string, name="text")
    prompts = tf.TensorSpec((None,), tf.string, name="prompt")
    ids = tf.TensorSpec((None,), tf.int32, name="ids")
    names = [f"state_{number}" for number in range(len(units))]
    states = [
        tf.TensorSpec((None, size), tf.float32, name=name)
        for name, size in zip(names, units, strict=True)
    ]
    settings = [
        tf.TensorSpec((), dtype, name=name)
        for name, dtype in {
            "length": tf.int32,
            "temperature": tf.float32,
            "top_k": tf.int32,
            "seed": tf.int32,
        }.items()
    ]

    @tf.function(input_signature=[texts], autograph=False)
    def predict(text):
        after, logits, nats = reader.read(text)
        return {
            "probabilities": tf.nn.softmax(logits),
            **dict(zip(names, after, strict=True)),
            "perplexity": tf.exp(
                tf.math.divide_no_nan(
                    tf.reduce_sum(nats, axis=-1), tf.cast(nats.row_lengths(), tf.float32)
                )
            ),
        }

    def step(ids, *states):
        after, logits = reader.step(ids, list(states))
        return {"probabilities": tf.nn.softmax(logits), **dict(zip(names, after, strict=True))}

    def decode(ids):
        return {"symbols": tf.gather(reader.symbols, ids)}

    def generate(prompt, length, temperature, top_k, seed):
        return {"text": reader.generate(prompt, length, temperature, top_k, seed)}

    def trace_text(text):
        symbols = reader.split(text)
        ids = reader.encode(text)
        lengths, padded = ids.row_lengths(), reader.pad(ids)
        traced = trace(reader.model, padded)
        logits = tf.cast(traced.pop("outputs"), tf.float32)
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(padded[:, 1:], logits[:, :-1])
        nats *= tf.sequence_mask(lengths - 1, tf.shape(nats)[1], tf.float32)
        probabilities = tf.nn.softmax(logits)
        count = min(_LIKELIEST, len(reader.symbols))
        shares, likeliest = tf.math.top_k(probabilities, count)
        outputs = {
            "symbols": symbols.to_tensor(""),
            "ids": ids.to_tensor(-1),
            "bits": tf.pad(nats, [(0, 0), (1, 0)]) / tf.math.log(2.0),
            "likeliest": likeliest,
            "shares": shares,
            "probabilities": probabilities,
            **{name: tf.cast(values, tf.float32) for name, values in traced.items()},
        }
        steps = tf.reduce_max(lengths)  # Texts without a symbol have no steps.
        return {name: values[:, :steps] for name, values in outputs.items()}

    return [
        ("serving_default", predict, [texts]),
        ("step", step, [ids, *states]),
        ("decode", decode, [ids]),
        ("generate", generate, [prompts, *settings]),
        ("trace", trace_text, [texts]),
    ]
