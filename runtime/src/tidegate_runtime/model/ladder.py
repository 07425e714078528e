"""What a run of each batch size costs, measured before the first request: the scheduler's table starts filled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Final

MEASURE_SECONDS: Final = 10.0
"""The time that all measuring together may take; sizes that don't fit in are left out."""

DROPPED_RUNS: Final = 2
"""The first runs of a shape: memory is planned and kernels are chosen in them."""
KEPT_RUNS: Final = 3
"""At least so many are kept of each size that is measured."""
MOST_RUNS: Final = 20
RUNG_SECONDS: Final = 0.1
"""A size has had enough once it has been run for so long."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of single runs by batch size, and the inputs' shapes at one row, in the order they were run."""

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    seconds: Mapping[int, tuple[float, ...]] = field(default_factory=dict)


def batch_ladder(max_rows: int) -> tuple[int, ...]:
    """1, 2, 4, … below `max_rows`, then `max_rows`."""
    return (*(1 << step for step in range((max_rows - 1).bit_length())), max_rows)


def measure(
    run: Callable[[int], None], ladder: tuple[int, ...], clock: Callable[[], float], budget_seconds: float
) -> dict[int, tuple[float, ...]]:
    """Seconds of at least three runs of each size, from the smallest on, for as long as the next one fits the budget.

    `run` takes the rows. The next size is expected to cost in proportion to its rows, which is the worst of linear
    models. Raises whatever `run` raises.
    """
    end = clock() + budget_seconds
    seconds: dict[int, tuple[float, ...]] = {}
    expected = 0.0
    for rows, following in zip(ladder, (*ladder[1:], ladder[-1]), strict=True):
        if clock() + expected * (DROPPED_RUNS + KEPT_RUNS) >= end:
            break
        seconds[rows] = _rung(run, rows, clock)
        expected = median(seconds[rows]) * following / rows
    return seconds


def _rung(run: Callable[[int], None], rows: int, clock: Callable[[], float]) -> tuple[float, ...]:
    kept: list[float] = []
    begun = clock()
    for count in range(DROPPED_RUNS + MOST_RUNS):
        before = clock()
        run(rows)
        after = clock()
        if count >= DROPPED_RUNS:
            kept.append(after - before)
        if len(kept) >= KEPT_RUNS and after - begun >= RUNG_SECONDS:
            break
    return tuple(kept)
