"""What a model's runs cost, measured while it warms up. Blocks; the clock is a parameter."""

from collections.abc import Callable
from typing import Final

from tidegate_runtime.batching.costs import UNCOUNTED, CostTable
from tidegate_runtime.batching.rows import compatibility, whole_shape
from tidegate_runtime.model.batchability import Probe, Run, probe_feeds
from tidegate_runtime.model.signature import Signature

RUNS: Final = 5
"""Measured runs of each row count, after one that isn't."""

SIZE_SECONDS: Final = 0.25
"""When measuring one row count ends even if it ran fewer times."""


def measure(run: Run, signature: Signature, probe: Probe, max_rows: int, clock: Callable[[], float]) -> CostTable:
    """A table with the costs of 1, 2, 4, … rows and of `max_rows`, for the shape that `probe` makes.

    Raises whatever `run` raises.
    """
    table = CostTable(max_rows)
    feeds = probe_feeds(signature, probe, 1)
    key = compatibility(feeds) if max_rows > 1 else whole_shape(feeds)
    shape = table.shape(key, int(sum(array.size for array in feeds.values())))
    for _ in range(UNCOUNTED):
        shape.observe(1, 0.0)  # The runs that judged the model were its first.
    for rows in ladder(max_rows):
        feeds = probe_feeds(signature, probe, rows)
        run(feeds)
        began = clock()
        for _ in range(RUNS):
            started = clock()
            run(feeds)
            ended = clock()
            shape.observe(rows, ended - started)
            if ended - began >= SIZE_SECONDS:
                break
    return table


def ladder(max_rows: int) -> list[int]:
    """The row counts that are measured: powers of two, and `max_rows`."""
    return sorted({2**power for power in range(max_rows.bit_length()) if 2**power <= max_rows} | {max_rows})
