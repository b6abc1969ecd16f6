"""Unpack requests up to a limit, and pack large answers for clients that accept gzip."""

import zlib

from serving.errors import RequestError, TooLarge, UnsupportedEncoding

# The gzip level of an answer. Level 1 packs a trace to half its size in 2 ms. Level 9 saves a
# twentieth more, and takes 80 ms.
LEVEL = 1
MIN_BYTES = 16 * 2**10  # Smaller answers are not packed.
_GZIP = 16 + zlib.MAX_WBITS
_WINDOW_BITS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}


def unpacker(encoding, max_bytes):
    """The `Unpacker` for a Content-Encoding, bytes; `None` if the body is not packed.

    Raises:
        UnsupportedEncoding: If the encoding is neither gzip nor deflate.
    """
    name = encoding.decode("latin-1").strip().lower()
    if name in ("", "identity"):
        return None
    if name not in _WINDOW_BITS:
        raise UnsupportedEncoding(
            f"received Content-Encoding: {name[:80]}; expected gzip, deflate or none"
        )
    return Unpacker(name, max_bytes)


class Unpacker:
    """Unpacks a body piece by piece.

    Args:
        name: `gzip` or `deflate`.
        max_bytes: Maximum number of unpacked bytes.
    """

    def __init__(self, name, max_bytes):
        self._name = name
        self._max_bytes = max_bytes
        self._size = 0
        self._stream = zlib.decompressobj(_WINDOW_BITS[name])

    def __call__(self, data):
        """Unpack the next bytes.

        Raises:
            RequestError: If they are damaged.
            TooLarge: If all unpacked bytes are more than `max_bytes`. The rest is not unpacked.
        """
        try:
            unpacked = self._stream.decompress(data, self._max_bytes - self._size + 1)
        except zlib.error as error:
            raise self._damaged(error) from None
        self._size += len(unpacked)
        if self._size > self._max_bytes:
            raise TooLarge(
                f"received a body that {self._name} unpacks to over {self._max_bytes:,} bytes; "
                "expected fewer"
            )
        if self._stream.unused_data:
            raise self._damaged("there are bytes after its end")
        return unpacked

    def finish(self):
        """Raise a `RequestError` if the body ends too early."""
        if not self._stream.eof:
            raise self._damaged("it ends too early")

    def _damaged(self, reason):
        return RequestError(
            f"cannot unpack the body: {reason}; expected {self._name}, as its Content-Encoding says"
        )


def accepts_gzip(header):
    """Whether an Accept-Encoding header, bytes, asks for gzip."""
    for accepted in header.lower().replace(b" ", b"").split(b","):
        coding, _, quality = accepted.partition(b";q=")
        if coding == b"gzip":
            return quality.strip(b"0.") != b"" or not quality
    return False


def pack(body):
    """Pack a body in gzip; blocks."""
    return zlib.compress(body, LEVEL, _GZIP)
