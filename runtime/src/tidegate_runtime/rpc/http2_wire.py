"""gRPC's part of HTTP/2: a request's head, messages in bodies, an answer's head and trailers. Pure.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. Heads are as the library has them: each name and each
value with a NUL behind it.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tidegate_runtime.errors import BodyTooLarge, InvalidRequest, Malformed, NotServed, RuntimeFault
from tidegate_runtime.rpc.call import Status

ENCODINGS: Final = "identity,deflate,gzip"
PREFIX: Final = 5
"""Bytes before a message: a flag for compression, and its length."""

HEAD: Final = f":status\x00200\0content-type\0application/grpc\0grpc-accept-encoding\0{ENCODINGS}\0".encode()
OK: Final = b"grpc-status\x000\0"

CODES: Final = {
    name: number
    for number, name in enumerate(
        (
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        )
    )
}

_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_WINDOW_BITS: Final = {"gzip": 31, "deflate": 15}


class ContradictoryFlag(RuntimeFault):
    """A message says it is compressed, its request that nothing is."""


class NotGrpc(Exception):
    """The request is not a call; `head` and `body` are the answer."""

    def __init__(self, status: int, text: str, *more: tuple[str, str]) -> None:
        super().__init__(text)
        fields = ((":status", str(status)), ("content-type", "text/plain; charset=utf-8"), *more)
        self.head = block(fields)
        self.body = f"{text}\n".encode()


@dataclass(slots=True)
class Head:
    """What a request begins with. Not frozen: it is made for every call, and so costs half."""

    path: str
    encoding: str
    timeout: str | None
    metadata: dict[str, str]


def read_head(data: bytes) -> Head:
    """The head of a call. Raises `NotGrpc`. Of metadata that come twice the last is kept; binary ones are left out."""
    text = data.decode("latin-1")
    parts = text.split("\0")
    fields = dict(zip(parts[:-1:2], parts[1::2], strict=True))
    take = fields.pop
    if take(":method", "") != "POST":
        raise NotGrpc(405, "this port speaks gRPC: its calls are POST", ("allow", "POST"))
    kind = take("content-type", "").partition(";")[0]
    if kind not in ("application/grpc", "application/grpc+proto"):
        raise NotGrpc(415, "this port speaks gRPC: content-type has to be application/grpc")
    path = take(":path", "")
    for name in (":scheme", ":authority", "te", "grpc-accept-encoding"):
        take(name, None)
    encoding, timeout = take("grpc-encoding", "identity"), take("grpc-timeout", None)
    if "-bin\0" in text:
        fields = {name: value for name, value in fields.items() if not name.endswith("-bin")}
    return Head(path, encoding, timeout, fields)


def check_encoding(encoding: str) -> None:
    """Raises `NotServed` for a compression that isn't known here."""
    if encoding != "identity" and encoding not in _WINDOW_BITS:
        raise NotServed(f'grpc-encoding "{encoding[:32]}" is none of {ENCODINGS}')


def seconds_of(timeout: str) -> float:
    """What a `grpc-timeout` says: at most eight digits and a unit. Raises `InvalidRequest`."""
    digits, unit = timeout[:-1], _UNITS.get(timeout[-1:])
    if unit is None or not 1 <= len(digits) <= 8 or not (digits.isascii() and digits.isdigit()):
        raise InvalidRequest(f'grpc-timeout "{timeout[:16]}" is not one to eight digits and one of {"".join(_UNITS)}')
    return int(digits) * unit


class Messages:
    """Cuts a request's body into messages of at most `max_bytes`, packed or not."""

    __slots__ = ("_encoding", "_have", "_max_bytes", "_parts", "wanted")

    def __init__(self, encoding: str, max_bytes: int) -> None:
        self._encoding = encoding
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._have = 0
        self.wanted = 0
        """Bytes of the message in progress, with its prefix; 0 between messages or while it is unknown."""

    @property
    def partial(self) -> bool:
        """Whether a message has begun and isn't complete."""
        return self._have > 0

    def feed(self, data: bytes) -> Sequence[tuple[bytes, int]]:
        """The messages that are complete with `data`, each with the bytes it took on the way.

        Raises `BodyTooLarge`, before such a message is there, `Malformed` or `ContradictoryFlag`.
        """
        size = len(data)
        if not self._have and size >= PREFIX and data[0] == 0 and size == PREFIX + int.from_bytes(data[1:PREFIX]):
            if size - PREFIX > self._max_bytes:
                raise self._too_large(size - PREFIX)
            return ((data[PREFIX:], size),)
        self._parts.append(data)
        self._have += size
        return self._cut()

    def _cut(self) -> list[tuple[bytes, int]]:
        if self._have < (self.wanted or PREFIX):
            return []
        data = b"".join(self._parts)
        messages = []
        start = 0
        while True:
            left = len(data) - start
            self.wanted = 0
            if left < PREFIX:
                break
            length = int.from_bytes(data[start + 1 : start + PREFIX])
            if length > self._max_bytes:
                raise self._too_large(length)
            self.wanted = PREFIX + length
            if left < self.wanted:
                break
            message = data[start + PREFIX : start + self.wanted]
            messages.append((self._unpacked(data[start], message), self.wanted))
            start += self.wanted
        self._parts = [data[start:]] if left else []
        self._have = left
        return messages

    def _unpacked(self, flag: int, data: bytes) -> bytes:
        if flag == 0:
            return data
        if flag != 1:
            raise Malformed(f"a message begins with {flag}; it has to be 0, or 1 if it is compressed")
        bits = _WINDOW_BITS.get(self._encoding)
        if bits is None:
            raise ContradictoryFlag("a message says that it is compressed, but the request has no grpc-encoding")
        unpacker = zlib.decompressobj(bits)
        try:
            message = unpacker.decompress(data, self._max_bytes + 1)
        except zlib.error:
            raise Malformed(f"a message is not {self._encoding}") from None
        if len(message) > self._max_bytes:
            raise BodyTooLarge(f"a message unpacks to more than {self._max_bytes} bytes, the limit")
        if not unpacker.eof or unpacker.unused_data:
            raise Malformed(f"a message is not one whole {self._encoding} stream")
        return message

    def _too_large(self, length: int) -> BodyTooLarge:
        return BodyTooLarge(f"a message of {length} bytes; the limit is {self._max_bytes}")


def trailers(status: Status) -> bytes:
    """How an answer ends."""
    fields = [("grpc-status", str(CODES[status.code]))]
    if status.message:
        fields.append(("grpc-message", _percent(status.message)))
    return block((*fields, *status.trailers))


def trailers_only(status: Status) -> bytes:
    """A whole answer without a message."""
    return HEAD + trailers(status)


def block(fields: Sequence[tuple[str, str]]) -> bytes:
    """A head as the library takes it."""
    return "".join(f"{name}\0{value}\0" for name, value in fields).encode("latin-1")


def _percent(text: str) -> str:
    """Printable ASCII as it is, all else and % as %XX of its UTF-8."""
    return "".join(chr(byte) if 32 <= byte <= 126 and byte != 37 else f"%{byte:02X}" for byte in text.encode())
