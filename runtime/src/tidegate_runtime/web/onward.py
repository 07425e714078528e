"""What goes along when a request is handed over to another server, and comes back with its answer. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Set
from typing import Final

from tidegate_runtime.naming import HOP_HEADER, REVISION_HEADER, ROUTE_HEADER
from tidegate_runtime.web.reply import Header

_OF_CONNECTION: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110, 7.6.1 and 11.7, and the length, which the client that sends it on writes itself."""
_LEFT: Final = _OF_CONNECTION | {
    b"host",
    b"expect",
    # A body is handed over as it was read: unpacked.
    b"content-encoding",
    HOP_HEADER.encode(),
    ROUTE_HEADER.encode(),
}
_OURS: Final = _OF_CONNECTION | {b"date", b"server"}


def onward(given: Iterable[Header]) -> list[Header]:
    """The headers that go along with a request: not those of the connection, nor what its own header names."""
    return _without(list(given), _LEFT)


def back(given: Mapping[bytes, bytes], revision: str) -> list[Header]:
    """The headers that come back with an answer, less those of its connection, with the `revision` that gave it."""
    return [*_without(given.items(), _OURS), (REVISION_HEADER.encode(), revision.encode())]


def reader(given: Iterable[Header]) -> Callable[[str], str | None]:
    """A request's headers by name, as `handover.choice` reads them: most shares ask for none."""
    values: dict[str, str] = {}

    def header(name: str) -> str | None:
        if not values:
            for known, value in given:
                key, text = known.decode("latin-1"), value.decode("latin-1")
                values[key] = f"{values[key]},{text}" if key in values else text
        return values.get(name)

    return header


def _without(headers: Collection[Header], left: Set[bytes]) -> list[Header]:
    """Those that are neither among `left` nor named by the connection's own header."""
    named = {part.strip().lower() for name, value in headers if name == b"connection" for part in value.split(b",")}
    return [header for header in headers if header[0] not in left and header[0] not in named]
