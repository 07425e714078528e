"""Which requests are a canary's to answer: by what they are, by who sent them, or by chance. Pure, but for the draw."""

from collections.abc import Callable, Mapping
from functools import cache
from hashlib import blake2b
from typing import Final

from tidegate_runtime.naming import HandoverReason
from tidegate_runtime.share.document import Handover, Key, Match

Header = Callable[[str], str | None]
"""A request's header by its name in lower case; of several they are joined by commas."""

MAX_COOKIES: Final = 512
"""Of a request that are looked at: browsers keep fewer for a site, and a head of 32 KiB has room for 10,000."""

Cookies = Callable[[], Mapping[str, str]]
"""A request's cookies by name, of several the first; they are read when that is asked for."""

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
        cookies = cookies_of(header)
        if any(_fits(match, header, cookies) for match in self._matches):
            return HandoverReason.MATCH
        place = None if self._sticky is None else place_of(self._sticky, header, cookies)
        return HandoverReason.WEIGHT if (self._draw() if place is None else place) < self._share else None


def place_of(key: Key, header: Header, cookies: Cookies) -> float | None:
    """Where a caller stands among all, from 0 up to 1; None of a request that doesn't say whose it is.

    All processes find the same place, and whom a small share takes, a larger one keeps.
    """
    value = cookies().get(key.name) if key.cookie else header(key.name)
    if not value:
        return None
    return int.from_bytes(blake2b(value.encode(), digest_size=_BYTES).digest()) / _ALL


def cookies_of(header: Header) -> Cookies:
    """The cookies of the request with these headers, read once at most."""

    @cache
    def cookies() -> Mapping[str, str]:
        found: dict[str, str] = {}
        for pair in (header("cookie") or "").split(";", MAX_COOKIES)[:MAX_COOKIES]:
            name, equals, value = pair.strip().partition("=")
            if equals:
                found.setdefault(name, value.removeprefix('"').removesuffix('"'))
        return found

    return cookies


def _fits(match: Match, header: Header, cookies: Cookies) -> bool:
    return all(header(name) == value for name, value in match.headers) and (
        not match.cookies or all(cookies().get(name) == value for name, value in match.cookies)
    )
