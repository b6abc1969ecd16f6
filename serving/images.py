"""Image files of every format that Pillow reads, as the PNG or JPEG that a server reads."""

import contextlib
import io
import math
import warnings
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

with contextlib.suppress(ImportError):  # HEIC, where the package is installed.
    import pillow_heif

    pillow_heif.register_heif_opener()

# The limits of `serving_bytes`, in pixels, and of a request, with room for other images.
_MAX_PIXELS, _MAX_BYTES = 2**24, 2**24
_REDUCED_PIXELS = 2**22  # A digit is read from 28x28: this is enough, and quick to encode.
# Pillow refuses to unfold images of more than twice as many pixels.
Image.MAX_IMAGE_PIXELS = 2**27

# Formats that Pillow recognises by their names, and cannot read.
_NOT_READ = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF"}
_HEIC = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}


class ImageError(Exception):
    """A file that cannot be sent, and why."""


class EncodedImage(NamedTuple):
    """An image as it is sent.

    Attributes:
        data: The bytes of a PNG or a JPEG.
        pixels: How many pixels it has.
    """

    data: bytes
    pixels: int


def suffixes():
    """The endings, such as `.png`, of the files that Pillow reads."""
    Image.init()
    known = set(Image.OPEN) - _NOT_READ
    return {ending for ending, name in Image.registered_extensions().items() if name in known}


def encode(data):
    """An image file as a PNG or JPEG that `serving_bytes` reads.

    A PNG or JPEG of at most 16 megapixels and 16 MB stays as it is. All else becomes a PNG: the
    first frame of an animation, turned upright as its EXIF orientation says, with its transparency,
    in 8 bits, reduced to 4 megapixels if it is larger.

    Args:
        data: The bytes of the file.

    Returns:
        An `EncodedImage`.

    Raises:
        ImageError: If it is not a whole image, or one of more than 268 megapixels.
    """
    if not data:
        raise ImageError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of large images and damaged EXIF data.
            return _encode(data)
    except UnidentifiedImageError:
        if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
            raise ImageError("HEIC needs a package: pip install pillow-heif") from None
        raise ImageError("not an image of a format that Pillow reads") from None
    except Image.DecompressionBombError:
        most = f"{2 * Image.MAX_IMAGE_PIXELS // 10**6} megapixels"
        raise ImageError(f"the image has more than {most}; reduce it first") from None
    except Exception as error:  # What decoders raise for a damaged file has no one type.
        raise ImageError(f"the image cannot be read: {error or type(error).__name__}") from error


def _encode(data):
    with Image.open(io.BytesIO(data)) as image:
        is_jpeg, is_png = data.startswith(b"\xff\xd8\xff"), data.startswith(b"\x89PNG\r\n\x1a\n")
        pixels = image.width * image.height
        if (is_jpeg or is_png) and pixels <= _MAX_PIXELS and len(data) <= _MAX_BYTES:
            image.load()  # A file that is cut off is found here, by its name.
            # TensorFlow gives the orientation in a JPEG, where cameras write it, and in no PNG.
            if is_jpeg or image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
                return EncodedImage(data, pixels)
        side = math.sqrt(_REDUCED_PIXELS / pixels)
        reduced = [max(1, int(side * each)) for each in image.size] if side < 1 else image.size
        image.draft(None, reduced)  # Of a large JPEG less is unfolded.
        image = _in_8_bits(ImageOps.exif_transpose(image))
        image.thumbnail((max(reduced), max(reduced)))
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=1, exif=b"", icc_profile=None)
        return EncodedImage(file.getvalue(), image.width * image.height)


def _in_8_bits(image):
    """An image in one of the modes L, LA, RGB and RGBA."""
    if image.has_transparency_data:
        return image.convert("LA" if image.mode in ("LA", "La") else "RGBA")
    if image.mode[0] in "IF":  # 16 bits or more; scanners and cameras use a part of them.
        values = np.nan_to_num(np.asarray(image, np.float64))
        low, high = values.min(), values.max()
        if low >= 0 and high <= 1:
            values = values * 255
        elif low < 0 or high > 255:
            values = (values - low) * (255 / max(high - low, 1))
        return Image.fromarray(np.rint(values).astype(np.uint8))
    return image.convert("L" if image.mode in ("1", "L") else "RGB")
