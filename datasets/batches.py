"""Batches for training and evaluation: a pure function of the images, the seed and the epoch.

Images stay in memory whole, and a batch is one gather by index. What is shuffled is the indices,
by a stateless permutation keyed by (seed, epoch), so that any epoch's order can be had again
without replaying the ones before.
"""

import tensorflow as tf


def shuffled_batches(split, batch_size, seed, epoch=0, step=0):
    """Endless training batches: every image once per epoch, in a new order each epoch.

    Args:
        split: A `Split` of N images.
        batch_size: Images per batch. The last batch of an epoch holds what is left, so that an
            epoch is ceil(N / batch_size) batches.
        seed: Key of all orders.
        epoch: The epoch to begin in, counted from 0.
        step: The batch of that epoch to begin with, counted from 0.

    Returns:
        A `tf.data.Dataset` of `(images uint8 (batch, 28, 28), labels int64 (batch,))`.
    """
    size = len(split)

    def epoch_of_indices(number):
        order = tf.random.experimental.stateless_shuffle(tf.range(size), seed=[seed, number])
        batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        return batches.skip(tf.where(number == epoch, tf.cast(step, tf.int64), 0))

    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return _gather(split, tf.data.Dataset.counter(epoch).flat_map(epoch_of_indices).apply(endless))


def ordered_batches(split, batch_size):
    """Evaluation batches: every image exactly once, in order. Returns as `shuffled_batches`."""
    return _gather(split, tf.data.Dataset.range(len(split)).batch(batch_size))


def _gather(split, indices):
    images, labels = tf.constant(split.images), tf.constant(split.labels)
    batches = indices.map(lambda index: (tf.gather(images, index), tf.gather(labels, index)))
    options = tf.data.Options()
    # There is nothing to tune, and the tuning thread sleeps ever longer: whoever ends an iterator,
    # as every call of `fit` and `evaluate` does, would wait for it to wake.
    options.autotune.enabled = False
    return batches.prefetch(2).with_options(options)
