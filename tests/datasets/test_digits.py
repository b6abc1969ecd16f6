import dataclasses

import numpy as np
import pytest

from configs import Config
from datasets import ArraySplit, digits, load


@pytest.fixture(scope="module")
def dataset():
    return load(Config(dataset="digits"))


def test_all_1797_digits_are_used_once(dataset):
    splits = (dataset.train, dataset.validation, dataset.test)
    assert [len(split) for split in splits] == [1318, 119, 360]
    assert dataset.spec.size == 10
    assert dataset.source == "scikit-learn"


def test_images_have_mnists_form(dataset):
    images = dataset.train.inputs
    assert images.dtype == np.uint8
    assert images.shape[1:] == (28, 28)
    assert dataset.train.targets.dtype == np.int64
    for image in images:
        rows, columns = image.any(axis=1).nonzero()[0], image.any(axis=0).nonzero()[0]
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        # The faintest border pixels of a stroke may be rounded away.
        assert 18 <= max(height, width) <= 20
        positions = np.arange(28) + 0.5
        share = image / image.sum()
        assert abs(share.sum(axis=1) @ positions - 14) <= 1.5
        assert abs(share.sum(axis=0) @ positions - 14) <= 1.5


def test_the_test_split_is_stratified_and_always_the_same(dataset):
    counts = np.bincount(dataset.test.targets, minlength=10)
    assert counts.min() >= 34
    assert counts.max() <= 38
    np.testing.assert_array_equal(load(Config(dataset="digits")).test.inputs, dataset.test.inputs)


def test_no_test_image_is_trained_on(dataset):
    seen = {image.tobytes() for image in dataset.train.inputs}
    assert not any(image.tobytes() in seen for image in dataset.test.inputs)


def test_the_checksum_knows_the_images_and_labels_and_not_how_they_are_split(dataset):
    assert load(Config(dataset="digits", validation_size=7)).checksum() == dataset.checksum()
    labels = dataset.test.targets.copy()
    labels[5] += 1
    other = dataclasses.replace(dataset, test=ArraySplit(dataset.test.inputs, labels))
    assert other.checksum() != dataset.checksum()


def test_a_digit_off_its_place_is_brought_to_the_middle_and_to_size():
    image = np.zeros((40, 50))
    image[2:12, 30:35] = 200
    centred = digits.to_mnist_form(image)
    expected = np.zeros((28, 28), np.uint8)
    expected[4:24, 9:19] = 200
    np.testing.assert_array_equal(centred, expected)
