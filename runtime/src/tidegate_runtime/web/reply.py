"""HTTP/1.1 answers as bytes, for what is answered below ASGI. Pure."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

Header = tuple[bytes, bytes]

JSON: Final = (b"content-type", b"application/json")
BINARY: Final = (b"content-type", b"application/octet-stream")
VARY: Final = (b"vary", b"Accept-Encoding")
JSON_LENGTH: Final = b"inference-header-content-length"

STATUS_LINE: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def reply(
    status: int, headers: Iterable[Header], body: Sequence[bytes | memoryview], *, close: bool
) -> list[bytes | memoryview]:
    """The answer's pieces, to be written in order; `body` is passed on uncopied."""
    head = [STATUS_LINE[status]]
    head += [b"%b: %b\r\n" % header for header in headers]
    if close:
        head.append(b"connection: close\r\n")
    head.append(b"content-length: %d\r\n\r\n" % sum(map(len, body)))
    return [b"".join(head), *body]
