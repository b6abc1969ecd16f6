"""Bodies in gzip: requests are unpacked up to a limit, large answers packed if asked for."""

import zlib

from serving.errors import RequestError, TooLarge, UnsupportedEncoding

# Of an answer over REST. Level 1 packs a trace to half its size in 2 ms; level 9 takes 80 ms to
# save a twentieth more.
LEVEL = 1
LEAST_BYTES = 16 * 2**10
_GZIP = 16 + zlib.MAX_WBITS
_WINDOW_BITS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}


def unpacker(encoding, max_bytes):
    """The `Unpacker` of a Content-Encoding, bytes; `None` if the body is not packed.

    Raises:
        UnsupportedEncoding: If it is another encoding than gzip and deflate.
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
        max_bytes: Bytes that it may unpack to.
    """

    def __init__(self, name, max_bytes):
        self._name = name
        self._max_bytes = max_bytes
        self._size = 0
        self._stream = zlib.decompressobj(_WINDOW_BITS[name])

    def __call__(self, data):
        """What the next bytes unpack to.

        Raises:
            RequestError: If they are damaged.
            TooLarge: If all of it is more than `max_bytes`; no more than that is unpacked.
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
        """`RequestError` if the body ends too early."""
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
    """A body in gzip; blocks."""
    return zlib.compress(body, LEVEL, _GZIP)
