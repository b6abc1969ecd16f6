import keras
import numpy as np
import pytest

from models import ImageToSequence


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(3, 28, 28)).astype(np.float32)


def test_rows_returns_the_image_unchanged(images):
    np.testing.assert_array_equal(ImageToSequence("rows")(images), images)


def test_columns_reads_from_left_to_right(images):
    sequence = ImageToSequence("columns")(images)
    for step in (0, 13, 27):
        np.testing.assert_array_equal(sequence[:, step], images[:, :, step])


def test_rows_and_columns_concatenates_both(images):
    sequence = ImageToSequence("rows_and_columns")(images)
    assert sequence.shape == (3, 28, 56)
    np.testing.assert_array_equal(sequence[:, 13, :28], images[:, 13])
    np.testing.assert_array_equal(sequence[:, 13, 28:], images[:, :, 13])


def test_pixels_reads_784_single_pixels_along_the_rows(images):
    sequence = ImageToSequence("pixels")(images)
    assert sequence.shape == (3, 784, 1)
    np.testing.assert_array_equal(sequence[:, 28 * 5 + 3, 0], images[:, 5, 3])


@pytest.mark.parametrize("order", ["rows", "columns", "pixels"])
def test_a_permutation_moves_every_pixel_once_and_the_same_way_each_time(images, order):
    permuted = np.asarray(ImageToSequence(order, permute_seed=5)(images))
    assert not np.array_equal(permuted, ImageToSequence(order)(images))
    np.testing.assert_array_equal(np.sort(permuted, axis=None), np.sort(images, axis=None))
    np.testing.assert_array_equal(permuted, ImageToSequence(order, permute_seed=5)(images))
    assert not np.array_equal(permuted, ImageToSequence(order, permute_seed=6)(images))


def test_the_permutation_is_the_same_in_every_release():
    numbers = np.arange(784, dtype=np.float32).reshape(1, 28, 28)
    first = ImageToSequence("pixels", permute_seed=0)(numbers)[0, :5, 0]
    np.testing.assert_array_equal(first, [693, 85, 647, 392, 765])


def test_the_layer_survives_its_config(images):
    scan = ImageToSequence("columns", permute_seed=7)
    rebuilt = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(scan))
    np.testing.assert_array_equal(rebuilt(images), scan(images))


def test_a_config_of_earlier_versions_with_the_former_class_name_is_read(images):
    config = {
        "module": "models.scan",
        "class_name": "Scan",
        "registered_name": "mnist_rows>Scan",
        "config": {"name": "scan", "trainable": True, "dtype": "float32"},
    }
    config["config"] |= {"order": "columns", "permute_seed": 7}
    layer = keras.saving.deserialize_keras_object(config)
    assert type(layer) is ImageToSequence
    np.testing.assert_array_equal(layer(images), ImageToSequence("columns", 7)(images))
    saved = keras.saving.serialize_keras_object(layer)
    assert saved["registered_name"] == "mnist_rows>Scan"


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="order='spiral'; expected one of rows, columns"):
        ImageToSequence("spiral")
