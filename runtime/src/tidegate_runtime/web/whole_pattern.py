"""Requests that repeat their connection's last ones, head and body, but for the numbers and the length they give it."""

from typing import Final, NamedTuple

from tidegate_runtime.protocol.plain import TOGETHER_BYTES, Around, Layout, Plain
from tidegate_runtime.web.head import Head, Pattern

MAX_LENGTHS: Final = 64
"""Of requests whose places a connection knows; with more, all are worked out anew."""


class _Place(NamedTuple):
    """Of a request of some length: what its head says of the body's, where that begins, and where its numbers are."""

    digits: bytes
    body: int
    begin: int
    end: int


class WholePattern(NamedTuple):
    """The bytes around a request's numbers, and what it says.

    It takes nothing but what `Pattern.body_at` and `Plain.find` do, and makes the same of it. The length of a request
    tells that of its body, and so all bytes before the numbers: `before`, the digits of the length, `between`. Behind
    the numbers is `behind`. `places`, by length, are this pattern's own, and hold nothing that was sent but digits.
    """

    head: Head
    layout: Layout
    before: bytes
    between: bytes
    behind: bytes
    head_behind: int
    """How much of `between` is the head's."""
    around: Around
    most: int
    places: dict[int, _Place]

    def found(self, data: bytes) -> tuple[int, bytes] | None:
        """Where the body of `data` begins, and its numbers, if it is one whole such request."""
        before = self.before
        if not (data.startswith(before) and data.endswith(self.behind)):
            return None
        place = self.places.get(len(data)) or self._place(len(data))
        if place is None:
            return None
        digits, body, begin, end = place
        at = len(before)
        if data.startswith(digits, at) and data.startswith(self.between, at + len(digits)):
            return body, data[begin:end]
        return None

    def _place(self, length: int) -> _Place | None:
        around = self.around
        rest = length - len(self.before) - self.head_behind
        # A longer body never has fewer digits, so one count fits at most.
        size = next((rest - count for count in range(1, 13) if len(b"%d" % max(0, rest - count)) == count), 0)
        body = length - size
        begin, end = body + len(around.before) - around.opening, length - len(around.behind)
        if not 0 < size <= self.most or begin > end or (around.size and around.size != end - begin):
            return None
        if len(self.places) >= MAX_LENGTHS:
            self.places.clear()
        place = self.places[length] = _Place(b"%d" % size, body, begin, end)
        return place


def whole_pattern(pattern: Pattern[Head], form: Plain, layout: Layout) -> WholePattern | None:
    """The pattern of requests with such a head and of this layout; None if their numbers lie in several places."""
    around = form.around(layout)
    if around is None:
        return None
    most = min(TOGETHER_BYTES, pattern.head.model.max_body_bytes)
    before, behind = pattern.before, pattern.behind
    return WholePattern(
        pattern.head, layout, before, behind + around.before, around.behind, len(behind), around, most, {}
    )
