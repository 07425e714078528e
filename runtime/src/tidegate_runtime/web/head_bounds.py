"""What the head of a request to the data port may be, and with what others are refused. Pure."""

from collections.abc import Sequence
from typing import Final

import httptools

MAX_URL_BYTES: Final = 8 * 1024
MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100

Refusal = tuple[int, str]
"""Status and message."""

OFFER: Final[Refusal] = (400, "this server offers no upgrade; send the request without the header Upgrade")
"""Of a request with a body that is refused for its offer to upgrade, and for nothing else."""

_OF_BODIES: Final = frozenset({b"content-length", b"transfer-encoding"})


def parsed_bytes(url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> int:
    """How much of a head has been parsed, less what stands between its fields."""
    return len(url) + sum(len(name) + len(value) for name, value in headers)


def refusal_of(
    url: bytes, headers: Sequence[tuple[bytes, bytes]], parser: httptools.HttpRequestParser
) -> Refusal | None:
    """Why a head that is complete is refused; None for one that isn't. Names of `headers` are in lower case."""
    if len(url) > MAX_URL_BYTES:
        return 414, f"the URL is over {MAX_URL_BYTES} bytes"
    if len(headers) > MAX_HEADERS or parsed_bytes(b"", headers) > MAX_HEAD_BYTES:
        return 431, f"the request's head is over {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers"
    version = parser.get_http_version()
    if version not in {"1.0", "1.1"}:
        return 400, "the request is not HTTP/1.1 or HTTP/1.0"
    if version == "1.1" and sum(name == b"host" for name, _ in headers) != 1:
        return 400, "HTTP/1.1 needs one Host header"
    if parser.get_method() == b"CONNECT":
        return 405, "this server is not a proxy"
    if parser.should_upgrade() and any(name in _OF_BODIES for name, _ in headers):
        return OFFER
    return None
