"""What passes between two runs of a model that has more waiting. Pure."""

from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.tickets import Batch


class Turns:
    """Tells the costs of shapes what their runs take beside the engine's own time.

    Between two runs the event loop goes the way back and there, reads requests, and writes what is left of the answers,
    mostly those of the run before the last. Under load that takes longer than the way. What does goes with rows, those
    of both runs: else a small batch after a large one would be charged for the large one's answers.
    """

    def __init__(self, table: CostTable) -> None:
        self._table = table
        self._before: Batch | None = None
        self._share: float | None = None
        """What passed after the run before the last for its own sake, if there was one before that."""
        self._ended: Batch | None = None
        self._busy_until = 0.0

    def ended(self, batch: Batch, busy_until: float) -> None:
        """The batch has run, more waits, and the next is cut as soon as the loop comes to it.

        `busy_until` is when it would have been over without any way back.
        """
        self._ended, self._busy_until = batch, busy_until

    def forget(self) -> None:
        """Nothing waits any more: what passes until the next run says nothing."""
        self._before = self._ended = None

    def cut(self, now: float) -> None:
        """The next batch is cut."""
        before, self._before, self._ended = self._before, self._ended, None
        ended = self._before
        if ended is None:
            return
        seconds = max(0.0, now - self._busy_until - self._table.way_seconds)
        if before is None:
            self._share = None
            return
        a_row = seconds / (before.rows + ended.rows)
        if self._share is not None:
            before.shape.followed(before.rows, self._share + a_row * before.rows)
        self._share = a_row * ended.rows
