"""The sample digits of the page."""

import base64
import json

import numpy as np
import pytest

from serving import samples

SETS = samples.sets()


def test_samples_json_is_the_output_of_the_generator():
    stored = json.loads(samples.PATH.read_text())
    for digits, drawn in zip(stored, SETS, strict=True):
        for digit, (image, hard) in zip(digits, drawn, strict=True):
            pixels = np.frombuffer(base64.b64decode(digit["image"]), np.uint8)
            # Another processor may round a grey value differently.
            np.testing.assert_allclose(pixels.reshape(28, 28), image, rtol=0, atol=4)
            assert digit["hard"] == hard


def test_every_set_has_ten_digits_and_one_set_is_hard():
    assert [[hard for _, hard in digits] for digits in SETS] == [
        [hard] * 10 for hard in (False, False, False, True)
    ]


@pytest.mark.parametrize("number", range(len(SETS)))
def test_samples_are_in_mnists_form(number):
    for image, _ in SETS[number]:
        rows, columns = (np.any(image, axis=axis).nonzero()[0] for axis in (1, 0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
        for axis in (0, 1):
            centre = np.average(np.arange(28) + 0.5, weights=image.sum(1 - axis))
            assert centre == pytest.approx(14.5, abs=0.51)
        assert image.max() == 255
        # Ink as in MNIST: 33 of 255 on average, with the minimum in a 1.
        assert 9 < image.mean() < 60


def test_all_samples_differ():
    images = np.array([image for digits in SETS for image, _ in digits], float).reshape(-1, 784)
    distances = np.linalg.norm(images[:, None] - images, axis=-1)
    assert np.sort(distances, axis=1)[:, 1].min() > 500
