"""A packed message, unpacked portion by portion, so that others have their turn in between. Pure."""

import zlib
from typing import Final

from tidegate_runtime.errors import BodyTooLarge, Malformed, RuntimeFault

WINDOW_BITS: Final = {"gzip": 31, "deflate": 15}
"""By `grpc-encoding`, as zlib has it."""

MOST_FROM_A_BYTE: Final = 1032
"""What a byte of deflate, of which gzip is made, unpacks to at most: https://zlib.net/zlib_tech.html."""

FIRST_BYTES: Final = 64 * 1024 + 1
"""What is unpacked at once, in a fraction of a millisecond: a request without tensors is whole by then, or too long."""

STEP_BYTES: Final = 256 * 1024
"""What a further portion unpacks to at most."""

_PIECE_BYTES: Final = 64 * 1024
"""What of the packed data a portion takes at most: zlib copies what it leaves of its input."""


class ContradictoryFlag(RuntimeFault):
    """A message says it is compressed, its request that nothing is."""


class Packed:
    """One message of at most `max_bytes` unpacked."""

    __slots__ = ("_at", "_data", "_encoding", "_max_bytes", "_parts", "_piece", "_size", "_stream")

    def __init__(self, data: bytes, encoding: str, max_bytes: int) -> None:
        """Raises `ContradictoryFlag` if `encoding` is none that packs."""
        bits = WINDOW_BITS.get(encoding)
        if bits is None:
            raise ContradictoryFlag("a message says that it is compressed, but the request has no grpc-encoding")
        self._data = data
        self._at = 0
        self._encoding = encoding
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._piece = b""
        self._size = 0
        self._stream = zlib.decompressobj(bits)

    def step(self, size: int) -> bytes | None:
        """Unpacks at most `size` bytes more: the whole message, if those were the last of it.

        Raises `BodyTooLarge` at the first byte beyond its bound, or `Malformed`.
        """
        if not self._piece:
            self._piece = self._data[self._at : self._at + _PIECE_BYTES]
            self._at += len(self._piece)
        stream = self._stream
        try:
            part = stream.decompress(self._piece, min(size, self._max_bytes + 1 - self._size))
        except zlib.error:
            raise Malformed(f"a message is not {self._encoding}") from None
        self._piece = stream.unconsumed_tail
        self._size += len(part)
        if self._size > self._max_bytes:
            raise BodyTooLarge(f"a message unpacks to more than {self._max_bytes} bytes, the limit")
        if part:
            self._parts.append(part)
        read = not self._piece and self._at == len(self._data)
        if stream.eof and read and not stream.unused_data:
            return b"".join(self._parts)
        # With all of its input read, what zlib still holds back comes first.
        if stream.eof or (read and not part):
            raise Malformed(f"a message is not one whole {self._encoding} stream")
        return None
