"""What passes between two runs of a model that has more waiting. Pure."""

from tidegate_runtime.batching.costs import CostTable
from tidegate_runtime.batching.durations import Durations


class Turns:
    """Keeps a table's `overhead_seconds` current: the way to the engine and back, and what the event loop does between.

    It reads requests there, and writes what is left of the answers before the last, which under load takes longer than
    the way, and one after another each of the batches ahead waits for it.
    """

    def __init__(self, table: CostTable) -> None:
        self._table = table
        self._durations = Durations()
        self._busy_until: float | None = None

    def ended(self, busy_until: float) -> None:
        """A run ended, more waits, and the next is cut as soon as the loop comes to it.

        `busy_until` is when it would have been over without any way back.
        """
        self._busy_until = busy_until

    def forget(self) -> None:
        """Nothing waits any more: what passes until the next run says nothing."""
        self._busy_until = None

    def cut(self, now: float) -> None:
        """The next batch is cut."""
        if self._busy_until is None:
            return
        if not self._durations.number:
            self._durations.add(self._table.overhead_seconds)
        self._durations.add(max(0.0, now - self._busy_until))
        self._table.overhead_seconds = self._durations.mean
        self._busy_until = None
