"""Which requests are a canary's to answer: by what they are, by who sent them, or by chance. Pure, but for the draw."""

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Final

from tidegate_runtime.naming import HandoverReason
from tidegate_runtime.share.document import Handover, Key, Match

Header = Callable[[str], str | None]
"""A request's header by its name in lower case; of several they are joined by commas."""

_BYTES: Final = 8
_ALL: Final = float(1 << (8 * _BYTES))


class Choice:
    """Goes by one share. `draw` gives a number from 0 up to 1, another one each time."""

    def __init__(self, handover: Handover, draw: Callable[[], float]) -> None:
        self._share = handover.percent / 100
        self._matches = handover.matches
        self._sticky = handover.sticky
        self._plain = not handover.matches and handover.sticky is None
        self._draw = draw

    def of(self, header: Header) -> HandoverReason | None:
        """Why the request with these headers is handed over; None: it isn't."""
        if self._plain:
            return HandoverReason.WEIGHT if self._draw() < self._share else None
        if any(_fits(match, header) for match in self._matches):
            return HandoverReason.MATCH
        place = None if self._sticky is None else place_of(self._sticky, header)
        return HandoverReason.WEIGHT if (self._draw() if place is None else place) < self._share else None


def place_of(key: Key, header: Header) -> float | None:
    """Where a caller stands among all, from 0 up to 1; None of a request that doesn't say whose it is.

    All processes find the same place, and whom a small share takes, a larger one keeps.
    """
    value = _cookie(header, key.name) if key.cookie else header(key.name)
    if not value:
        return None
    return int.from_bytes(blake2b(value.encode(), digest_size=_BYTES).digest()) / _ALL


def _fits(match: Match, header: Header) -> bool:
    return all(header(name) == value for name, value in match.headers) and all(
        _cookie(header, name) == value for name, value in match.cookies
    )


def _cookie(header: Header, name: str) -> str | None:
    return next((value for found, value in _cookies(header("cookie") or "") if found == name), None)


def _cookies(text: str) -> Iterator[tuple[str, str]]:
    for pair in text.split(";"):
        name, equals, value = pair.strip().partition("=")
        if equals:
            yield name, value.removeprefix('"').removesuffix('"')
