"""Where a batch runs: on the event loop, or on the launch thread. Pure."""

from typing import Final

from tidegate_runtime.batching.costs import ShapeCosts

HOPS: Final = 2.0
"""A run goes to the loop if its p99 is at most this many times the way to the launch thread and back."""

NOTICED_SECONDS: Final = 0.01
"""So does one that takes a single hop in nine of ten cases, and no longer than this in 99 of 100: on a busy machine a
tiny run is suspended now and then for as long as the scheduler lets others run, which takes as long wherever it
happens, and takes the event loop with it."""

BARRED_SECONDS: Final = 60.0
"""How long a shape stays off the loop after a run there had to be ended."""


class Place:
    """The rule, and which shapes are kept off the loop. `hop_seconds` = 0: all are."""

    def __init__(self) -> None:
        self.hop_seconds = 0.0
        self._barred: dict[ShapeCosts, float] = {}

    def on_loop(self, shape: ShapeCosts, rows: int, now: float) -> bool:
        """Whether a batch of `rows` of this shape is to run on the loop. What was never measured isn't."""
        hop, cost = self.hop_seconds, shape.at(rows)
        if cost is None or not hop or not shape.measured:
            return False
        if cost.p99 > HOPS * hop and (shape.p90(rows) > hop or cost.p99 > NOTICED_SECONDS):
            return False
        if self._barred:
            self._barred = {shape: until for shape, until in self._barred.items() if now < until}
        return shape not in self._barred

    def bar(self, shape: ShapeCosts, now: float) -> None:
        """Keeps a shape off the loop for a while: its time depends on its data."""
        self._barred[shape] = now + BARRED_SECONDS
