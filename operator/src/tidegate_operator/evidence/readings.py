"""What sources tell of a revision: counts that only grow, until their source starts anew."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

Source = str
"""Who counted, so that a new start is another source: a router's or a pod's address and when it started."""


@dataclass(frozen=True)
class Calls:
    """Requests that one router sent to a revision, or one of its pods answered, since that started."""

    requests: int = 0
    """Answered, or failed; not those refused for load (429)."""
    failures: int = 0
    """Answered 4xx or 5xx, timed out, reset, or never connected."""


@dataclass(frozen=True)
class Times:
    """How long requests took in one pod since it started: one of each batch, of those that routing chose by weight."""

    counts: tuple[int, ...] = ()
    """Requests by bucket of `BOUNDS_SECONDS`, each its own (not cumulative), the last above all bounds."""


class Copies(NamedTuple):
    """What one pod's copies of requests, which the canary was to answer, too, came to since it started."""

    alike: int = 0
    """Answered as the caller was, within the runtime's tolerance."""
    diverged: int = 0
    """Answered with other numbers, of which the largest of each row is where it was."""
    moved: int = 0
    """Answered otherwise in that, too."""
    failed: int = 0
    """Not answered, or with an error; the caller was answered well."""
    dropped: int = 0
    """Not sent, or refused for load: they tell nothing."""


NO_COPIES: Final = Copies()


def plus(one: Copies, other: Copies) -> Copies:
    """Both together."""
    return Copies(*[here + there for here, there in zip(one, other, strict=True)])


def minus(one: Copies, other: Copies) -> Copies:
    """What `one` has beyond the other."""
    return Copies(*[here - there for here, there in zip(one, other, strict=True)])


@dataclass(frozen=True)
class Readings:
    """All that was read at one moment of one revision. A source that can't be asked isn't in it."""

    calls: Mapping[Source, Calls] = field(default_factory=dict)
    times: Mapping[Source, Times] = field(default_factory=dict)
    restarts: int = 0
    """Containers of its pods that ended and were started again."""
    started: Mapping[Source, datetime] = field(default_factory=dict)
    """When a source began to count, where that is known."""
    copies: Mapping[Source, Copies] = field(default_factory=dict)
    """What pods of other revisions copied to it."""
    mute: int = 0
    """Pods of other revisions that were asked, where none of them can copy requests."""
    untimed: bool = False
    """Whether it is known of all its pods that they tell nothing of their requests."""
