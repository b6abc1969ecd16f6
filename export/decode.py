"""Decode PNG and JPEG to greyscale with TensorFlow operations, which run in the served graph."""

import tensorflow as tf

# A few bytes of PNG can decode to gigabytes: larger images are refused before decoding.
MAX_PIXELS = 2**24
# Images are first reduced so that their longest side has at most this many pixels.
MAX_SIDE = 640

_ORIENTATION = 0x0112  # EXIF's tag.
_JPEG_WITH_EXIF = 0xFFE1  # The marker APP1.
_JPEG_SCAN = 0xFFDA  # The marker SOS. EXIF never follows it.


def decode(image_bytes):
    """Decode an image to greyscale, as an image viewer shows it.

    The image is rotated or mirrored according to its EXIF orientation. Transparent pixels are
    filled with a paper colour. If the border of the image is opaque, the paper has the border's
    brightness. If it is transparent, the paper is white for dark ink and black for light ink.

    Args:
        image_bytes: `string ()`, a PNG or JPEG of at most `MAX_PIXELS` pixels.

    Returns:
        `float32 (height, width)`, integers from 0 (black) to 255 (white). The longest side has at
        most `MAX_SIDE` pixels; smaller images keep their exact values.

    Raises:
        tf.errors.InvalidArgumentError: If the image has another format, is damaged or too large.
    """
    # TensorFlow's decoders also accept other formats, and allocate the size in the header.
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
    return _oriented(tf.round(grey), _orientation(image_bytes, tiff))


def _png_size(image_bytes):
    """Width and height, `int32 (2,)`, read from byte 16 of a PNG."""
    return tf.stack([_number(image_bytes, at, 4) for at in (16, 20)])


def _jpeg_size(image_bytes):
    return tf.image.extract_jpeg_shape(image_bytes)[:2]


def _decode_jpeg(image_bytes):
    # Decode to RGB: the decoder converts CMYK images to RGB, but not to grey.
    return _grey(reduced(tf.io.decode_jpeg(image_bytes, channels=3), MAX_SIDE))


def _decode_png(image_bytes):
    image = tf.io.decode_png(image_bytes, channels=4)
    is_opaque = tf.reduce_min(image[..., 3]) == 255
    return tf.cond(
        is_opaque, lambda: _grey(reduced(image, MAX_SIDE)), lambda: _on_paper(image, image_bytes)
    )


def _on_paper(image, image_bytes):
    """Fill the transparent pixels of `uint8 (height, width, 4)` with paper."""
    # Decode again to grey: three float32 channels of a large image would take gigabytes.
    grey = tf.cast(tf.io.decode_png(image_bytes, channels=1), tf.float32)
    alpha = tf.cast(image[..., 3:], tf.float32) / 255
    # Multiply by alpha before resizing: colours of transparent pixels must not leak.
    drawn = reduced(grey * alpha, MAX_SIDE)[..., 0]
    alpha = reduced(alpha, MAX_SIDE)[..., 0]
    opaque_at_border = tf.reduce_mean(border(alpha))
    around = tf.math.divide_no_nan(tf.reduce_mean(border(drawn)), opaque_at_border)
    ink = tf.math.divide_no_nan(tf.reduce_sum(drawn), tf.reduce_sum(alpha))
    other = tf.where(ink < 128, 255.0, 0.0)
    paper = tf.where(opaque_at_border > 0.5, around, other)
    return drawn + paper * (1 - alpha)


def _grey(image):
    """Luminance of `(height, width, 3 or more)` by ITU-R BT.601."""
    return tf.linalg.matvec(image[..., :3], [0.299, 0.587, 0.114])


def reduced(image, side):
    """Reduce an image so that its longest side has at most `side` pixels; returns `float32`.

    Args:
        image: `(height, width)` or `(height, width, channels)`.
        side: Maximal length of the longest side, in pixels.
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
    """The pixels of a border of `(height, width)`, as wide as a twentieth of the longest side."""
    height, width = tf.unstack(tf.shape(image))
    wide = 1 + tf.maximum(height, width) // 20
    y, x = tf.range(height)[:, None], tf.range(width)
    inside = (y >= wide) & (y < height - wide) & (x >= wide) & (x < width - wide)
    return tf.boolean_mask(image, ~inside)


def _oriented(image, orientation):
    """Rotate and mirror an image `(height, width)` by its EXIF orientation, 1 to 8."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image), lambda: image)
    for axis, values in [(0, (3, 4, 7, 8)), (1, (2, 3, 6, 7))]:
        is_flipped = tf.reduce_any(orientation == values)
        image = tf.where(is_flipped, tf.reverse(image, [axis]), image)
    return image


def _orientation(image_bytes, start):
    """Read the EXIF orientation, `int32 ()` from 1 to 8; 1 if it is missing or invalid.

    Args:
        image_bytes: The encoded image.
        start: Offset in bytes of the TIFF header of the EXIF block; 0 without EXIF.
    """
    is_little = _part(image_bytes, start, 2) == b"II"

    def number(at, size):
        return _number(image_bytes, start + at, size, is_little)

    first = number(4, 4)  # Offset of the list of tags.
    count = tf.minimum(number(first, 2), 100)  # 12 bytes each: tag, type, count, value.

    def is_other(n):
        return (n < count) & (number(first + 2 + 12 * n, 2) != _ORIENTATION)

    n = tf.while_loop(is_other, lambda n: [n + 1], [0])[0]
    value = number(first + 2 + 12 * n + 8, 2)
    return tf.where((start > 0) & (n < count) & (value >= 1) & (value <= 8), value, 1)


def _exif_of_jpeg(image_bytes):
    """Find the offset of EXIF's TIFF header, `int32 ()`; 0 without EXIF.

    A JPEG is a sequence of segments, each with two bytes of marker and two bytes of length. The
    length includes its own two bytes.
    """
    end = tf.strings.length(image_bytes) - 18

    def is_exif(at):
        is_marked = _number(image_bytes, at, 2) == _JPEG_WITH_EXIF
        return is_marked & (_part(image_bytes, at + 4, 6) == b"Exif\0\0")

    def is_other(at):
        return (at < end) & (_number(image_bytes, at, 2) != _JPEG_SCAN) & ~is_exif(at)

    def advance(at):
        return [at + 2 + tf.maximum(_number(image_bytes, at + 2, 2), 2)]

    at = tf.while_loop(is_other, advance, [2])[0]
    return tf.where((at < end) & is_exif(at), at + 10, 0)


def _exif_of_png(image_bytes):
    """As `_exif_of_jpeg`. A PNG is a sequence of chunks: length, type, data, checksum."""
    end = tf.strings.length(image_bytes) - 20

    def is_other(at):
        return (at < end) & (_part(image_bytes, at + 4, 4) != b"eXIf")

    def advance(at):
        return [at + 12 + tf.clip_by_value(_number(image_bytes, at, 4), 0, end)]

    at = tf.while_loop(is_other, advance, [8])[0]
    return tf.where(at < end, at + 8, 0)


def _number(image_bytes, at, size, is_little=False):
    """Read an integer of 2 or 4 bytes, `int32 ()`; 0 beyond the end."""
    values = tf.cast(tf.io.decode_raw(_part(image_bytes, at, size), tf.uint8), tf.int32)
    values = tf.where(is_little, tf.reverse(values, [0]), values)
    shifts = tf.range(8 * (size - 1), -1, -8)
    return tf.reduce_sum(tf.bitwise.left_shift(values, shifts))


def _part(image_bytes, at, size):
    """Read `size` bytes, `string ()`; zero bytes beyond the end, where `substr` would fail."""
    is_inside = (at >= 0) & (at <= tf.strings.length(image_bytes) - size)
    part = tf.strings.substr(image_bytes, tf.where(is_inside, at, 0), size)
    return tf.where(is_inside, part, size * b"\0")
