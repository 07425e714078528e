"""Who counted: a router since one start, and counters that only grow while it runs. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tidegate_operator.evidence.readings import Source

_DOUBT_SECONDS = 10.0
"""How far two estimates of one start may be apart: an uptime is up to 5 s old, and an answer may be late."""


@dataclass(frozen=True)
class Start:
    """When a router started, as it was reckoned when it was first seen."""

    at: datetime
    moment: float
    """The same on a clock that nobody sets."""
    uptime: int
    """The uptime that it told last."""

    def source(self, address: str) -> Source:
        """The name of the router at `address` since this start."""
        return f"{address} since {self.at:%Y-%m-%dT%H:%M:%SZ}"


def start_of(known: Start | None, uptime: int, moment: float, now: datetime) -> Start:
    """The start of a router that has run for `uptime` seconds at `moment` of a clock that nobody sets, which is `now`.

    That is `known`, unless the router was started again since.
    """
    began = moment - uptime
    if known and uptime >= known.uptime and abs(began - known.moment) <= _DOUBT_SECONDS:
        return replace(known, uptime=uptime)
    return Start(now - timedelta(seconds=uptime), began, uptime)


class Growing:
    """Counters of a process since it started.

    A cluster that is removed and made anew, as for a revision that is rolled back to, counts from zero again, and one
    that is gone counts no more: what they had counted stays.
    """

    def __init__(self) -> None:
        self._latest: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def add(self, counts: Mapping[str, int]) -> dict[str, int]:
        """All counters by name, with those that are told now."""
        for name, count in counts.items():
            latest = self._latest.get(name, 0)
            if count < latest:
                self._before[name] = self._before.get(name, 0) + latest
            self._latest[name] = count
        return {name: count + self._before.get(name, 0) for name, count in self._latest.items()}
