"""From counts that only grow, one for each source, to what happened in a step. Pure.

A source counts from when it started, a step from when it began, so what a source has counted when it is first read is
its baseline, and only what comes on top counts; but all of it counts if the source was born in the step and since the
last reading. Whatever is not known for sure to belong to the step is left out: evidence may be less, never another's.

- **A source is missing for a while**, since a pod or router can't be asked: its baseline stays, and what it counted
  meanwhile counts once it is back. One that never comes back takes what it counted since its last reading with it.
- **A source starts anew**: by agreement it has another name then. One that keeps its name betrays itself by a count
  that shrinks, and is taken as born in the step: after its start it has counted nothing of another one.
- **The controller is restarted**: baselines are lost, and every source's first reading is its baseline again. What was
  judged stands in the status, with the wealth of the bets; what came between its last window and that reading is lost,
  and so is what was known of stable's times, which is learned anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from tidegate_operator.evidence.buckets import added
from tidegate_operator.evidence.readings import NO_COPIES, Calls, Copies, Readings, Source, Times, minus, plus


@dataclass(frozen=True)
class Window:
    """What one revision's callers saw since it was judged last in this step."""

    requests: int = 0
    failures: int = 0
    counts: tuple[int, ...] = ()
    """Requests by how long they took, as in `Times`."""
    restarts: int = 0
    """Containers that ended and were started again."""
    earlier: tuple[int, ...] = ()
    """`counts` of all windows of this step before, as far as they are remembered."""
    copies: Copies = NO_COPIES
    """What became of copies that others' pods sent to it."""
    mute: int = 0
    """By the last reading, those that could be asked, where none of them can send any."""
    untimed: bool = False
    """Whether nobody will ever tell how long its requests took."""


@dataclass(frozen=True)
class Tally:
    """What was read of one revision so far in the step that began at `since`."""

    since: datetime
    window: Window = field(default_factory=Window)
    calls: Mapping[Source, Calls] = field(default_factory=dict)
    times: Mapping[Source, Times] = field(default_factory=dict)
    copies: Mapping[Source, Copies] = field(default_factory=dict)
    """What each source said last."""
    restarts: int | None = None
    """The same of restarts; None before the first reading."""
    present: frozenset[Source] = frozenset()
    """The sources of the last reading."""

    def read(self, readings: Readings) -> "Tally":
        """With what the sources say now."""
        requests, failures = self.window.requests, self.window.failures
        for source, calls in readings.calls.items():
            base = self._calls_before(source, calls, readings)
            requests += calls.requests - base.requests
            failures += calls.failures - base.failures
        counts = self.window.counts
        for source, times in readings.times.items():
            counts = added(counts, _increase(self._times_before(source, times, readings), times.counts))
        copies = self.window.copies
        for source, copied in readings.copies.items():
            copies = plus(copies, minus(copied, self._copies_before(source, copied, readings)))
        ended = 0 if self.restarts is None else max(0, readings.restarts - self.restarts)
        window = replace(
            self.window,
            requests=requests,
            failures=failures,
            counts=counts,
            restarts=self.window.restarts + ended,
            copies=copies,
            mute=readings.mute,
            untimed=readings.untimed,
        )
        return replace(
            self,
            window=window,
            calls={**self.calls, **readings.calls},
            times={**self.times, **readings.times},
            copies={**self.copies, **readings.copies},
            restarts=readings.restarts,
            present=frozenset(readings.calls.keys() | readings.times.keys() | readings.copies.keys()),
        )

    def judged(self) -> "Tally":
        """With the window closed, whose verdict was recorded; what comes from now on is the next one."""
        return replace(self, window=Window(earlier=added(self.window.earlier, self.window.counts)))

    def begun(self, since: datetime) -> "Tally":
        """For a step that begins now: nothing is counted yet. Sources that weren't there lately are forgotten."""
        return replace(
            self,
            since=since,
            window=Window(),
            calls={source: calls for source, calls in self.calls.items() if source in self.present},
            times={source: times for source, times in self.times.items() if source in self.present},
            copies={source: copies for source, copies in self.copies.items() if source in self.present},
        )

    def _calls_before(self, source: Source, now: Calls, readings: Readings) -> Calls:
        before = self.calls.get(source)
        if before is None:
            return Calls() if self._born(source, readings) else now
        return Calls() if now.requests < before.requests or now.failures < before.failures else before

    def _times_before(self, source: Source, now: Times, readings: Readings) -> tuple[int, ...]:
        before = self.times.get(source)
        if before is None:
            return () if self._born(source, readings) else now.counts
        shrunk = len(now.counts) < len(before.counts) or any(
            later < earlier for later, earlier in zip(now.counts, before.counts, strict=False)
        )
        return () if shrunk else before.counts

    def _copies_before(self, source: Source, now: Copies, readings: Readings) -> Copies:
        before = self.copies.get(source)
        if before is None:
            return NO_COPIES if self._born(source, readings) else now
        return NO_COPIES if any(later < earlier for later, earlier in zip(now, before, strict=True)) else before

    def _born(self, source: Source, readings: Readings) -> bool:
        if self.restarts is None:  # Whoever tallied before has counted it, perhaps.
            return False
        started = readings.started.get(source)
        return started is not None and started >= self.since


def _increase(before: tuple[int, ...], now: tuple[int, ...]) -> tuple[int, ...]:
    return added(now, tuple(-count for count in before))
