"""What passes between two runs of a model that has more waiting. Pure."""

from collections import deque
from typing import Final

from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.costs import ShapeCosts
from tidegate_runtime.batching.durations import SETTLED

RECENT: Final = 15
UNUSUAL: Final = 8.0
"""What is so many times the median counts as that: a process that was suspended for a second says nothing of the next
run, and may be the last to tell of a count if all are refused for it."""


class Turns:
    """Tells the costs of shapes what their runs take beside the engine's own time.

    Between two runs the event loop goes the way back and there, reads requests, and writes what is left of the answers,
    mostly those of the run before the last. Under load that takes longer than the way. What does goes with rows, those
    of both runs: else a small batch after a large one would be charged for the large one's answers.
    """

    def __init__(self, table: CostTable) -> None:
        self._table = table
        self._usual = deque[float](maxlen=RECENT)
        """What passed for a row, lately."""
        self._before: tuple[ShapeCosts, int] | None = None
        """The run before the last: its shape and rows."""
        self._share: float | None = None
        """What passed after it for its own sake, if there was one before that."""
        self._ended: tuple[ShapeCosts, int] | None = None
        self._busy_until = 0.0

    def ended(self, shape: ShapeCosts, rows: int, busy_until: float) -> None:
        """A batch has run, more waits, and the next is cut as soon as the loop comes to it.

        `busy_until` is when it would have been over without any way back.
        """
        self._ended, self._busy_until = (shape, rows), busy_until

    def forget(self) -> None:
        """Nothing waits any more: what passes until the next run says nothing."""
        self._before = self._ended = None

    def cut(self, now: float) -> None:
        """The next batch is cut."""
        before, self._before, self._ended = self._before, self._ended, None
        if self._before is None or before is None:
            self._share = None
            return
        (shape, rows), (_, own) = before, self._before
        a_row = max(0.0, now - self._busy_until - self._table.way_seconds) / (rows + own)
        self._usual.append(a_row)
        if len(self._usual) < SETTLED:
            return
        usual = sorted(self._usual)[len(self._usual) // 2]
        a_row = min(a_row, UNUSUAL * max(usual, self._table.way_seconds))
        if self._share is not None:
            shape.followed(rows, self._share + a_row * rows)
        self._share = a_row * own
