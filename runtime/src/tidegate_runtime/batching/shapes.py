"""A model's queues by shape, of which there is a bounded number. Pure."""

from collections.abc import Hashable
from typing import Final

from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.costs import ShapeCosts
from tidegate_runtime.batching.padding import Padding
from tidegate_runtime.batching.rows import compatibility, whole_shape
from tidegate_runtime.batching.tickets import Queue
from tidegate_runtime.tensors import Feeds

MAX_SHAPES: Final = 64
"""Shape keys with a queue and costs of their own; each new one takes the place of the one not used for longest."""


class Shapes:
    """`known` are the queues by key; `key` makes it from a request's tensors.

    Requests of further shapes share `alone`, in which each runs by itself.
    """

    def __init__(self, table: CostTable, max_rows: int, padding: Padding | None = None) -> None:
        self.key = compatibility if max_rows > 1 else whole_shape
        self._padding = padding
        self.known: dict[Hashable, Queue] = {key: self._queue(key, shape) for key, shape in table.shapes.items()}
        self.alone = Queue(table.stranger(1), alone=True)
        self._table = table

    def opened(self, key: Hashable, feeds: Feeds, rows: int) -> Queue:
        """The queue of a shape that isn't known: a new one, or `alone` if all those known have requests waiting."""
        if len(self.known) >= MAX_SHAPES:
            idle = [known for known, queue in self.known.items() if not queue]
            if not idle:
                return self.alone
            oldest = min(idle, key=lambda known: self.known[known].used)
            del self.known[oldest], self._table.shapes[oldest]
        queue = self.known[key] = self._queue(key, self._table.shape(key, elements(feeds, rows)))
        return queue

    def _queue(self, key: Hashable, shape: ShapeCosts) -> Queue:
        queue = Queue(shape)
        family = self._padding.family(key) if self._padding is not None else None
        if family is not None:
            queue.family, queue.length = family
        return queue


def elements(feeds: Feeds, rows: int) -> int:
    """The elements of a row over all inputs."""
    return int(sum(array.size for array in feeds.values())) // max(1, rows)
