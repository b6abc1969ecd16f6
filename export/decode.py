"""Encoded images to grey ones, by TensorFlow's operations alone: they run in the served graph."""

import tensorflow as tf

# A few bytes of PNG can stand for gigabytes: larger images are refused before they are decoded.
MAX_PIXELS = 2**24
# Larger images are reduced to this, longest side, before anything is computed from them.
MAX_SIDE = 640

_ORIENTATION = 0x0112  # EXIF's tag.
_JPEG_WITH_EXIF = 0xFFE1  # The marker APP1.
_EXIF = 0x45786966  # "Exif", which the segment begins with.
_PNG_EXIF = 0x65584966  # "eXIf", the type of a chunk.
_JPEG_SCAN = 0xFFDA  # The marker SOS, after which no EXIF comes.


def decode(image_bytes):
    """One encoded image as a person sees it, in grey.

    The image is turned as its EXIF orientation says. Transparent parts show the paper below. If the
    border of the image is opaque, the paper has the border's brightness. If not, the drawing stands
    alone, and the paper is white below dark ink and black below light ink.

    Args:
        image_bytes: `string ()`, a PNG or JPEG of at most `MAX_PIXELS` pixels.

    Returns:
        `float32 (height, width)`, whole numbers from 0 (black) to 255 (white); the longest side
        has at most `MAX_SIDE` pixels. An image that was smaller keeps its values to the bit.

    Raises:
        tf.errors.InvalidArgumentError: If it is another format, damaged, or too large.
    """
    # A decoder takes other formats as well, and would unfold whatever its header says.
    starts = [tf.strings.substr(image_bytes, 0, n) for n in (8, 3)]
    is_png, is_jpeg = starts[0] == b"\x89PNG\r\n\x1a\n", starts[1] == b"\xff\xd8\xff"
    expected = [f"expected a PNG or JPEG image of at most {MAX_PIXELS:,} pixels"]
    with tf.control_dependencies([tf.debugging.Assert(is_png | is_jpeg, expected)]):
        size = tf.cond(is_png, lambda: _png_size(image_bytes), lambda: _jpeg_size(image_bytes))
    fits = (size[0] > 0) & (size[1] > 0) & (size[0] <= MAX_PIXELS // size[1])
    with tf.control_dependencies([tf.debugging.Assert(fits, expected)]):
        grey, tiff = tf.cond(
            is_png,
            lambda: (_decode_png(image_bytes), _exif_of_png(image_bytes)),
            lambda: (_decode_jpeg(image_bytes), _exif_of_jpeg(image_bytes)),
        )
    return _turned(tf.round(grey), _orientation(image_bytes, tiff))


def _png_size(image_bytes):
    """Width and height, `int32 (2,)`, which stand at byte 16 of a PNG."""
    return tf.io.decode_raw(tf.strings.substr(image_bytes, 16, 8), tf.int32, little_endian=False)


def _jpeg_size(image_bytes):
    return tf.image.extract_jpeg_shape(image_bytes)[:2]


def _decode_jpeg(image_bytes):
    # As colours: the decoder makes them of the four inks of a CMYK image, but not grey.
    return _grey(reduced(tf.io.decode_jpeg(image_bytes, channels=3), MAX_SIDE))


def _decode_png(image_bytes):
    image = tf.io.decode_png(image_bytes, channels=4)
    is_opaque = tf.reduce_min(image[..., 3]) == 255
    return tf.cond(
        is_opaque, lambda: _grey(reduced(image, MAX_SIDE)), lambda: _on_paper(image, image_bytes)
    )


def _on_paper(image, image_bytes):
    """A transparent image, `uint8 (height, width, 4)`, on paper."""
    # Decoded again to grey: a large image's colours as numbers would take gigabytes.
    grey = tf.cast(tf.io.decode_png(image_bytes, channels=1), tf.float32)
    alpha = tf.cast(image[..., 3:], tf.float32) / 255
    # Colours of what cannot be seen must not leak into what can.
    drawn = reduced(grey * alpha, MAX_SIDE)[..., 0]
    alpha = reduced(alpha, MAX_SIDE)[..., 0]
    opaque_at_border = tf.reduce_mean(border(alpha))
    around = tf.math.divide_no_nan(tf.reduce_mean(border(drawn)), opaque_at_border)
    ink = tf.math.divide_no_nan(tf.reduce_sum(drawn), tf.reduce_sum(alpha))
    other = tf.where(ink < 128, 255.0, 0.0)
    paper = tf.where(opaque_at_border > 0.5, around, other)
    return drawn + paper * (1 - alpha)


def _grey(image):
    """Luminance of `(height, width, at least 3)`, the weights of ITU-R BT.601."""
    return tf.linalg.matvec(image[..., :3], [0.299, 0.587, 0.114])


def reduced(image, side):
    """An image as `float32`, reduced so that its longest side has at most `side` pixels.

    Args:
        image: `(height, width)` or `(height, width, channels)`.
        side: Pixels.
    """
    size = tf.shape(image)[:2]
    longest = tf.reduce_max(size)

    def reduce():
        smaller = tf.maximum(1, tf.cast(tf.round(side * size / longest), tf.int32))
        with_channels = image if image.shape.rank == 3 else image[..., None]
        resized = tf.image.resize(with_channels, smaller, antialias=True)
        return resized if image.shape.rank == 3 else resized[..., 0]

    return tf.cond(longest > side, reduce, lambda: tf.cast(image, tf.float32))


def border(image):
    """The outermost pixels of `(height, width)`, a twentieth of the longest side wide."""
    height, width = tf.unstack(tf.shape(image))
    wide = 1 + tf.maximum(height, width) // 20
    y, x = tf.range(height)[:, None], tf.range(width)
    inside = (y >= wide) & (y < height - wide) & (x >= wide) & (x < width - wide)
    return tf.boolean_mask(image, ~inside)


def _turned(image, orientation):
    """An image `(height, width)` as it is to be shown, by EXIF's orientation, 1 to 8."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image), lambda: image)
    for axis, values in [(0, (3, 4, 7, 8)), (1, (2, 3, 6, 7))]:
        is_flipped = tf.reduce_any(orientation == values)
        image = tf.where(is_flipped, tf.reverse(image, [axis]), image)
    return image


def _orientation(image_bytes, start):
    """EXIF's orientation, `int32 ()` from 1 to 8; 1 where nothing else is said.

    Args:
        image_bytes: The image.
        start: The byte that EXIF's block begins at, a TIFF header; 0 if there is none.
    """
    is_little = tf.strings.substr(image_bytes, start, 2) == b"II"

    def number(at, size):
        return _number(image_bytes, start + at, size, is_little)

    first = number(4, 4)  # Where the list of tags begins.
    count = tf.minimum(number(first, 2), 100)  # Of 12 bytes each: a tag, a type, a number, a value.

    def is_other(n):
        return (n < count) & (number(first + 2 + 12 * n, 2) != _ORIENTATION)

    n = tf.while_loop(is_other, lambda n: [n + 1], [0])[0]
    value = number(first + 2 + 12 * n + 8, 2)
    return tf.where((start > 0) & (n < count) & (value >= 1) & (value <= 8), value, 1)


def _exif_of_jpeg(image_bytes):
    """The byte at which EXIF's TIFF header begins, `int32 ()`; 0 if there is none.

    A JPEG is a row of segments: two bytes of marker, two of length, the length counting itself.
    """
    end = tf.strings.length(image_bytes) - 18

    def is_exif(at):
        is_marked = _number(image_bytes, at, 2) == _JPEG_WITH_EXIF
        return is_marked & (_number(image_bytes, at + 4, 4) == _EXIF)

    def is_other(at):
        return (at < end) & (_number(image_bytes, at, 2) != _JPEG_SCAN) & ~is_exif(at)

    def advance(at):
        return [at + 2 + tf.maximum(_number(image_bytes, at + 2, 2), 2)]

    at = tf.while_loop(is_other, advance, [2])[0]
    return tf.cond(at < end, lambda: tf.where(is_exif(at), at + 10, 0), lambda: 0)


def _exif_of_png(image_bytes):
    """As `_exif_of_jpeg`: of the chunks of a PNG, each a length, a type, the data, a checksum."""
    end = tf.strings.length(image_bytes) - 20

    def is_other(at):
        return (at < end) & (_number(image_bytes, at + 4, 4) != _PNG_EXIF)

    def advance(at):
        return [at + 12 + tf.clip_by_value(_number(image_bytes, at, 4), 0, end)]

    at = tf.while_loop(is_other, advance, [8])[0]
    return tf.where(at < end, at + 8, 0)


def _number(image_bytes, at, size, is_little=False):
    """A number of 2 or 4 bytes, `int32 ()`; 0 behind the end."""
    is_inside = (at >= 0) & (at <= tf.strings.length(image_bytes) - size)
    there = tf.strings.substr(image_bytes, tf.where(is_inside, at, 0), size)
    values = tf.cast(tf.io.decode_raw(there, tf.uint8), tf.int32)
    values = tf.where(is_little, tf.reverse(values, [0]), values)
    shifts = tf.range(8 * (size - 1), -1, -8)
    return tf.where(is_inside, tf.reduce_sum(tf.bitwise.left_shift(values, shifts)), 0)
