"""The sample digits of the page, in MNIST's form.

A pen that follows strokes draws them, so the page needs no images of a dataset. `python -m
serving.samples` writes them to `serving/page/samples.json`.
"""

import base64
import json
import pathlib

import numpy as np

PATH = pathlib.Path(__file__).parent / "page" / "samples.json"

# The digits 0 to 9 in three hands. A digit is a list of strokes, separated by `/`, through points
# `x y`, which are at most 100 high; y points down. Two strokes that meet form a corner.
EASY = [
    [
        "50 0, 22 18, 12 52, 26 90, 52 100, 80 76, 84 36, 66 6, 46 2",
        "54 0, 51 50, 46 100",
        "14 24, 40 0, 74 16, 68 48, 36 78, 10 98 / 10 98, 48 94, 84 97",
        "16 10, 48 0, 74 18, 62 40, 38 47 / 38 47, 70 54, 80 76, 54 100, 12 90",
        "24 2, 16 34, 14 54 / 14 54, 48 52, 84 50 / 68 10, 64 50, 60 100",
        "78 3, 52 3, 28 5 / 28 5, 22 40 / 22 40, 52 36, 78 58, 66 90, 38 100, 10 92",
        "62 0, 34 30, 18 68, 36 98, 66 92, 72 68, 50 56, 22 72",
        "10 8, 44 6, 80 4 / 80 4, 58 44, 40 100",
        "70 14, 46 0, 26 16, 40 40, 66 60, 74 84, 48 100, 24 84, 36 58, 64 36, 70 14",
        "74 20, 48 2, 24 24, 36 48, 62 42, 74 20 / 74 20, 70 60, 58 100",
    ],
    [
        "62 0, 30 22, 12 62, 26 96, 54 92, 78 54, 80 18, 60 2, 46 10",
        "66 0, 50 46, 34 100",
        "20 18, 48 0, 70 22, 52 62, 18 94, 14 78, 36 78, 60 94, 90 88",
        "20 4, 46 2, 72 4 / 72 4, 42 38 / 42 38, 74 50, 74 82, 46 100, 14 88",
        "36 0, 24 34, 10 60 / 10 60, 46 64, 84 60 / 62 26, 56 60, 48 100",
        "82 0, 58 6, 36 6 / 36 6, 28 42 / 28 42, 58 42, 70 66, 54 94, 12 98",
        "50 0, 32 28, 22 62, 26 92, 50 100, 68 80, 52 62, 24 78",
        "12 12, 30 4, 56 8, 78 4 / 78 4, 68 34, 52 68, 46 100",
        "74 10, 50 0, 34 18, 50 42, 66 66, 52 96, 28 92, 30 66, 54 44, 76 22, 74 10",
        "78 12, 52 0, 26 22, 34 46, 60 40, 78 12 / 78 12, 64 52, 36 100",
    ],
    [
        "44 0, 22 28, 20 70, 44 100, 72 84, 80 44, 68 10, 44 0",
        "42 0, 50 48, 54 100",
        "10 20, 30 2, 60 4, 72 26, 54 56, 12 92 / 12 92, 30 84, 60 96, 92 92",
        "12 16, 36 0, 66 8, 64 34, 34 48 / 34 48, 68 52, 74 80, 44 100, 8 84",
        "22 8, 22 36, 30 52, 52 54, 76 44 / 76 0, 74 50, 68 100",
        "24 4, 22 24, 26 44 / 26 44, 54 40, 74 60, 62 92, 36 100, 14 90 / 24 4, 50 6, 80 2",
        "76 2, 42 22, 20 60, 28 94, 58 98, 80 76, 66 56, 36 62, 22 80",
        "14 4, 46 8, 74 4 / 74 4, 62 30, 42 62, 30 100",
        "60 2, 34 8, 34 32, 62 50, 76 80, 50 100, 24 80, 42 50, 68 26, 60 2",
        "70 8, 44 2, 26 22, 40 44, 64 36, 72 12 / 72 12, 76 48, 66 86, 42 98",
    ],
]
HARD = [
    "70 4, 34 24, 18 62, 40 98, 66 78, 64 40, 44 10, 30 4",  # Pointed, with crossing ends.
    "96 4, 52 46, 4 96",  # Leans far to the right.
    "14 14, 46 2, 70 20, 54 56, 26 96 / 26 96, 44 92, 62 96",  # A very short foot: near 7.
    "22 8, 52 0, 70 18, 44 42 / 44 42, 72 58, 66 92, 36 98, 22 78, 34 60",  # Near 8.
    "48 2, 28 16, 20 40, 38 54, 72 44 / 76 0, 70 50, 66 100",  # Open only at the top: near 9.
    "74 2, 46 4, 34 30 / 34 30, 26 60, 44 54, 68 66, 66 90, 38 100, 16 88",  # Near 6.
    "40 0, 24 44, 24 84, 50 100, 70 84, 58 70, 34 78",  # A small bowl, near 1 and 0.
    "10 8, 40 4, 76 8 / 76 8, 60 46, 46 100 / 30 54, 56 50, 82 50",  # Has a bar.
    "68 4, 40 2, 26 24, 50 42, 66 26, 68 4 / 52 42, 60 70, 48 100, 36 76, 52 42",  # Near 9.
    "70 10, 42 8, 26 34, 30 50, 60 46, 78 38 / 72 4, 70 50, 68 100",  # Not closed: near 4.
]

_PEN = 2.4, 3.2  # The width of MNIST's lines, in pixels.
_FINE = 8  # Sample points along one side of a pixel; the grey of a pixel is their mean.


def draw(strokes, random):
    """Draw a digit in MNIST's form: it fits a box of 20 pixels and is centred by its mass.

    Args:
        strokes: A digit in the format of `EASY`.
        random: A NumPy generator that varies the shape, the slant and the width of the lines.

    Returns:
        `uint8 (28, 28)`, 0 (paper) to 255 (ink).
    """
    lines = [
        np.array([point.split() for point in stroke.split(",")], float)
        for stroke in strokes.split("/")
    ]
    # The shift of a point depends only on its position, so strokes that meet stay connected.
    waves = random.normal(scale=0.02, size=(2, 2))
    shear = random.normal(scale=0.05)
    lines = [line @ [[1, 0], [-shear, 1]] + 100 * np.sin(line / 25) @ waves for line in lines]
    points = np.concatenate([_smooth(line) for line in lines])
    pen = random.uniform(*_PEN)
    low, high = points.min(0), points.max(0)
    points = (points - low) * ((20 - pen) / (high - low).max()) + pen / 2

    fine = (np.arange(20 * _FINE) + 0.5) / _FINE
    x, y = np.meshgrid(fine, fine)
    is_ink = np.zeros(x.shape, bool)
    for point in points:
        is_ink |= np.hypot(x - point[0], y - point[1]) < pen / 2
    digit = is_ink.reshape(20, _FINE, 20, _FINE).mean((1, 3))

    image = np.zeros((28, 28))
    image[:20, :20] = digit
    # In MNIST's images the centre of mass lies within pixel 14, counted from 0.
    sides = np.ceil(points.max(0) + pen / 2 - 1e-9)[::-1]
    masses = [digit.sum(axis) @ (np.arange(20) + 0.5) / digit.sum() for axis in (1, 0)]
    shift = np.clip(np.rint(14.5 - np.array(masses)), 0, 28 - sides).astype(int)
    return np.rint(255 * np.roll(image, shift, (0, 1))).astype(np.uint8)


def _smooth(line):
    """Many points `(points, 2)` on a smooth curve through a few (Catmull and Rom, 1974)."""
    before, after = 2 * line[:1] - line[1:2], 2 * line[-1:] - line[-2:-1]
    line = np.concatenate([before, line, after])
    t = np.linspace(0, 1, 12)[:, None]
    pieces = [
        b + (c - a) * t / 2 + (2 * a - 5 * b + 4 * c - d) * t**2 / 2
        + (3 * (b - c) + d - a) * t**3 / 2
        for a, b, c, d in zip(line, line[1:], line[2:], line[3:], strict=False)
    ]  # fmt: skip
    return np.concatenate(pieces)


def sets():
    """Sets of ten digits: the image, `uint8 (28, 28)`, and whether it is hard, of each."""
    random = np.random.default_rng(0)
    return [[(draw(strokes, random), hand is HARD) for strokes in hand] for hand in [*EASY, HARD]]


def text():
    """The text of the file: each set is a list of `{"image": 28x28 bytes in base64, "hard": …}`."""
    encoded = [
        [
            {"image": base64.b64encode(image.tobytes()).decode(), "hard": hard}
            for image, hard in digits
        ]
        for digits in sets()
    ]
    return json.dumps(encoded, indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
