"""Where a batch runs: on the event loop, or on the launch thread. Pure."""

from typing import Final

from tidegate_runtime.batching.costs import ShapeCosts

HOPS: Final = 2.0
"""A run goes to the loop if its p99 is at most this many times the way to the launch thread and back."""

NEAR_SECONDS: Final = 0.0002
"""Or this: requests that go by the queue and the thread cost the loop some ten microseconds more each, so that those of
a batch hold it for longer than such a run does."""

NOTICED_SECONDS: Final = 0.01
"""So does one that takes no more than that in nine of ten cases, and no longer than this in 99 of 100: on a busy
machine a tiny run is suspended now and then for as long as the scheduler lets others run, which takes as long wherever
it happens, and takes the event loop with it."""

AT_ONCE_SECONDS: Final = 0.01
"""How long runs may follow each other on the loop before it turns, and connections are read and written again: about as
long as it takes to read a thousand tiny requests."""

BARRED_SECONDS: Final = 60.0
"""How long a shape stays off the loop after a run there had to be ended."""

TRIED_SECONDS: Final = 0.1
"""How long a run that takes longer than the rule allows isn't tried on the loop again, after one that did so there.

Where the launch thread shares a core with the loop, or the machine is busy, what runs takes as long as it is kept
waiting, however little it is: judged by that alone, what left the loop once, in a bad moment, would never come back.
"""

TRIED_TIMES: Final = 4.0
"""It isn't tried where it takes so many times as long as the rule allows on average: that is more than waiting for a
core."""

LATE: Final = 0.1
LATE_WEIGHT: Final = 1 / 16
"""It stays on the loop while at most this share of its latest runs there took longer than the rule allows."""

DOUBT: Final = 0.3
"""That share to begin with: seventeen good runs in a row, and it stays."""

MAX_TRIALS: Final = 256
"""With more, all are begun anew; shapes that are forgotten go with them."""


class _Trial:
    """How runs of about so many rows did on the loop, where those on the launch thread speak against them."""

    __slots__ = ("late", "next_at")

    def __init__(self) -> None:
        self.late = DOUBT
        self.next_at = 0.0


class Place:
    """The rule, and which shapes are kept off the loop. Before `measured` all are."""

    def __init__(self) -> None:
        self._near = 0.0
        """What the rule allows a run to take, in seconds; 0 while the way to the thread isn't known."""
        self._barred: dict[ShapeCosts, float] = {}
        self._trials: dict[tuple[ShapeCosts, int], _Trial] = {}

    @property
    def trying(self) -> bool:
        """Whether `ran` is to be told of runs: there are shapes on trial."""
        return bool(self._trials)

    def measured(self, hop_seconds: float) -> None:
        """The way to the launch thread and back takes so long; 0: nothing may run on the loop."""
        self._near = max(HOPS * hop_seconds, NEAR_SECONDS) if hop_seconds else 0.0

    def on_loop(self, shape: ShapeCosts, rows: int, now: float) -> bool:
        """Whether a batch of `rows` of this shape is to run on the loop. What was never measured isn't."""
        near, cost = self._near, shape.at(rows)
        if cost is None or not near or not shape.measured:
            return False
        if self._barred:
            self._barred = {shape: until for shape, until in self._barred.items() if now < until}
            if shape in self._barred:
                return False
        if cost.p99 <= near or (shape.p90(rows) <= near and cost.p99 <= NOTICED_SECONDS):
            return True
        return cost.mean <= TRIED_TIMES * near and self._tried(shape, rows, now)

    def ran(self, shape: ShapeCosts, rows: int, seconds: float, now: float) -> None:
        """A batch ran on the loop for so long, without what others had its core for."""
        trial = self._trials.get((shape, rows.bit_length())) if self._trials else None
        if trial is not None:
            late = seconds > self._near
            trial.late += LATE_WEIGHT * (late - trial.late)
            if late:
                trial.next_at = now + TRIED_SECONDS

    def _tried(self, shape: ShapeCosts, rows: int, now: float) -> bool:
        key = (shape, rows.bit_length())
        trial = self._trials.get(key)
        if trial is None:
            if len(self._trials) >= MAX_TRIALS:
                self._trials.clear()
            trial = self._trials[key] = _Trial()
        return trial.late <= LATE or now >= trial.next_at

    def bar(self, shape: ShapeCosts, now: float) -> None:
        """Keeps a shape off the loop for a while: its time depends on its data."""
        self._barred[shape] = now + BARRED_SECONDS
