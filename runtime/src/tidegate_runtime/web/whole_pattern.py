"""A request that repeats its connection's last ones, head and body, but for its numbers and the length they give it."""

from functools import lru_cache
from typing import Final, NamedTuple

from tidegate_runtime.protocol.plain import MAX_BYTES, Around, Layout, Plain
from tidegate_runtime.web.head import Head, Pattern

MAX_LENGTHS: Final = 256
"""Of requests that begin alike; with more, all are worked out anew."""

MAX_BEGINNINGS: Final = 256
"""Ways in which requests begin; those that were asked for last are known."""


class _Place(NamedTuple):
    """What a request of some length begins with, where its body does, and where its numbers are."""

    opening: bytes
    body: int
    begin: int
    end: int


class _Beginning(NamedTuple):
    """All that the places in a request follow from, beside its length."""

    before: bytes
    behind: bytes
    around: Around
    most: int


@lru_cache(MAX_BEGINNINGS)
def _places(beginning: _Beginning) -> dict[int, _Place]:
    """By length. For all connections alike: it is arithmetic, and says nothing of what any of them has sent."""
    del beginning
    return {}


class WholePattern(NamedTuple):
    """The bytes around a request's numbers, and what it says.

    It takes nothing but what `Pattern.body_at` and `Plain.find` do, and makes the same of it. The length of a request
    tells that of its body, and so all bytes before the numbers.
    """

    head: Head
    layout: Layout
    behind: bytes
    beginning: _Beginning
    places: dict[int, _Place]

    def found(self, data: bytes) -> tuple[int, bytes] | None:
        """Where the body of `data` begins, and its numbers, if it is one whole such request."""
        place = self.places.get(len(data)) or self._place(len(data))
        if place is None:
            return None
        opening, body, begin, end = place
        return (body, data[begin:end]) if data.startswith(opening) and data.endswith(self.behind) else None

    def _place(self, length: int) -> _Place | None:
        before, behind, around, most = self.beginning
        rest = length - len(before) - len(behind)
        # A longer body never has fewer digits, so one count fits at most.
        size = next((rest - count for count in range(1, 13) if len(b"%d" % max(0, rest - count)) == count), 0)
        opening = b"%b%d%b%b" % (before, size, behind, around.before)
        begin, end = len(opening) - around.opening, length - len(around.behind)
        if not 0 < size <= most or begin > end or (around.size and around.size != end - begin):
            return None
        if len(self.places) >= MAX_LENGTHS:
            self.places.clear()
        place = self.places[length] = _Place(opening, length - size, begin, end)
        return place


def whole_pattern(pattern: Pattern[Head], form: Plain, layout: Layout) -> WholePattern | None:
    """The pattern of requests with such a head and of this layout; None if their numbers lie in several places."""
    around = form.around(layout)
    if around is None:
        return None
    beginning = _Beginning(pattern.before, pattern.behind, around, min(MAX_BYTES, pattern.head.model.max_body_bytes))
    return WholePattern(pattern.head, layout, around.behind, beginning, _places(beginning))
