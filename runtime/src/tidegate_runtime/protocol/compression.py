"""Content encodings: bodies in, bounded while they are unpacked, and answers out. Pure."""

import zlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

from tidegate_runtime.errors import BodyTooLarge, Malformed, UnsupportedMedia

MIN_BYTES: Final = 1400
"""Below this an answer fits one packet of an Ethernet network, and packing it would save nothing."""

LEVEL: Final = 1
"""On 177 kB of JSON numbers level 6 takes 4.5 times as long as level 1, for 8 % less."""

STEP_BYTES: Final = 1 << 20
"""How much one step unpacks: a few milliseconds, after which other connections have their turn."""


MAX_CODINGS: Final = 32
"""Of `Accept-Encoding` that are looked at: there aren't as many, and a head of 32 KiB has room for 16,000."""


class Encoding(StrEnum):
    """What is served; "deflate" is zlib's format, as RFC 9110 §8.4.1.2 has it."""

    GZIP = "gzip"
    DEFLATE = "deflate"


_WINDOW: Final = {Encoding.GZIP: 31, Encoding.DEFLATE: 15}
_CODINGS: Final = {"gzip": Encoding.GZIP, "x-gzip": Encoding.GZIP, "deflate": Encoding.DEFLATE}


def content_encoding(header: str | None) -> Encoding | None:
    """What a body's `Content-Encoding` names; None for none. Raises `UnsupportedMedia` for any other, or several."""
    value = (header or "identity").strip().lower()
    if value == "identity":
        return None
    encoding = _CODINGS.get(value)
    if encoding is None:
        raise UnsupportedMedia(
            f"Content-Encoding {value[:32]!r} is not served; send the body uncompressed, or as gzip or deflate"
        )
    return encoding


def accepted_encoding(header: str | None) -> Encoding | None:
    """The encoding of an answer to a client that sent `Accept-Encoding: header`; None for identity.

    The highest q-value decides, gzip before deflate; identity only where the client prefers it (RFC 9110 §12.5.3).
    """
    if not header:
        return None
    weights = dict(_weighted(part) for part in header.lower().split(",", MAX_CODINGS)[:MAX_CODINGS])
    other = weights.get("*", 0.0)
    gzip = weights.get("gzip", weights.get("x-gzip", other))
    deflate = weights.get("deflate", other)
    if max(gzip, deflate) <= max(weights.get("identity", 0.0), 0.0):
        return None
    return Encoding.GZIP if gzip >= deflate else Encoding.DEFLATE


def _weighted(part: str) -> tuple[str, float]:
    """A coding and its q-value: 1 without one, 0 for one that can't be read."""
    coding, _, parameter = part.partition(";")
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return coding.strip(), 1.0
    try:
        weight = float(value)
    except ValueError:
        weight = 0.0
    return coding.strip(), weight if 0.0 <= weight <= 1.0 else 0.0


class Inflater:
    """Unpacks a body piece by piece, into at most `limit` bytes: a bomb ends at the first byte beyond them."""

    def __init__(self, encoding: Encoding, limit: int) -> None:
        self.body = bytearray()
        self._encoding = encoding
        self._limit = limit
        self._stream = zlib.decompressobj(_WINDOW[encoding])

    def feed(self, data: bytes) -> bytes:
        """Unpacks `data` into at most 1 MiB more and returns what is left of `data` for the next step.

        Raises `BodyTooLarge`, or `Malformed` for data that aren't one stream of the encoding: gzip allows several in a
        row, but unpacking a body that is all heads would cost far more than its length.
        """
        try:
            self.body += self._stream.decompress(data, min(self._limit - len(self.body) + 1, STEP_BYTES))
        except zlib.error:
            raise Malformed(f"the body is not {self._encoding}, as its Content-Encoding says") from None
        if len(self.body) > self._limit:
            raise too_large(self._limit, "unpacked ")
        if self._stream.unused_data:
            raise Malformed(f"bytes follow the end of the {self._encoding} data; send one stream")
        return self._stream.unconsumed_tail

    def end(self) -> bytearray:
        """The whole body. Raises `Malformed` if its end is missing."""
        if not self._stream.eof:
            self.feed(b"")  # A step may end with all its input read and output still held back.
        if not self._stream.eof:
            raise Malformed(f"the body's {self._encoding} data are incomplete")
        return self.body


def too_large(limit: int, what: str = "") -> BodyTooLarge:
    """The refusal of a body over `limit` bytes."""
    return BodyTooLarge(f"the {what}body is over the limit of {limit} bytes; send fewer rows at once")


def compress(parts: Sequence[bytes | memoryview], encoding: Encoding) -> list[bytes]:
    """The parts, one after another, as one stream of `encoding`. 15 to 40 ms a megabyte."""
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, _WINDOW[encoding])
    packed: Iterable[bytes] = [stream.compress(part) for part in parts]
    return [piece for piece in (*packed, stream.flush()) if piece]
