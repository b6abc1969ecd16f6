"""The size of each distortion, the sampling, and the layer in a model."""

import keras
import numpy as np
import pytest
from scipy import ndimage

from configs import Config
from models import Distort, create_model
from tests.conftest import MNIST


@pytest.fixture
def images():
    """Smooth images that are zero at the border."""
    noise = np.random.default_rng(0).normal(size=(5, 28, 28))
    smooth = ndimage.gaussian_filter(noise, (0, 2, 2))
    return (smooth * np.hanning(28)[:, None] * np.hanning(28)).astype(np.float32)


EVERYTHING = {"rotation": 20, "shift": 3, "zoom": 0.2, "shear": 0.3, "elastic": 1.5}


def test_images_are_sampled_bilinearly_with_zeros_outside(images):
    layer = Distort(**EVERYTHING, seed=1)
    sources = np.asarray(layer.draw_sources(5))
    layer.seed_generator.state.assign(Distort(**EVERYTHING, seed=1).seed_generator.state)
    distorted = np.asarray(layer(images, training=True))
    for image, source, output in zip(images, sources, distorted, strict=True):
        expected = ndimage.map_coordinates(image, source, order=1, mode="grid-constant")
        np.testing.assert_allclose(output, expected, atol=1e-5)


@pytest.mark.parametrize("far", [-1e6, 1e6])
def test_sources_far_outside_give_zero(images, far):
    layer = Distort()
    layer.draw_sources = lambda count: np.full((count, 2, 28, 28), far, np.float32)
    assert not np.any(layer(images, training=True))


def test_only_training_images_are_distorted(images):
    layer = Distort(**EVERYTHING)
    np.testing.assert_array_equal(layer(images, training=False), images)
    np.testing.assert_allclose(Distort()(images, training=True), images, atol=1e-6)
    assert np.abs(np.asarray(layer(images, training=True)) - images).max(axis=(1, 2)).min() > 0.01


def offsets(**values):
    """The offset from each pixel of 4,000 images to its source: `(4000, 2, 28, 28)`."""
    sources = np.asarray(Distort(**values, seed=2).draw_sources(4000))
    return sources - np.indices((28, 28))


def test_a_shift_moves_all_pixels_by_the_same_offset_within_its_limit():
    moved = offsets(shift=3)
    assert np.ptp(moved, axis=(2, 3)).max() < 1e-5
    assert 2.9 < np.abs(moved).max() <= 3


def test_a_rotation_keeps_lengths_and_turns_within_its_limit():
    moved = offsets(rotation=30) + np.indices((28, 28)) - 13.5
    corner = moved[:, :, 0, 0]
    np.testing.assert_allclose(np.linalg.norm(corner, axis=1), 13.5 * np.sqrt(2), rtol=1e-5)
    angle = np.degrees(np.arctan2(corner[:, 1], corner[:, 0])) + 135
    assert 29 < np.abs(angle).max() <= 30.001
    assert abs(angle.mean()) < 1


def test_zoom_scales_each_axis_and_shear_moves_columns_only():
    zoomed = offsets(zoom=0.2)
    assert 0.19 < (np.abs(zoomed[:, 0, 0, 0]) / 13.5).max() <= 0.2001
    assert (
        abs(np.corrcoef(zoomed[:, 0, 0, 0], zoomed[:, 1, 0, 0])[0, 1]) < 0.1
    )  # The axes are independent.
    sheared = offsets(shear=0.3)
    assert np.abs(sheared[:, 0]).max() < 1e-5
    assert 0.29 < np.abs(sheared[:, 1, 1] - sheared[:, 1, 0]).max() <= 0.3001


def test_an_elastic_field_is_smooth_and_has_the_same_size_everywhere():
    moved = offsets(elastic=1.5)
    np.testing.assert_allclose(moved.std(axis=0), 1.5, rtol=0.08)
    assert np.abs(moved.mean(axis=0)).max() < 0.15
    neighbours = np.corrcoef(moved[:, 0, 10, 10], moved[:, 0, 11, 10])[0, 1]
    assert neighbours > 0.9
    assert abs(np.corrcoef(moved[:, 0, 4, 4], moved[:, 0, 24, 24])[0, 1]) < 0.1


def test_a_distortion_survives_a_file(images, tmp_path):
    inputs = keras.Input((28, 28))
    model = keras.Model(inputs, Distort(**EVERYTHING, seed=3)(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(images, training=True), model(images, training=True))


def test_rows_and_pixels_are_left_out_in_training_only():
    bright = np.full((50, 28, 28), 255, np.uint8)
    model = create_model(
        Config(model="basic_rnn", units=5, row_dropout=0.5, pixel_dropout=0.2), MNIST
    )
    seen = keras.Model(model.input, model.get_layer("scan").input)
    np.testing.assert_allclose(seen(bright), 1, rtol=1e-6)
    rows = np.asarray(seen(bright, training=True)) > 0
    whole = rows.any(axis=2)
    assert 0.4 < whole.mean() < 0.6
    assert 0.75 < rows[whole].mean() < 0.85
