import numpy as np
import tensorflow as tf

from datasets import StreamSplit
from tests.conftest import random_split

SPLIT = random_split(37, classes=37, seed=1)  # Labels 0 to 36 tell the images apart.
STEPS_PER_EPOCH = 4  # 10, 10, 10 and 7 images


def epoch_labels(seed, epoch):
    batches = SPLIT.batches(10, seed).skip(epoch * STEPS_PER_EPOCH).take(STEPS_PER_EPOCH)
    return [labels.tolist() for _, labels in batches.as_numpy_iterator()]


def test_an_epoch_sees_every_image_once():
    for epoch in range(3):
        batches = epoch_labels(0, epoch)
        assert [len(batch) for batch in batches] == [10, 10, 10, 7]
        assert sorted(label for batch in batches for label in batch) == list(range(37))


def test_every_epoch_has_an_order_of_its_own_that_the_seed_decides():
    assert epoch_labels(0, 0) == epoch_labels(0, 0)
    assert epoch_labels(0, 0) != epoch_labels(0, 1)
    assert epoch_labels(0, 0) != epoch_labels(1, 0)
    assert epoch_labels(2**32 - 1, 0) != epoch_labels(1, 0)


def test_images_stay_with_their_labels():
    for images, labels in SPLIT.batches(10, seed=3).take(8).as_numpy_iterator():
        np.testing.assert_array_equal(images, SPLIT.inputs[labels])
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64


def test_batches_can_begin_anywhere_in_the_same_order():
    labels = [
        labels.tolist() for _, labels in SPLIT.batches(10, seed=5).take(14).as_numpy_iterator()
    ]
    for epoch, step in [(0, 3), (1, 0), (2, 1)]:
        batches = SPLIT.batches(10, 5, epoch, step).take(14 - 4 * epoch - step)
        rest = [labels.tolist() for _, labels in batches.as_numpy_iterator()]
        assert rest == labels[STEPS_PER_EPOCH * epoch + step :]


def test_training_batches_never_end():
    assert SPLIT.batches(10, seed=0).cardinality() == tf.data.INFINITE_CARDINALITY


def test_evaluation_sees_every_image_once_in_order():
    batches = SPLIT.batches(10)
    assert batches.cardinality() == 4
    labels = np.concatenate([labels for _, labels in batches.as_numpy_iterator()])
    np.testing.assert_array_equal(labels, SPLIT.targets)


STREAM = StreamSplit(np.arange(5, 5 + 47), steps=4)  # A symbol tells its position.


def pieces(seed, epoch=0, step=0, count=None):
    taken = STREAM.batches(3, seed, epoch, step)
    taken = taken if count is None else taken.take(count)
    return [(x.tolist(), y.tolist()) for x, y in taken.as_numpy_iterator()]


def test_a_batch_of_a_stream_continues_the_tracks_of_the_one_before():
    assert STREAM.steps_per_epoch(3) == 3
    batches = pieces(None)
    assert len(batches) == 3
    tracks = np.concatenate([inputs for inputs, _ in batches], axis=1)
    targets = np.concatenate([targets for _, targets in batches], axis=1)
    np.testing.assert_array_equal(tracks, 5 + 12 * np.arange(3)[:, None] + np.arange(12))
    np.testing.assert_array_equal(targets, tracks + 1)


def test_the_tracks_of_each_epoch_start_where_seed_and_epoch_say():
    batches = pieces(7, count=12)
    firsts = {inputs[0][0] for inputs, _ in batches[::3]}
    assert firsts <= {5, 6, 7, 8}
    assert len(firsts) > 1
    for epoch in range(4):
        inputs = np.concatenate([x for x, _ in batches[3 * epoch : 3 * epoch + 3]], axis=1)
        assert (np.diff(inputs, axis=1) == 1).all()
        assert (np.diff(inputs[:, 0]) == 12).all()
    for epoch, step in [(0, 2), (1, 0), (3, 1)]:
        rest = batches[3 * epoch + step :]
        assert pieces(7, epoch, step, len(rest)) == rest
    assert pieces(8, count=12) != batches
