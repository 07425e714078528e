"""gRPC's part of HTTP/2: a request's head, messages in bodies, an answer's head and trailers. Pure.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. Heads are as the library has them: each name and each
value with a NUL behind it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tidegate_runtime.errors import BodyTooLarge, InvalidRequest, Malformed, NotServed
from tidegate_runtime.rpc.http2_packed import FIRST_BYTES, MOST_FROM_A_BYTE, WINDOW_BITS, Packed

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


class NotGrpc(Exception):
    """The request is not a call; `head` and `body` are the answer."""

    def __init__(self, status: int, text: str, *more: tuple[str, str]) -> None:
        super().__init__(text)
        fields = ((":status", str(status)), ("content-type", "text/plain; charset=utf-8"), *more)
        self.head = block(fields)
        self.body = f"{text}\n".encode()


MAX_KNOWN: Final = 256
MAX_KNOWN_BYTES: Final = 1024
"""Heads that are kept, and the longest of them; where there are more, all are forgotten and read anew."""


@dataclass(slots=True)
class Head:
    """What a request begins with. Not frozen: it is made for nearly every call, and so costs half."""

    path: str
    encoding: str
    timeout: str | None
    metadata: Mapping[str, str]


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


class Heads:
    """Reads heads, most of which a client sends over and over.

    They are known by the whole text of their fields. Header blocks as they were sent aren't: what those say depends on
    all that the connection has sent before.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def read(self, data: bytes) -> Head:
        """`read_head`; its metadata may be another call's, too."""
        head = self._known.get(data)
        if head is None:
            head = read_head(data)
            # What is left of a deadline is another number each time.
            if head.timeout is None and len(data) <= MAX_KNOWN_BYTES:
                if len(self._known) >= MAX_KNOWN:
                    self._known.clear()
                self._known[data] = head
        return head


def check_encoding(encoding: str) -> None:
    """Raises `NotServed` for a compression that isn't known here."""
    if encoding != "identity" and encoding not in WINDOW_BITS:
        raise NotServed(f'grpc-encoding "{encoding[:32]}" is none of {ENCODINGS}')


def seconds_of(timeout: str) -> float:
    """What a `grpc-timeout` says: at most eight digits and a unit. Raises `InvalidRequest`."""
    digits, unit = timeout[:-1], _UNITS.get(timeout[-1:])
    if unit is None or not 1 <= len(digits) <= 8 or not (digits.isascii() and digits.isdigit()):
        raise InvalidRequest(f'grpc-timeout "{timeout[:16]}" is not one to eight digits and one of {"".join(_UNITS)}')
    return int(digits) * unit


def whole(data: bytes, max_bytes: int) -> bytes | None:
    """The message that a piece of a body is, if it is one, all of it and not packed; longer ones are left alone."""
    size = len(data) - PREFIX
    if not 0 <= size <= max_bytes or data[0] or int.from_bytes(data[1:PREFIX]) != size:
        return None
    return data[PREFIX:]


class Messages:
    """Cuts a request's body into messages of at most `max_bytes`, packed or not.

    What isn't taken is held as bytes, not as messages or pieces, so that many tiny ones cost no more than a large one.
    """

    __slots__ = ("_data", "_encoding", "_start", "max_bytes", "wanted")

    def __init__(self, encoding: str, max_bytes: int) -> None:
        self._encoding = encoding
        self.max_bytes = max_bytes
        self._data: bytes | bytearray = b""
        self._start = 0
        self.wanted = 0
        """Bytes of the message that `complete` found incomplete, with its prefix; 0 if its length is unknown, too."""

    @property
    def held(self) -> int:
        """Bytes that aren't taken."""
        return len(self._data) - self._start

    def add(self, data: bytes) -> None:
        """A piece of the body."""
        if not self._data:
            self._data = data
            return
        if type(self._data) is bytes:
            self._data = bytearray(self._data[self._start :])
            self._start = 0
        self._data += data

    def complete(self) -> int:
        """Bytes of the next message, with its prefix, once they are all there; 0 until then.

        Raises `BodyTooLarge`, before such a message is there.
        """
        data, start = self._data, self._start
        self.wanted = 0
        if len(data) - start < PREFIX:
            return 0
        length = int.from_bytes(data[start + 1 : start + PREFIX])
        if length > self.max_bytes:
            raise BodyTooLarge(f"a message of {length} bytes; the limit is {self.max_bytes}")
        size = PREFIX + length
        if size > len(data) - start:
            self.wanted = size
            return 0
        return size

    def most(self, size: int) -> int:
        """How many bytes the next message, which is complete with `size` bytes, can have once it is unpacked."""
        return min(self.max_bytes, MOST_FROM_A_BYTE * size) if self._data[self._start] else size - PREFIX

    def take(self, size: int) -> bytes | Packed:
        """The next message, which is complete with `size` bytes; still packed if it unpacks to more than a little.

        Raises `Malformed`, `ContradictoryFlag`, or `BodyTooLarge` for what it unpacks to.
        """
        data, start = self._data, self._start
        with memoryview(data) as view:
            message = bytes(view[start + PREFIX : start + size])
        flag = data[start]
        self._forget(start + size)
        if not flag:
            return message
        if flag != 1:
            raise Malformed(f"a message begins with {flag}; it has to be 0, or 1 if it is compressed")
        packed = Packed(message, self._encoding, self.max_bytes)
        unpacked = packed.step(FIRST_BYTES)
        return packed if unpacked is None else unpacked

    def _forget(self, end: int) -> None:
        if end == len(self._data):
            self._data, self._start = b"", 0
        elif type(self._data) is bytearray and end > len(self._data) // 2:
            del self._data[:end]
            self._start = 0
        else:
            self._start = end


def trailers(code: str, message: str, more: Sequence[tuple[str, str]]) -> bytes:
    """How an answer ends: the status code's name, a message if there is one, further metadata.

    Behind `HEAD` they are a whole answer without a message.
    """
    fields = [("grpc-status", str(CODES[code]))]
    if message:
        fields.append(("grpc-message", _percent(message)))
    return block((*fields, *more))


def block(fields: Sequence[tuple[str, str]]) -> bytes:
    """A head as the library takes it."""
    return "".join(f"{name}\0{value}\0" for name, value in fields).encode("latin-1")


def _percent(text: str) -> str:
    """Printable ASCII as it is, all else and % as %XX of its UTF-8."""
    return "".join(chr(byte) if 32 <= byte <= 126 and byte != 37 else f"%{byte:02X}" for byte in text.encode())
