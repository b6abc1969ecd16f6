"""The signatures of a model of the next token. The vocabulary is in their graphs."""

import tensorflow as tf

from models import trace


def text_signatures(reader):
    """The signatures of a `TextModel`.

    Returns:
        A list of names, functions and lists of `tf.TensorSpec`:

        - `serving_default` takes `text string (batch,)` and returns `probabilities float32 (batch,
          symbols)` of the next symbol, `symbols string (symbols,)`, and `perplexity float32
          (batch,)` of the text; it is 1 for a text without a second symbol.
        - `step` takes `ids int32 (batch,)` and `state_0 ... float32 (batch, units)` and returns
          `probabilities` of the next symbol and the new states by the same names.
        - `generate` takes `prompt string (batch,)` and the scalars `length`, `temperature`, `top_k`
          and `seed`, and returns `text string (batch,)`: see `TextModel.write`.
        - `trace` takes `text` and returns for each symbol `ids int32 (batch, steps)`, -1 after the
          end of a text, `bits float32 (batch, steps)`, its surprise, which is 0 for the first, and
          the result of `models.trace`, with probabilities of the next symbol instead of outputs.
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
        nats = reader.judge(text)
        _, logits = reader.read(text)
        return {
            "probabilities": tf.nn.softmax(logits),
            "perplexity": tf.exp(
                tf.math.divide_no_nan(
                    tf.reduce_sum(nats, axis=-1), tf.cast(nats.row_lengths(), tf.float32)
                )
            ),
        }

    def step(ids, *states):
        after, logits = reader.step(ids, list(states))
        return {"probabilities": tf.nn.softmax(logits), **dict(zip(names, after, strict=True))}

    def generate(prompt, length, temperature, top_k, seed):
        return {"text": reader.generate(prompt, length, temperature, top_k, seed)}

    def trace_text(text):
        ids = reader.encode(text)
        traced = trace(reader.model, ids.to_tensor())
        return {
            "ids": ids.to_tensor(-1),
            "bits": tf.pad(reader.judge(text).to_tensor(), [(0, 0), (1, 0)]) / tf.math.log(2.0),
            "probabilities": tf.nn.softmax(traced.pop("outputs")),
            **{name: tf.cast(values, tf.float32) for name, values in traced.items()},
        }

    return [
        ("serving_default", predict, [texts]),
        ("step", step, [ids, *states]),
        ("generate", generate, [prompts, *settings]),
        ("trace", trace_text, [texts]),
    ]
