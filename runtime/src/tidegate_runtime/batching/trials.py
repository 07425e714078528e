"""Which sizes below the best one a shape is to run, so that it is known what they cost. Pure.

    c(size) = s(size) / size     engine seconds a row, as in `sizes`, by the quickest of its recent runs

Small batches run by themselves only while little waits. A shape that warm-up didn't run and that meets a crowd at once
would run all that waits for ever, though a convolution may take twice as long a row there as in a batch that fits a
core's cache. So each power of two is run `TRIALS` times where twice as much waits, the largest first, and once before:
the first finds nothing of its own in the caches. One with c > HOPELESS · c(best) is the last: half of it would have to
take less than a third of its time.

A size that is not the best and didn't run for `REVIEW_RUNS` is measured anew if c, which is of its quickest run, is
clearly less than the best's: the others may have met a stall of the host, or a minute in which all was slow.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

from tidegate_runtime.batching.durations import Durations

TRIALS: Final = 3
HOPELESS: Final = 1.5
PAUSE: Final = 32
"""Runs before the first trial, for a shape that is seldom seen gains nothing by it; and after one that would have made
somebody late."""

REVIEW_RUNS: Final = 64
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


_TOLD: Final = (Told.NOTHING, Told.NOTHING, Told.ALL)
"""By the first runs of a trial: what is left to do of a larger batch's answers falls into theirs."""


class Trials:
    """What is still to be tried of one shape's sizes. `seen` is the number of the shape's runs so far."""

    __slots__ = ("_after", "_doubted", "_open", "_powers", "_ran", "_tried")

    def __init__(self, max_rows: int) -> None:
        self._powers = [1 << step for step in range(max_rows.bit_length()) if 2 << step <= max_rows]
        self._open = set(self._powers)
        """Sizes to try until their runs are enough."""
        self._doubted = set(self._powers)
        """Of these the ones whose runs so far don't count."""
        self._after = PAUSE
        self._tried = 0
        """The size tried last."""
        self._ran = 0
        """Its runs since then, the next two of which are of interest."""

    @property
    def open(self) -> bool:
        """Whether there is anything to try."""
        return bool(self._open)

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

    def close(self) -> None:
        """None of the sizes needs to be tried."""
        self._open.clear()

    def begun(self, size: int) -> None:
        """That size is to run."""
        if size != self._tried:
            self._tried, self._ran = size, 0

    def ended(self, rows: int) -> Told:
        """What a run of `rows` tells."""
        if rows != self._tried or self._ran == len(_TOLD):
            return Told.MORE
        told = _TOLD[self._ran]
        self._ran += 1
        if told is Told.ALL:
            self._doubted.discard(rows)
        return told

    def put_off(self, seen: int) -> None:
        """Somebody would have been late by a trial: none for a while."""
        self._after = seen + PAUSE

    def review(self, seen: int, runs: Mapping[int, Durations], best: Best) -> None:
        """Has sizes tried again that may be better than they seem."""
        self._tried = 0
        for size in sorted({*runs, *self._powers}, reverse=True):
            known = runs.get(size)
            if size >= best.rows:
                continue
            if known is None:
                self._open.add(size)
                continue
            share = _share(size, known, best)
            if share > HOPELESS * best.row_seconds:
                break
            if share <= CLEARLY * best.row_seconds and known.touched <= seen - REVIEW_RUNS:
                self._open.add(size)
                self._doubted.add(size)


def _share(size: int, known: Durations, best: Best) -> float:
    return (known.least + best.way) / size
