import contextlib
import io

import numpy as np
import pytest
from PIL import Image, ImageOps

import datasets
from benchmarks import pictures
from benchmarks.pictures import encode, large
from configs import Config
from datasets import digits
from training import train


@pytest.fixture(scope="module")
def read():
    """The function of the served graph: encoded images to rows `(batch, 28, 28)`."""
    import tensorflow as tf

    from export.prepare import read_digits

    return lambda encoded: read_digits(tf.constant(encoded)).numpy()


@pytest.fixture(scope="module")
def images():
    """Digits in the format of MNIST: a 0, 3, 6 and 9. A slow test reads more."""
    test = digits.read().test
    return np.stack([test.inputs[test.targets == label][0] for label in (0, 3, 6, 9)])


def likeness(rows, images):
    """The correlation of each pair of images: the largest one over shifts of up to one pixel."""
    best = np.full(len(images), -1.0)
    for shift in np.ndindex(3, 3):
        moved = np.roll(rows, np.subtract(shift, 1), axis=(1, 2))
        pairs = zip(moved, images, strict=True)
        best = np.maximum(best, [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])
    return best


@pytest.mark.parametrize("name", pictures.SETS)
def test_digits_of_every_source_are_converted_to_the_format_of_mnist(name, read, images):
    draw = pictures.SETS[name]
    rows = read([draw(image, np.random.default_rng(n)) for n, image in enumerate(images)])
    assert rows.dtype == np.float32
    assert (likeness(rows, images) > 0.75).all()
    for image in rows:
        assert 200 < image.max() <= 255
        assert image.min() == 0 or "JPEG" in name
        box = Image.fromarray(np.uint8(image > 32)).getbbox()
        assert 16 <= max(box[2] - box[0], box[3] - box[1]) <= 20


@pytest.mark.parametrize("draw", [lambda image: image, lambda image: 255 - image])
def test_an_image_in_the_format_of_mnist_does_not_change(draw, read):
    images = digits.read().train.inputs[:300]
    colours = [Image.fromarray(draw(image)).convert("RGB") for image in images[:20]]
    encoded = [encode(draw(image)) for image in images] + [encode(image) for image in colours]
    np.testing.assert_array_equal(read(encoded), np.concatenate([images, images[:20]]))


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied_as_in_pillow(orientation, form):
    import tensorflow as tf

    from export.decode import decode

    exif = Image.Exif()
    exif[0x010E], exif[0x0112], exif[0x0132] = "a name", orientation, "2026:11:26 00:00:00"
    picture = np.random.default_rng(0).integers(0, 256, (3, 5)).repeat(8, 0).repeat(8, 1)
    options = {"quality": 100} if form == "JPEG" else {}
    data = encode(picture.astype(float), form, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert expected.shape == ((24, 40) if orientation < 5 else (40, 24))
    np.testing.assert_allclose(decode(tf.constant(data)), expected, rtol=0, atol=1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_in_both_byte_orders_is_read_and_damaged_exif_is_ignored(order):
    import struct

    import tensorflow as tf

    from export.decode import decode

    picture = np.random.default_rng(0).integers(0, 256, (3, 5)).repeat(8, 0).repeat(8, 1)
    plain = encode(picture.astype(float), "JPEG", quality=100)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    tiff = mark + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)

    def with_exif(tiff, length=None):
        block = b"Exif\0\0" + tiff
        return plain[:2] + b"\xff\xe1" + struct.pack(">H", length or len(block) + 2) + block

    upright = decode(tf.constant(plain)).numpy()
    turned = decode(tf.constant(with_exif(tiff) + plain[2:])).numpy()
    np.testing.assert_array_equal(turned, np.rot90(upright, -1))
    for damaged in [tiff[:9], mark, b"", tiff[:4] + b"\xff" * 4 + tiff[8:], tiff[:16] + b"\t" * 6]:
        decoded = decode(tf.constant(with_exif(damaged) + plain[2:])).numpy()
        np.testing.assert_array_equal(decoded, upright)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_truncated_image_is_refused_or_read(form, read):
    import tensorflow as tf

    whole = encode(np.random.default_rng(0).integers(0, 256, (28, 28)).astype(float), form)
    for end in [*range(8, 60), *range(60, len(whole), 47)]:
        with contextlib.suppress(tf.errors.InvalidArgumentError):
            assert read([whole[:end]]).shape == (1, 28, 28)


def blank(value, size=28):
    return np.full((size, size), value, np.float64)


NOTHING = {
    "white": blank(255),
    "black": blank(0),
    "grey": blank(128, 100),
    "large": blank(255, 700),
    "one pixel": blank(255, 1),
    "a strip": blank(200, 90)[:2],
    "noise": np.random.default_rng(0).normal(128, 20, (28, 28)),
    "paper": np.random.default_rng(0).normal(200, 10, (400, 400)),
    "shadow": pictures.photograph(np.zeros((300, 400)), np.random.default_rng(1)),
}


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("name", NOTHING)
def test_the_rows_are_0_without_a_drawing(name, form, read):
    assert not read([encode(NOTHING[name], form)]).any()


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (20, 30, 160)])
def test_transparent_pixels_are_paper(colour, read, images):
    empty = np.zeros((50, 50, 4))
    empty[..., :3] = colour
    assert not read([encode(empty)]).any()
    # The colours of transparent pixels are ignored.
    alpha = large(images[1], 100)
    drawn = np.random.default_rng(0).integers(0, 256, (100, 100, 4)).astype(float)
    drawn[alpha > 0, :3] = colour
    drawn[..., 3] = alpha
    assert likeness(read([encode(drawn)]), images[1:2]) > 0.85


@pytest.mark.slow
def test_drawn_and_photographed_digits_are_read_as_well_as_mnist(mnist_dir, read, tmp_path, capsys):
    # The settings of configs/fast.flags, since one short epoch leaves errors of its own.
    config = Config(
        **{"model": "gru", "dataset": "mnist", "mnist_dir": str(mnist_dir), "epochs": 3},
        **{"optimizer": "muon", "learning_rate": 0.007, "schedule": "cosine", "clip_norm": 1.0},
        **{"batch_size": 110, "data_dir": str(tmp_path / "data")},
    )
    data = datasets.load(config)
    model = train.train(config, tmp_path / "run", data).load_model()
    test = data.test[:100]
    right = {}
    for name, draw in pictures.SETS.items():
        rows = read([draw(image, np.random.default_rng(n)) for n, image in enumerate(test.inputs)])
        right[name] = int((model.predict(rows, verbose=0).argmax(1) == test.targets).sum())
        if name == "as they are":
            np.testing.assert_array_equal(rows, test.inputs)
    with capsys.disabled():
        print(f"\nof 100 images, {right}")
    assert min(right.values()) >= 95
