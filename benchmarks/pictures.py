"""Test digits in the forms that users send: drawn, photographed, rotated, in other formats.

Every set is a function that takes an image `uint8 (28, 28)` in the format of MNIST and a random
generator, and returns the bytes of a file. `not_digits` returns files without a digit.
"""

import io
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont


def encode(image, form="PNG", **options):
    """Encode an array or a Pillow image as the bytes of a file."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(np.clip(np.rint(image), 0, 255).astype(np.uint8))
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def large(image, size):
    """Enlarge a digit `(28, 28)` to `size` pixels with smooth lines, 0 to 255."""
    picture = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(picture, np.float32)


def in_paint(image, random, size=280):
    """Black on white without grey, as in a paint program."""
    return encode(np.where(large(image, size) > 127, 0, 255))


def in_paint_smooth(image, random, size=280):
    """Black on white with soft edges."""
    return encode(255 - large(image, size))


def paper(random, height, width, dark=0.45, noise=6.0):
    """Light and noise of paper: factors and addends, `(height, width)` each."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    angle = random.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5) + 0.5
    edge = 1 / (1 + np.exp(-(slope - random.uniform(0.2, 0.8)) * 12))
    light = 1 - dark * (0.5 * np.clip(slope, 0, 1) + 0.5 * edge)
    return light, random.normal(0, noise, (height, width))


def photograph(ink, random, reflects=0.2, white=225, quality=85, **options):
    """Simulate a photograph of `ink` (0 to 255), dark on light paper under uneven light."""
    light, noise = paper(random, *ink.shape, **options)
    picture = white * light * (1 - (1 - reflects) * ink / 255)
    blurred = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    blurred = blurred.filter(ImageFilter.GaussianBlur(max(ink.shape) / 400))
    return np.clip(np.asarray(blurred, np.float32) + noise, 0, 255)


def photographed(image, random, size=400):
    """Dark on light, centred, with shadow and noise, as JPEG."""
    return encode(photograph(large(image, size), random), "JPEG", quality=85)


def photographed_wide(image, random):
    """Dark on light, small, off the centre of a wide coloured picture."""
    ink = np.zeros((600, 800), np.float32)
    size = int(random.integers(180, 400))
    top, left = random.integers(0, 600 - size), random.integers(0, 800 - size)
    ink[top : top + size, left : left + size] = large(image, size)
    grey = photograph(ink, random, noise=10)
    coloured = grey[..., None] * [1.0, 0.93, 0.8]
    return encode(coloured, "JPEG", quality=75)


def photographed_by_a_thin_pen(image, random, size=600):
    """Dark on light, with lines a third as thick as those of MNIST."""
    drawn = large(image, size) > 127
    stroke = Image.fromarray(np.uint8(drawn) * 255)
    for _ in range(4):
        stroke = stroke.filter(ImageFilter.MinFilter(5))
    core = np.asarray(stroke, np.float32)
    ink = core if core.sum() > 0.15 * 255 * drawn.sum() else large(image, size)
    return encode(photograph(ink, random), "JPEG", quality=85)


def on_a_blackboard(image, random):
    """Light on dark, under uneven light, with noise."""
    light, noise = paper(random, 480, 640, noise=6)
    ink = np.zeros((480, 640), np.float32)
    ink[60:420, 140:500] = large(image, 360)
    return encode(light * (45 + 150 * ink / 255) + noise, "JPEG", quality=85)


def inverted(image, random):
    """28x28, with inverted colours."""
    return encode(255 - image)


def in_a_corner(image, random):
    """28x28, light on dark, at half size in a corner."""
    small = Image.fromarray(image).resize((14, 14), Image.Resampling.BOX)
    picture = np.zeros((28, 28), np.uint8)
    top, left = random.integers(0, 2, 2) * 14
    picture[top : top + 14, left : left + 14] = small
    return encode(picture)


def in_a_large_corner(image, random):
    """280x280, light on dark, at half size in a corner."""
    picture = np.zeros((280, 280), np.float32)
    top, left = random.integers(0, 2, 2) * 140
    picture[top : top + 140, left : left + 140] = large(image, 140)
    return encode(picture)


def turned_by_exif(orientation):
    """Create a set of rotated or mirrored photographs, with their EXIF orientation."""
    # The standard defines how to show the picture upright; these are the inverse operations.
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }

    def draw(image, random):
        picture = photograph(large(image, 300), random)
        picture = np.pad(picture, ((0, 0), (40, 40)), mode="edge")
        turned = Image.fromarray(picture.astype(np.uint8)).transpose(undo[orientation])
        exif = Image.Exif()
        exif[0x010F], exif[0x0112] = "Camera", orientation
        return encode(turned, "JPEG", quality=90, exif=exif)

    return draw


def in_alpha(image, random, ink=(0, 0, 0)):
    """Ink only in the alpha channel, with a transparent background."""
    picture = np.empty((140, 140, 4), np.float32)
    picture[..., :3], picture[..., 3] = ink, large(image, 140)
    return encode(picture)


def in_white_alpha(image, random):
    """White ink in the alpha channel."""
    return in_alpha(image, random, (255, 255, 255))


def in_cmyk(image, random):
    """Dark on light, as a JPEG for printing (CMYK)."""
    picture = photograph(large(image, 280), random)
    printed = Image.fromarray(picture.astype(np.uint8)).convert("RGB").convert("CMYK")
    return encode(printed, "JPEG", quality=90)


def in_sixteen_bits(image, random):
    """Black on white, 16 bits per pixel."""
    return encode(Image.fromarray(((255 - large(image, 100)) * 257).astype(np.uint16)))


def in_a_palette(image, random):
    """Blue on yellow, with a palette."""
    share = large(image, 200)[..., None] / 255
    coloured = (1 - share) * [250, 240, 150] + share * [20, 30, 140]
    return encode(Image.fromarray(coloured.astype(np.uint8)).quantize(16))


SETS = {
    "as they are": lambda image, random: encode(image),
    "as they are, JPEG": lambda image, random: encode(image, "JPEG", quality=95),
    "paint program, black on white, 280×280": in_paint,
    "the same with soft edges": in_paint_smooth,
    "photographed, shadow and noise, centred": photographed,
    "photographed, small, off the centre, coloured": photographed_wide,
    "photographed, thin pen": photographed_by_a_thin_pen,
    "blackboard": on_a_blackboard,
    "28×28, colours inverted": inverted,
    "28×28, light on dark, half size in a corner": in_a_corner,
    "280×280, light on dark, half size in a corner": in_a_large_corner,
    **{f"photographed, EXIF orientation {n}": turned_by_exif(n) for n in range(2, 9)},
    "black ink in the alpha channel": in_alpha,
    "white ink in the alpha channel": in_white_alpha,
    "photographed, CMYK JPEG": in_cmyk,
    "16 bits a pixel": in_sixteen_bits,
    "blue on yellow, palette": in_a_palette,
}


def _drawn(points):
    """A closed black line on white, through points given as fractions of the picture."""
    picture = Image.new("L", (280, 280), 255)
    ends = [(280 * x, 280 * y) for x, y in [*points, points[0]]]
    ImageDraw.Draw(picture).line(ends, 0, 18, joint="curve")
    return encode(picture)


def _written(text):
    """A black letter or sign on white."""
    picture = Image.new("L", (280, 280), 255)
    font = ImageFont.load_default(200)
    ImageDraw.Draw(picture).text((140, 140), text, 0, font, anchor="mm", stroke_width=3)
    return encode(picture)


def _around(corners, radii, turned=-math.pi / 2):
    """Corners of a polygon around the middle; their radii repeat."""
    return [
        (0.5 + r * math.cos(turned + t), 0.5 + r * math.sin(turned + t))
        for n in range(corners)
        for t, r in [(2 * math.pi * n / corners, radii[n % len(radii)])]
    ]


def not_digits():
    """Files without a digit, by name: shapes, letters and signs."""
    shapes = {
        "star": _around(10, (0.42, 0.17)),
        "six-pointed star": _around(12, (0.42, 0.22)),
        "triangle": _around(3, (0.42,)),
        "square": _around(4, (0.42,), math.pi / 4),
        "hexagon": _around(6, (0.42,)),
        "house": [(0.2, 0.9), (0.2, 0.4), (0.5, 0.1), (0.8, 0.4), (0.8, 0.9)],
        "lightning": [(0.6, 0.1), (0.3, 0.55), (0.5, 0.55), (0.4, 0.9), (0.7, 0.42), (0.5, 0.42)],
    }
    letters = "AEFHJKMNPQRTUVWXY&%@#?+=*"
    return {
        **{name: _drawn(points) for name, points in shapes.items()},
        **{letter: _written(letter) for letter in letters},
    }
