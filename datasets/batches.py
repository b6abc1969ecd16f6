"""Batches as `tf.data` datasets: the one file of `datasets/`, besides TFDS, that is TensorFlow's.

Arrays stay in memory whole, and a batch is one gather by index. What is shuffled is the indices, by
a stateless permutation keyed by (seed, epoch), so that the order of any epoch can be made without
those before.
"""

import numpy as np
import tensorflow as tf


def shuffled(arrays, batch_size, seed, epoch=0, step=0):
    """Endless training batches: every example once per epoch, in a new order each epoch.

    Args:
        arrays: Inputs and targets, each `(N, ...)`.
        batch_size, seed, epoch, step: As in `datasets.splits.Split.batches`.
    """
    size = len(arrays[0])

    def epoch_of_indices(number):
        order = tf.random.experimental.stateless_shuffle(tf.range(size), seed=[seed, number])
        batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        return batches.skip(tf.where(number == epoch, tf.cast(step, tf.int64), 0))

    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return _gather(arrays, tf.data.Dataset.counter(epoch).flat_map(epoch_of_indices).apply(endless))


def ordered(arrays, batch_size):
    """Evaluation batches: every example once, in order."""
    return _gather(arrays, tf.data.Dataset.range(len(arrays[0])).batch(batch_size))


def generated(draw, steps_per_epoch, seed, epoch=0, step=0):
    """Endless batches that a function draws.

    Args:
        draw: A function `draw(seed, epoch, step)` that returns inputs and targets.
        steps_per_epoch: Batches of an epoch.
        seed, epoch, step: As in `datasets.splits.Split.batches`.
    """
    like = [np.asarray(array) for array in draw(seed, epoch, step)]

    def batch(number):
        drawn = tf.numpy_function(
            lambda number: draw(seed, *(int(n) for n in divmod(number, steps_per_epoch))),
            [number],
            [array.dtype for array in like],
            stateful=False,
        )
        for tensor, array in zip(drawn, like, strict=True):
            tensor.set_shape((None, *array.shape[1:]))
        return tuple(drawn)

    # It never ends: a counter has no cardinality but infinity.
    return _feed(tf.data.Dataset.counter(epoch * steps_per_epoch + step).map(batch))


def listed(pieces, like):
    """The batches of a list, once, in order.

    Args:
        pieces: Inputs and targets of each batch, `(tracks, steps, ...)`, of any tracks and steps.
        like: Inputs and targets of these dtypes and of these shapes behind the steps.
    """
    signature = tuple(tf.TensorSpec((None, None, *array.shape[2:]), array.dtype) for array in like)
    batches = tf.data.Dataset.from_generator(lambda: pieces, output_signature=signature)
    return _feed(batches.apply(tf.data.experimental.assert_cardinality(len(pieces))))


def _gather(arrays, indices):
    inputs, targets = map(tf.constant, arrays)
    return _feed(indices.map(lambda index: (tf.gather(inputs, index), tf.gather(targets, index))))


def _feed(batches):
    options = tf.data.Options()
    # There is nothing to tune. The tuning thread sleeps longer and longer, and the end of an
    # iterator, which each call of `fit` and `evaluate` brings, would wait for it.
    options.autotune.enabled = False
    return batches.prefetch(2).with_options(options)
