"""The text that the model of a run writes."""

import tensorflow as tf

from export.serving_function import override_attributes
from models.text import TextModel


def write_text(run, prompt, length, temperature, top_k, seed, part):
    """Write after a prompt.

    The same seed gives the same text as the signature `generate` of the exported model.

    Args:
        run: A `Run` on a dataset of text.
        prompt: The text to read first; it may be empty.
        length, temperature, top_k, seed: As in `models.text.TextModel.write`.
        part: The number of symbols in a part.

    Yields:
        The text, in parts.
    """
    model = run.load_model()
    spec = run.spec(model)
    reader = TextModel(model, spec.vocabulary, spec.step)
    read = tf.function(reader.read, autograph=False)
    write = tf.function(reader.write, autograph=False)
    numbers = tf.constant(float(temperature)), tf.constant(top_k), tf.constant(seed)
    # As in the exported model: a step takes less than half the time with constant weights.
    with override_attributes(model, for_serving=True):
        states, logits, _ = read(tf.constant([prompt]))
        write = write.get_concrete_function(
            states, logits, tf.constant(0), tf.constant(part), *numbers
        )
    for first in range(0, length, part):
        count = min(part, length - first)
        ids, states, logits = write(
            states, logits, tf.constant(first), tf.constant(count), *numbers
        )
        yield reader.decode(ids).numpy()[0].decode()
