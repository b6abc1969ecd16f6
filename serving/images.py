"""Encode image files of every format that Pillow reads as PNG or JPEG, which a server reads."""

import contextlib
import io
import math
import warnings
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

with contextlib.suppress(ImportError):  # Read HEIC if the package is installed.
    import pillow_heif

    pillow_heif.register_heif_opener()

# Pixels: the limit of `serving_bytes`. Bytes: half of the server's limit for a request.
_MAX_PIXELS, _MAX_BYTES = 2**24, 2**24
_REDUCED_PIXELS = 2**22  # Enough for a network that reads 28x28 pixels, and quick to encode.
# Pillow refuses to decode images of more than twice as many pixels.
Image.MAX_IMAGE_PIXELS = 2**27

# Formats that Pillow lists, but cannot read.
_NOT_READ = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF"}
_HEIC = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}


class ImageError(Exception):
    """A file cannot be sent; the message says why."""


class EncodedImage(NamedTuple):
    """An image to send.

    Attributes:
        data: The bytes of a PNG or a JPEG.
        pixels: The number of pixels.
    """

    data: bytes
    pixels: int


def suffixes():
    """The suffixes, such as `.png`, of the files that Pillow reads."""
    Image.init()
    known = set(Image.OPEN) - _NOT_READ
    return {suffix for suffix, name in Image.registered_extensions().items() if name in known}


def encode(data):
    """Encode an image file as a PNG or JPEG that `serving_bytes` reads.

    A PNG or JPEG of at most 16 megapixels and 16 MB stays unchanged. Other files become a PNG with
    8 bits and transparency: the first frame of an animation, turned upright by its EXIF
    orientation, and reduced to 4 megapixels if it is larger.

    Args:
        data: The bytes of the file.

    Returns:
        An `EncodedImage`.

    Raises:
        ImageError: If the file is not a complete image, or has more than 268 megapixels.
    """
    if not data:
        raise ImageError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images and damaged EXIF data.
            return _encode(data)
    except UnidentifiedImageError:
        if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
            raise ImageError("HEIC needs a package: pip install pillow-heif") from None
        raise ImageError("not an image of a format that Pillow reads") from None
    except Image.DecompressionBombError:
        limit = f"{2 * Image.MAX_IMAGE_PIXELS // 10**6} megapixels"
        raise ImageError(f"the image has more than {limit}; reduce it first") from None
    except Exception as error:  # Decoders raise many types for a damaged file.
        raise ImageError(f"the image cannot be read: {error or type(error).__name__}") from error


def _encode(data):
    with Image.open(io.BytesIO(data)) as image:
        is_jpeg, is_png = data.startswith(b"\xff\xd8\xff"), data.startswith(b"\x89PNG\r\n\x1a\n")
        pixels = image.width * image.height
        if (is_jpeg or is_png) and pixels <= _MAX_PIXELS and len(data) <= _MAX_BYTES:
            image.load()  # Raises here if the file is truncated, so that the error names the file.
            # `serving_bytes` applies the EXIF orientation of a JPEG, but not that of a PNG.
            if is_jpeg or image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
                return EncodedImage(data, pixels)
        side = math.sqrt(_REDUCED_PIXELS / pixels)
        reduced = [max(1, int(side * each)) for each in image.size] if side < 1 else image.size
        image.draft(None, reduced)  # Decode a large JPEG at a lower resolution.
        image = _in_8_bits(ImageOps.exif_transpose(image))
        image.thumbnail((max(reduced), max(reduced)))
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=1, exif=b"", icc_profile=None)
        return EncodedImage(file.getvalue(), image.width * image.height)


def _in_8_bits(image):
    """Convert an image to one of the modes L, LA, RGB and RGBA."""
    if image.has_transparency_data:
        return image.convert("LA" if image.mode in ("LA", "La") else "RGBA")
    if image.mode[0] in "IF":  # 16 bits or more. Scanners and cameras use only part of the range.
        values = np.nan_to_num(np.asarray(image, np.float64))
        low, high = values.min(), values.max()
        if low >= 0 and high <= 1:
            values = values * 255
        elif low < 0 or high > 255:
            values = (values - low) * (255 / max(high - low, 1))
        return Image.fromarray(np.rint(values).astype(np.uint8))
    return image.convert("L" if image.mode in ("1", "L") else "RGB")
