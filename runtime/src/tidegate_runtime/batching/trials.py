"""Which sizes below the best one a shape is to run, so that it is known what they cost. Pure.

    c(size) = s(size) / size     engine seconds a row, as in `sizes`, by the quickest of its recent runs

Small batches run by themselves only while little waits. A shape that warm-up didn't run and that meets a crowd at once
would run all that waits for ever, though a convolution may take twice as long a row there as in a batch that fits a
core's cache. So each power of two is run `TRIALS` times where twice as much waits, the largest first, after `COLD` runs
that don't count. One with c > HOPELESS · c(best) is the last: half of it would have to take less than a third of its
time.

A size that is not the best and didn't run for `REVIEW_RUNS` is measured anew if c, which is of its quickest run, is
clearly less than the best's: the others may have met a stall of the host, or a minute in which all was slow. Where it
doesn't become the best, the next time is after twice as many runs, up to `MOST_RUNS`.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

from tidegate_runtime.batching.durations import Durations

TRIALS: Final = 3
COLD: Final = 2
"""The first runs of a trial: caches have nothing of theirs, and a larger batch's answers are still being written."""
HOPELESS: Final = 1.5
PAUSE: Final = 32
"""Runs before the first trial, for a shape that is seldom seen gains nothing by it; and after one that would have made
somebody late."""

REVIEW_RUNS: Final = 64
MOST_RUNS: Final = 4096
CLEARLY: Final = 0.9
"""Of runs that scatter by a few hundredths the quickest is quicker than another size's mean, but not by so much."""


class Best(NamedTuple):
    """The best size, its c by the mean, and the seconds of the way to the engine and back in it."""

    rows: int
    row_seconds: float
    way: float


class Told(Enum):
    """What a run tells of its size."""

    NOTHING = auto()
    ALL = auto()
    """Whatever was known before is to be forgotten."""
    MORE = auto()


class Trials:
    """What is still to be tried of one shape's sizes. `seen` is the number of the shape's runs so far."""

    __slots__ = ("_after", "_doubted", "_gaps", "_open", "_powers", "_ran")

    def __init__(self, max_rows: int) -> None:
        self._powers = [1 << step for step in range(max_rows.bit_length()) if 2 << step <= max_rows]
        self._open = set(self._powers)
        """Sizes to try until their runs are enough."""
        self._doubted = set(self._powers)
        """Of these the ones whose runs so far don't count."""
        self._ran: dict[int, int] = {}
        """Sizes whose trials have begun, and their runs since then that told nothing."""
        self._gaps: dict[int, int] = {}
        """For how many runs a size that was tried again, and isn't the best, isn't once more."""
        self._after = PAUSE

    @property
    def open(self) -> bool:
        """Whether there is anything to try."""
        return bool(self._open)

    def close(self) -> None:
        """None of the sizes needs to be tried: all that were wanted have run by themselves."""
        self._open.clear()
        self._powers = []

    def size(self, rows: int, seen: int, runs: Mapping[int, Durations], best: Best) -> int:
        """The next size to try where `rows` wait; 0 for none."""
        if seen < self._after:
            return 0
        for size in sorted(self._open, reverse=True):
            if size >= best.rows:
                continue
            known = runs.get(size)
            if known is not None and known.number >= TRIALS:
                if _share(size, known, best) > HOPELESS * best.row_seconds:
                    self._open.clear()
                    return 0
                if size not in self._doubted:
                    self._open.remove(size)
                    continue
            if 2 * size <= rows:
                return size
        return 0

    def begun(self, size: int) -> None:
        """That size is to run."""
        if size in self._doubted:
            self._ran.setdefault(size, 0)

    def ended(self, rows: int) -> Told:
        """What a run of `rows` tells."""
        ran = self._ran.get(rows)
        if ran is None:
            return Told.MORE
        if ran < COLD:
            self._ran[rows] = ran + 1
            return Told.NOTHING
        del self._ran[rows]
        self._doubted.discard(rows)
        return Told.ALL

    def put_off(self, seen: int) -> None:
        """Somebody would have been late by a trial: none for a while."""
        self._after = seen + PAUSE

    def review(self, seen: int, runs: Mapping[int, Durations], best: Best) -> None:
        """Has sizes tried again that may be better than they seem; to be called now and then."""
        self._gaps.pop(best.rows, None)
        for size in sorted({*runs, *self._powers}, reverse=True):
            known = runs.get(size)
            if size >= best.rows:
                continue
            if known is not None:
                share, gap = _share(size, known, best), self._gaps.get(size, REVIEW_RUNS)
                if share > HOPELESS * best.row_seconds:
                    return
                if share > CLEARLY * best.row_seconds or known.touched > seen - gap:
                    continue
                self._gaps[size] = min(MOST_RUNS, 2 * gap)
            self._open.add(size)
            self._doubted.add(size)


def _share(size: int, known: Durations, best: Best) -> float:
    return (known.least + best.way) / size
