"""A model of the next token as functions of text: it reads, answers and writes."""

import tensorflow as tf

from models.states import with_states

UNKNOWN = 0  # The id of all symbols that are not in the vocabulary.


class TextModel(tf.Module):
    """A model of the next token, with its vocabulary.

    All methods are graphs of fixed cost for each token, which a SavedModel can hold.

    Args:
        model: A model of `create_model` with `logits (batch, steps, symbols)`.
        vocabulary: Its symbols; the first stands for all unknown ones.
        step: What a symbol is: `"character"` or `"word"`.
    """

    def __init__(self, model, vocabulary, step):
        super().__init__()
        self.symbols = tf.constant(vocabulary)
        self.is_words = step == "word"
        self._step = with_states(model, steps=1)
        self.model = model
        keys, values = self.symbols, tf.range(len(vocabulary))
        pairs = tf.lookup.KeyValueTensorInitializer(keys, values)
        self._ids = tf.lookup.StaticHashTable(pairs, UNKNOWN)

    @property
    def initial_states(self):
        """The symbolic states that a step begins with, each `(batch, units)`."""
        return self._step.inputs[1:]

    def split(self, text):
        """The symbols of texts `string (batch,)`: a `tf.RaggedTensor` `string (batch, steps)`."""
        if self.is_words:
            lines = tf.strings.regex_replace(text, "\n", " <eos> ")
            return tf.strings.split(lines)
        return tf.strings.unicode_split(text, "UTF-8", errors="replace")

    def encode(self, text):
        """The ids of texts `string (batch,)`: a `tf.RaggedTensor` `int32 (batch, steps)`."""
        return self._ids.lookup(self.split(text))

    def decode(self, ids):
        """The texts `string (batch,)` of ids `int32 (batch, steps)`."""
        symbols = tf.gather(self.symbols, ids)
        if not self.is_words:
            return tf.strings.reduce_join(symbols, axis=-1)
        text = tf.strings.reduce_join(symbols, axis=-1, separator=" ")
        return tf.strings.regex_replace(text, " ?<eos> ?", "\n")

    def begin(self, batch):
        """States of 0 for so many texts, and logits that favour no symbol."""
        states = [tf.zeros((batch, state.shape[-1])) for state in self.initial_states]
        return states, tf.zeros((batch, len(self.symbols)))

    def step(self, ids, states):
        """Read one symbol of each text.

        Args:
            ids: `int32 (batch,)`.
            states: The states before, each `(batch, units)`.

        Returns:
            The states after it, and the logits `float32 (batch, symbols)` of the next symbol.
        """
        logits, *states = self._step([ids[:, None], *states], training=False)
        return states, logits[:, 0]

    def read(self, text):
        """Read texts of any lengths.

        Args:
            text: `string (batch,)`.

        Returns:
            The states after each text, the logits `float32 (batch, symbols)` of its next symbol,
            and the cross-entropy in nats of each of its symbols except the first, a
            `tf.RaggedTensor` `float32 (batch, steps)`.
        """
        ids = self.encode(text)
        lengths, ids = ids.row_lengths(), self.pad(ids)
        steps = tf.shape(ids)[1]
        states, logits = self.begin(tf.shape(ids)[0])
        nats = tf.TensorArray(tf.float32, steps)

        def body(n, states, logits, nats):
            told = tf.nn.sparse_softmax_cross_entropy_with_logits(ids[:, n], logits)
            new_states, new_logits = self.step(ids[:, n], states)
            is_within = (tf.cast(n, lengths.dtype) < lengths)[:, None]
            states = [tf.where(is_within, n, s) for n, s in zip(new_states, states, strict=True)]
            return n + 1, states, tf.where(is_within, new_logits, logits), nats.write(n, told)

        _, states, logits, nats = tf.while_loop(
            lambda n, *_: n < steps, body, (tf.constant(0), states, logits, nats)
        )
        nats = tf.transpose(nats.stack())[:, 1:]
        return states, logits, tf.RaggedTensor.from_tensor(nats, tf.maximum(lengths - 1, 0))

    @staticmethod
    def pad(ids):
        """Ids as a tensor `(batch, steps)` of at least one step, which recurrent layers need."""
        padded = ids.to_tensor()
        is_empty = tf.cast(tf.shape(padded)[1] == 0, tf.int32)
        return tf.pad(padded, [(0, 0), (0, is_empty)])

    def write(self, states, logits, first, length, temperature, top_k, seed):
        """Draw the next symbols and read them.

        A symbol depends on the seed and on how many were written before it, so that a text may be
        written in parts.

        Args:
            states, logits: What `read` returned, or this method.
            first: How many symbols were written before.
            length: How many symbols to write.
            temperature: The logits are divided by it; 0 always takes the likeliest symbol.
            top_k: Only so many of the likeliest symbols are drawn from; 0 means all.
            seed: The seed of the draws, at least 0.

        Returns:
            The ids `int32 (batch, length)`, and the states and the logits after them.
        """
        ids = tf.TensorArray(tf.int32, length)

        def body(n, states, logits, ids):
            drawn = _draw(logits, temperature, top_k, (seed, first + n))
            states, logits = self.step(drawn, states)
            return n + 1, states, logits, ids.write(n, drawn)

        _, states, logits, ids = tf.while_loop(
            lambda n, *_: n < length, body, (tf.constant(0), states, logits, ids)
        )
        return tf.transpose(ids.stack()), states, logits

    def generate(self, prompt, length, temperature, top_k, seed):
        """The texts `string (batch,)` that go on after prompts `string (batch,)`; see `write`."""
        states, logits, _ = self.read(prompt)
        ids, _, _ = self.write(states, logits, 0, length, temperature, top_k, seed)
        return self.decode(ids)


def _draw(logits, temperature, top_k, seed):
    """Draw a symbol for each row of logits `(batch, symbols)`: ids `int32 (batch,)`.

    Adding Gumbel noise and taking the largest draws from the softmax. All rows have the same noise,
    so that a text does not depend on those beside it. The unknown symbol is not drawn.
    """
    size = logits.shape[-1]
    logits += tf.one_hot(UNKNOWN, size, on_value=-float("inf"), off_value=0.0)
    count = tf.where(top_k > 0, tf.minimum(top_k, size), size)

    def draw():
        smallest = tf.math.top_k(logits, count).values[:, -1:]
        allowed = tf.where(logits < smallest, -float("inf"), logits)
        uniform = tf.random.stateless_uniform((size,), seed, minval=1e-20)
        return allowed / temperature - tf.math.log(-tf.math.log(uniform))

    noisy = tf.cond(temperature > 0, draw, lambda: logits)
    return tf.argmax(noisy, axis=-1, output_type=tf.int32)
