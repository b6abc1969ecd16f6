import itertools

import numpy as np
import pytest
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


STREAM = StreamSplit.of_symbols(np.arange(5, 5 + 47), steps=4)  # A symbol tells its position.


def test_a_part_of_a_stream_has_the_inputs_and_the_targets_of_its_examples():
    for part in (slice(2, 5), slice(9, 99), slice(0, 0)):
        found = list(STREAM[part].in_order().as_numpy_iterator())
        expected = list(STREAM.in_order().as_numpy_iterator())[part]
        assert len(found) == len(expected) == len(STREAM[part])
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def pieces(seed, epoch=0, step=0, count=None):
    taken = STREAM.batches(3, seed, epoch, step)
    taken = taken if count is None else taken.take(count)
    return [(x.tolist(), y.tolist()) for x, y in taken.as_numpy_iterator()]


def test_a_batch_of_a_stream_continues_the_tracks_of_the_one_before():
    assert STREAM.steps_per_epoch(3) == 3
    batches = pieces(7, count=3)
    tracks = np.concatenate([inputs for inputs, _ in batches], axis=1)
    targets = np.concatenate([targets for _, targets in batches], axis=1)
    first = tracks[0, 0]
    np.testing.assert_array_equal(tracks, first + 12 * np.arange(3)[:, None] + np.arange(12))
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


@pytest.mark.parametrize("tracks", [1, 2, 3, 5, 46, 50])
@pytest.mark.parametrize("symbols", [47, 41, 6, 2])
def test_in_order_every_symbol_but_the_first_is_a_target_once(symbols, tracks):
    stream = StreamSplit.of_symbols(np.arange(symbols, dtype=np.int32), steps=4)
    targets = []
    for xs, ys in stream.in_order(tracks).as_numpy_iterator():
        assert xs.shape == ys.shape
        assert xs.shape[0] <= tracks
        assert xs.shape[1] <= 4
        assert xs.dtype == ys.dtype == np.int32
        np.testing.assert_array_equal(ys, xs + 1)
        targets += ys.ravel().tolist()
    assert sorted(targets) == list(range(1, symbols))


@pytest.mark.parametrize("tracks", [1, 2, 3, 5])
def test_in_order_a_batch_continues_the_first_tracks_of_the_one_before(tracks):
    batches = list(STREAM.in_order(tracks).as_numpy_iterator())
    assert len(batches) == STREAM.in_order(tracks).cardinality()
    for (before, _), (xs, _) in itertools.pairwise(batches):
        np.testing.assert_array_equal(xs[:, 0], before[: len(xs), -1] + 1)
    for xs, ys in batches[: 46 // tracks // 4]:
        assert xs.shape == ys.shape == (tracks, 4)


def test_one_track_in_order_reads_the_symbols_as_they_are():
    inputs = np.concatenate([x[0] for x, _ in STREAM.in_order().as_numpy_iterator()])
    np.testing.assert_array_equal(inputs, STREAM.symbols[:-1])
    assert len(STREAM) == STREAM.in_order().cardinality() == 12


def test_without_a_seed_the_batches_of_a_stream_are_those_in_order():
    expected = [(x.tolist(), y.tolist()) for x, y in STREAM.in_order(3).as_numpy_iterator()]
    assert pieces(None) == expected


@pytest.mark.parametrize("symbols", [0, 1])
def test_a_stream_without_a_target_has_no_batch_in_order(symbols):
    stream = StreamSplit.of_symbols(np.zeros(symbols, np.int32), steps=1)
    assert len(stream) == 0
    assert list(stream.in_order(2)) == []
