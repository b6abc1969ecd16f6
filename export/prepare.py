"""Convert pictures of a digit to the format of MNIST, with operations of the served graph.

The authors of MNIST scaled each digit to fit a box of 20x20 pixels with its aspect ratio, and
placed its centre of mass in the middle of an image of 28x28 (Y. LeCun et al. 1998,
http://yann.lecun.com/exdb/mnist/). A network trained on such images misreads other ones. A
photograph also shows paper, light and shadow, which must be removed first.
"""

import tensorflow as tf

from export.decode import border, decode

SIZE = 28
_BOX = 20
# The centre of mass of MNIST's images lies within pixel 14, counted from 0.
_MIDDLE = 14.5
# Tolerance for the centre of mass: MNIST's images are off by up to 0.52, the embedded digits by 1.
_MAX_OFF = 1.25
_MAX_PAPER = 4  # Out of 255.
_NOISE = 32  # Out of 255. JPEG compression changes paper by less.
# Share of the border with one brightness from which a picture is not a photograph.
_MIN_FLAT = 0.4

# Longest side of the picture for finding the paper, and for cleaning the digit.
_COARSE, _FINE = 96, 100
# The paper's brightness is that of the brightest pixels within a square of this side. Wider ink
# counts as paper.
_PAPER_SQUARE = 31
# As fractions of the paper's brightness, and of the ink's contrast to it.
_MIN_CONTRAST, _FAINT, _SURE, _FULL = 0.15, 0.3, 0.6, 0.75
_MIN_LINE = 2.0  # Pixels at a size of 20: the thickness of thin lines in MNIST.


# Trace once for all models: tracing takes a second.
_traced_once = tf.function(input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)


@_traced_once
def read_digits(image_bytes):
    """Read encoded images of one digit each, in the format of MNIST.

    Args:
        image_bytes: `string (batch,)`; see `export.decode.decode`.

    Returns:
        `float32 (batch, 28, 28)`; see `prepare`.
    """
    return _each(image_bytes, prepare)


@_traced_once
def read_images(image_bytes):
    """As `read_digits`, for images of other objects: grey, and resized to 28x28."""
    return _each(
        image_bytes,
        lambda grey: tf.image.resize(grey[..., None], (SIZE, SIZE), antialias=True)[..., 0],
    )


def _each(image_bytes, function):
    spec = tf.TensorSpec((SIZE, SIZE))
    return tf.map_fn(lambda each: function(decode(each)), image_bytes, fn_output_signature=spec)


def prepare(grey):
    """Convert a picture of one digit to the format of MNIST.

    1. An image of 28x28 in the format of MNIST does not change, except that dark ink on light paper
       is inverted.
    2. The paper is found. If the border has one brightness, it is the brightness of the paper. If
       not, the light is uneven: narrow lines are ink, and everything wider is paper.
    3. Uneven light is divided out. Differences as small as the noise become paper, and so do
       shadows that are not connected to dark ink.
    4. Lines that are thinner than those of MNIST are thickened.
    5. The digit is scaled to fit 20x20 and placed by its centre of mass.

    The digit needs some paper around it. If it fills the picture, light and dark may be confused.

    Args:
        grey: `float32 (height, width)`, integers from 0 (black) to 255 (white).

    Returns:
        `float32 (28, 28)`, from 0 (paper) to 255 (ink); all 0 without a drawing.
    """
    rows = tf.cond(
        _has_form(grey),
        lambda: grey,
        lambda: tf.cond(_has_form(255 - grey), lambda: 255 - grey, lambda: _fit(_clean(grey))),
    )
    return tf.ensure_shape(rows, (SIZE, SIZE))


def _is_light(coarse):
    """Whether the paper of `(height, width)` is lighter than the ink.

    Dark ink leaves light gaps, and light ink leaves dark gaps. Ink differs from gaps in two ways:
    it consists of lines, whose edge is long for their area, and all of its edge is an edge of the
    image.
    """
    dark, light = [_smooth(_paper(image) - image) for image in (coarse, 255 - coarse)]
    enough = 0.5 * tf.maximum(tf.reduce_max(dark), tf.reduce_max(light))
    near = [_max_of_neighbours(_max_of_neighbours(image)) for image in (coarse, -coarse)]
    is_edge = near[0] + near[1] > enough

    def lines(differs):
        drawn = tf.cast(differs > enough, tf.float32)
        edge = tf.reduce_sum(tf.where(is_edge, drawn - _min_of_neighbours(drawn), 0))
        return tf.math.divide_no_nan(edge**2, tf.reduce_sum(drawn))

    return lines(dark) >= lines(light)


def _has_form(ink):
    """Whether `(height, width)`, 0 (paper) to 255, is in the format of MNIST."""

    def measure():
        _, _, height, width = _box(ink > _NOISE)
        off = tf.reduce_max(tf.abs(tf.stack(_centre_of_mass(ink)) - _MIDDLE))
        fits = (tf.maximum(height, width) <= _BOX) & (off <= _MAX_OFF)
        return fits & (_median(border(ink)) <= _MAX_PAPER)

    has_size = tf.reduce_all(tf.shape(ink) == SIZE)
    return tf.cond(has_size & tf.reduce_any(ink > _NOISE), measure, lambda: False)


def _clean(grey):
    """Extract the digit of a picture `(height, width)`.

    Returns:
        The box around the ink, its longest side about `_FINE`, from 0 (paper) to 1 (ink); empty
        without a drawing.
    """
    coarse = _scaled(grey, _COARSE)
    around = border(grey)
    level = _median(around)
    # The background of a paint program has one brightness, that of a photograph has many.
    is_flat = tf.reduce_mean(tf.cast(tf.abs(around - level) <= 1, tf.float32)) > _MIN_FLAT
    is_light = tf.cond(is_flat, lambda: level > tf.reduce_mean(coarse), lambda: _is_light(coarse))
    light, coarse, level = [tf.where(is_light, x, 255 - x) for x in (grey, coarse, level)]
    paper = tf.cond(is_flat, lambda: tf.fill(tf.shape(coarse), level), lambda: _paper(coarse))
    differs = _difference(coarse, paper)
    usual = tf.where(is_flat, 0.0, _median(differs))
    noise = tf.where(is_flat, 0.0, 1.5 * _median(tf.abs(differs - usual)))
    differs -= usual
    contrast = tf.reduce_max(_smooth(differs))
    faint = tf.maximum(_FAINT * contrast, 4 * noise)
    is_ink = tf.cast(_connected(differs > _SURE * contrast, differs > faint), tf.float32)

    def clean():
        part = _box(_max_of_neighbours(is_ink) > 0)
        fine = _scaled(_cut(light, part, tf.shape(coarse)), _FINE)
        differs = _difference(fine, _stretched(_cut(paper, part), fine)) - usual
        near = _stretched(_cut(_max_of_neighbours(is_ink), part), fine)
        full = tf.maximum(_FULL * tf.reduce_max(_smooth(differs)), 1.1 * faint)
        return tf.clip_by_value((differs - faint) / (full - faint), 0, 1) * near

    is_drawn = contrast > tf.maximum(_MIN_CONTRAST, 6 * noise)
    return tf.cond(is_drawn, clean, lambda: tf.zeros((0, 0)))


def _paper(light):
    """Estimate the brightness of the paper at each pixel of `(height, width)`."""
    # A morphological closing: everything narrower than the square becomes paper, and the edges of
    # shadows stay. The image is padded with its border, from which crossing lines are removed.
    wide = light
    for axis in (0, 1):
        size, margin = tf.shape(light)[axis], _PAPER_SQUARE
        at = tf.range(-margin, size + margin)
        wide = tf.gather(wide, tf.clip_by_value(at, 0, size - 1), axis=axis)
        is_outside = tf.expand_dims((at < 0) | (at >= size), 1 - axis)
        wide = tf.where(is_outside, _closed(wide, [1 - axis]), wide)
    return _closed(wide, [0, 1])[margin:-margin, margin:-margin]


def _closed(image, axes):
    """Close `(height, width)`: remove dark parts that are too narrow along all `axes`."""
    for sign in (1, -1):
        # One axis after the other is much faster than the whole square.
        for axis in axes:
            window = [_PAPER_SQUARE if axis == other else 1 for other in (0, 1)]
            pooled = tf.nn.max_pool2d(sign * image[None, ..., None], window, 1, "SAME")
            image = sign * pooled[0, ..., 0]
    return image


def _difference(light, paper):
    """How much darker than the paper each pixel is, from 0 to 1."""
    return tf.clip_by_value(1 - (light + 1) / (paper + 1), 0, 1)


def _connected(seeds, allowed):
    """The `allowed` pixels of `(height, width)` that are connected to `seeds`."""
    allowed = tf.cast(allowed, tf.float32)

    def grow(reached, _):
        return allowed * _max_of_neighbours(reached), reached

    def has_grown(reached, before):
        return tf.reduce_any(reached != before)

    start = allowed * tf.cast(seeds, tf.float32)
    return tf.while_loop(has_grown, grow, (start, tf.zeros_like(start)))[0] > 0


def _fit(ink):
    """Scale and place ink `(height, width)` from 0 to 1: `(28, 28)` from 0 to 255."""

    def fit():
        digit = tf.round(255 * _scaled(_cropped(_thickened(_cropped(ink))), _BOX))
        height, width = tf.unstack(tf.shape(digit))
        y, x = _centre_of_mass(digit)
        # The whole digit must fit, even if its centre of mass is far from its middle.
        top = tf.clip_by_value(tf.cast(tf.round(_MIDDLE - y), tf.int32), 0, SIZE - height)
        left = tf.clip_by_value(tf.cast(tf.round(_MIDDLE - x), tf.int32), 0, SIZE - width)
        return tf.pad(digit, [[top, SIZE - height - top], [left, SIZE - width - left]])

    return tf.cond(tf.reduce_any(ink > 0.5), fit, lambda: tf.zeros((SIZE, SIZE)))


def _thickened(ink):
    """Thicken lines to at least `_MIN_LINE`; pads the image as far as they grow."""
    drawn = tf.cast(ink > 0.5, tf.float32)
    # The area of a line is its length times its width; it has two edges of this length.
    width = 2 * tf.math.divide_no_nan(
        tf.reduce_sum(drawn), tf.reduce_sum(drawn - _min_of_neighbours(drawn))
    )
    wanted = _MIN_LINE * tf.cast(tf.reduce_max(tf.shape(ink)), tf.float32) / _BOX
    times = tf.maximum(tf.cast(tf.round((wanted - width) / 2), tf.int32), 0)
    ink = tf.pad(ink, [[times, times], [times, times]])

    def grow(n, ink):
        return n + 1, _max_of_neighbours(ink)

    return tf.while_loop(lambda n, _: n < times, grow, (0, ink))[1]


def _cropped(ink):
    """Crop `(height, width)` to its ink."""
    return _cut(ink, _box(ink > 0.1))


def _box(drawn):
    """Top, left, height and width of the box around the true pixels of `(height, width)`."""
    y, x = tf.unstack(tf.cast(tf.where(drawn), tf.int32), axis=1)
    top, left = tf.reduce_min(y), tf.reduce_min(x)
    return top, left, tf.reduce_max(y) - top + 1, tf.reduce_max(x) - left + 1


def _cut(image, box, size=None):
    """Crop `(height, width)` to a box; the box is that of an image of another `size`, if given."""
    ends = tf.stack([*box[:2], box[0] + box[2], box[1] + box[3]])
    if size is not None:
        ends = ends * tf.tile(tf.shape(image), [2]) // tf.tile(size, [2])
    top, left, bottom, right = tf.unstack(ends)
    return image[top:bottom, left:right]


def _scaled(image, side):
    """Scale an image `(height, width)` so that its longest side has `side` pixels."""
    size = tf.shape(image)
    scaled = tf.cast(tf.round(side * size / tf.reduce_max(size)), tf.int32)
    return _resized(image, tf.maximum(scaled, 1))


def _stretched(image, other):
    """Resize an image `(height, width)` to the size of another."""
    return tf.image.resize(image[..., None], tf.shape(other))[..., 0]


def _resized(image, size):
    def shrink():
        return tf.image.resize(image[..., None], size, "area")[..., 0]

    def enlarge():
        return tf.image.resize(image[..., None], size, "bicubic")[..., 0]

    resized = tf.cond(tf.reduce_any(size < tf.shape(image)), shrink, enlarge)
    return tf.clip_by_value(resized, tf.reduce_min(image), tf.reduce_max(image))


def _centre_of_mass(ink):
    """Row and column, `float32 ()` each, measured from the edges of `(height, width)`."""
    sums = [tf.reduce_sum(ink, axis=1), tf.reduce_sum(ink, axis=0)]
    at = [tf.range(tf.size(s)) for s in sums]
    return [
        0.5 + tf.reduce_sum(s * tf.cast(n, tf.float32)) / tf.reduce_sum(s)
        for s, n in zip(sums, at, strict=True)
    ]


def _smooth(image):
    """The means of 3x3 pixels of `(height, width)`."""
    return tf.nn.avg_pool2d(image[None, ..., None], 3, 1, "SAME")[0, ..., 0]


def _max_of_neighbours(image):
    """The maxima of 3x3 pixels of `(height, width)`."""
    return tf.nn.max_pool2d(image[None, ..., None], 3, 1, "SAME")[0, ..., 0]


def _min_of_neighbours(image):
    return -_max_of_neighbours(-image)


def _median(values):
    values = tf.sort(tf.reshape(values, [-1]))
    return values[tf.size(values) // 2]
