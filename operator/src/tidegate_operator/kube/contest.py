"""Whether fields of a child that somebody else has set are set back, or left for a while. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=10)
PEACE = 2 * LONGEST_PAUSE
"""After so long without a quarrel the next one is the first again."""

_TOLD = 3
"""Fields that are named; the rest is counted."""


@dataclass(frozen=True)
class Contest:
    """A child's fields that were set back."""

    times: int
    """How often, in this quarrel."""
    last: datetime

    @property
    def until(self) -> datetime:
        """Before this moment they aren't set back again: at once the second time, then after pauses that double."""
        if self.times < 2:
            return self.last
        doubled: int = 2 ** min(self.times - 2, 10)
        return self.last + min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def set_back(before: Contest | None, now: datetime) -> Contest | None:
    """The contest once the fields are set back now; None if they are to be left for now."""
    if before is None or now - before.last >= PEACE:
        return Contest(1, now)
    return Contest(before.times + 1, now) if now >= before.until else None


def told(child: str, held: Sequence[tuple[str, str]]) -> str:
    """Which fields of `child` are meant, and who set them; `held` is each with its manager."""
    managers = " and ".join(dict.fromkeys(manager for _, manager in held))
    fields = [field for field, _ in held]
    more = f" and {len(fields) - _TOLD} more" if len(fields) > _TOLD else ""
    return f"{child}: {', '.join(fields[:_TOLD])}{more}, set by {managers}"
