"""What a run costs: seconds by shape and rows, measured at warm-up and kept current by what runs. Pure.

    l(shape, rows) → mean, p99

For each row count that was run, the table keeps the last `WINDOW` durations:

    p99  = the smallest of them that 99 % of them don't exceed
    mean += w · (min(seconds, CLIP · p99) - mean),   w = max(1/n, WEIGHT)

so recent runs weigh more, and a single pause of the host moves neither for long. Under load batches are of every size,
so a count may have too few runs to tell one in a hundred: below `ENOUGH` its p99 is

    mean · (1 + EXCESS_P99 · m),   m: the mean of max(0, seconds / predicted mean - 1) over all runs of the shape

The counts' figures are then made monotone in rows by isotonic regression, each weighted by its runs (pool adjacent
violators; Barlow et al., 1972): a count that was measured three times in a bad moment yields to neighbours measured a
hundred times.

Between and beyond measured counts figures are interpolated (`durations`). A shape that was never run borrows from the
measured one nearest in elements a row, scaled up but never down.

Clockwork (OSDI'20) predicts from recent durations by (model, batch) in the same way. A shape's first two runs don't
count: kernels are chosen and arenas grow in them.
"""

from math import inf
from typing import Final, Protocol

from tidegate_runtime.batching import durations
from tidegate_runtime.batching.durations import ENOUGH, STALE_RUNS, WINDOW, Cost, Durations, suspects
from tidegate_runtime.batching.memory_bound import MemoryBound
from tidegate_runtime.batching.overheads import Overheads
from tidegate_runtime.batching.sizes import best_size, full_size
from tidegate_runtime.batching.trials import REVIEW_RUNS, Best, Told, Trials
from tidegate_runtime.batching.work import Work, in_batches

UNCOUNTED: Final = 2
EXCESS_WEIGHT: Final = 1 / 64
MAX_COUNTS: Final = 64
"""Row counts kept for a shape; the one not run for longest makes room, powers of two last."""

TRIAL_SECONDS: Final = 1.0
"""The age from which on a figure alone doesn't refuse a request: one is let in, which brings the figure up to date."""

EAGER: Final = 256
EVERY: Final = 32
"""After its first `EAGER` runs a shape's figures are worked out anew on every 32nd at most, or on a count's first."""

ANEW_SECONDS: Final = 0.005
"""And after runs that took so long in all: it takes a tenth of a millisecond, as much as ten tiny runs."""


class Terms(Protocol):
    """What the shapes of a model have in common."""

    max_rows: int
    """The most in a batch."""
    way_seconds: float
    """What each run takes at least beside the engine's own time: to its thread and back."""

    def nearest(self, elements: int) -> "ShapeCosts | None":
        """The measured shape whose rows are nearest in size."""


class ShapeCosts:
    """The costs of one shape. `elements` are those of one row over all inputs.

    What `at`, `best` and `work` say is kept until the next runs change it: on the hot path each is one look-up.
    """

    __slots__ = (
        "_bests",
        "_bound",
        "_costs",
        "_counts",
        "_excess",
        "_here",
        "_lender",
        "_overheads",
        "_ran",
        "_runs",
        "_seen",
        "_size",
        "_sized",
        "_terms",
        "_trials",
        "_works",
        "elements",
        "looked_at",
        "row_seconds",
        "single_seconds",
        "trial_at",
        "trial_gap",
    )

    def __init__(self, terms: Terms, elements: int) -> None:
        self.elements = elements
        self.row_seconds = 0.0
        """Engine seconds a row takes in a batch of the best size; 0 while nothing is known."""
        self._bound = MemoryBound(terms.max_rows)
        self.single_seconds = 0.0
        """What a run of one row takes; 0 while nothing is known."""
        self.looked_at = -inf
        """When the run that passed by and was last taken into account began."""
        self.trial_at = 0.0
        self.trial_gap = TRIAL_SECONDS
        """When, and after how long, a request is let in again though these figures say it will be late."""
        self._terms = terms
        self._lender: ShapeCosts | None = None
        self._seen = 0
        self._runs: dict[int, Durations] = {}
        self._ran = 0.0
        """Seconds of the runs since figures were last worked out anew."""
        self._excess = 0.0
        """By what share the latest runs took longer than predicted, on average; one that took less counts as 0."""
        self._size = 0
        """The best size, as last worked out; 0 before."""
        self._trials = Trials(terms.max_rows)
        self._overheads = Overheads()
        self._here: set[int] = set()
        """The counts whose latest run was on the event loop."""
        self._refresh()

    @property
    def measured(self) -> bool:
        """Whether runs of this very shape have counted."""
        return bool(self._runs)

    def settled(self, rows: int) -> bool:
        """Whether a run of so many more tells little: a window full of them is known, and no size is being tried."""
        runs = self._runs.get(rows)
        return runs is not None and runs.number >= WINDOW and not self._trials.open

    def observe(self, rows: int, seconds: float, *, on_loop: bool = False) -> None:
        """Takes a run into account."""
        self._seen = seen = self._seen + 1
        (self._here.add if on_loop else self._here.discard)(rows)
        told = self._trials.ended(rows)
        if seen <= UNCOUNTED or told is Told.NOTHING:
            return
        expected = self.at(rows) if self._runs else None
        if expected is not None:
            over = seconds / (expected.mean or 1e-9) - 1.0
            excess = 0.0 if over < 0.0 else 1.0 if over > 1.0 else over
            self._excess += max(1 / (seen - UNCOUNTED), EXCESS_WEIGHT) * (excess - self._excess)
        if told is Told.ALL:
            self._runs.pop(rows, None)
            self._overheads.forget(rows)
        runs = self._runs.get(rows)
        if runs is None:
            if len(self._runs) >= MAX_COUNTS:
                del self._runs[min(self._runs, key=self._kept_by)]
            runs = self._runs[rows] = Durations()
        runs.add(seconds)
        runs.touched = seen
        self._ran += seconds
        if seen % EVERY and seen >= EAGER and runs.number > 1:
            return
        self._review(seen)
        if (seen < EAGER or runs.number == 1 or self._ran >= ANEW_SECONDS) and runs.moved():
            self._moved()

    def _review(self, seen: int) -> None:
        """Doubts figures that are old, and has sizes tried again, now and then."""
        if seen % STALE_RUNS == 0:
            for doubtful in suspects(self._runs, seen - STALE_RUNS):
                del self._runs[doubtful]
                self._refresh()
        if seen % REVIEW_RUNS == 0:
            self._trials.review(seen, self._runs, self._best_row())

    def _moved(self) -> None:
        self._ran = 0.0
        self._refresh()
        best = self.best(self._terms.max_rows)
        cost, single = self.at(best), self.at(1)
        self.row_seconds = cost.mean / best if cost is not None else 0.0
        self.single_seconds = single.mean if single is not None else 0.0

    def _kept_by(self, count: int) -> tuple[bool, int]:
        # Powers of two last: of what lies between, figures can be made of theirs.
        return count & (count - 1) == 0, self._runs[count].touched

    def forget(self) -> None:
        """Drops all figures: a run let in against them took less than half of what they said."""
        self._runs.clear()
        self._refresh()

    @property
    def cap(self) -> int:
        """The most rows in a batch: a larger one was more than the device's memory holds."""
        return self._bound.rows

    def shrink(self, rows: int, now: float) -> None:
        """A batch of so many rows was too much for the device's memory: half of it is the most for a while."""
        self._bound.failed(rows, now)
        self._refresh()

    def review(self, now: float) -> None:
        """Lets batches be larger again, if there was no failure for long enough."""
        if self._bound.grown(now):
            self._refresh()

    def at(self, rows: int) -> Cost | None:
        """The cost of a run of `rows` ≥ 1; None if neither this shape nor another is known."""
        cost = self._costs.get(rows)
        if cost is None:
            if not self._runs:
                return self._borrowed(rows)
            cost = self._costs[rows] = durations.interpolated(self._monotone(), rows)
        return cost

    def overhead(self, rows: int) -> float:
        """What a run of `rows` takes beside the engine's own time."""
        return self._overheads.at(rows, self._terms.way_seconds)

    def followed(self, rows: int, seconds: float) -> None:
        """As `Overheads.told`."""
        self._overheads.told(rows, seconds)
        if self._seen < EAGER or self._seen % EVERY == 0:
            self._works.clear()

    def p90(self, rows: int) -> float:
        """What nine in ten recent runs of exactly `rows` took at most, or the mean of a few; infinite without any."""
        runs = self._runs.get(rows)
        return inf if runs is None else runs.p90 if runs.number >= ENOUGH else runs.mean

    def best(self, rows: int) -> int:
        """How many of `rows` waiting rows to run at once, as `sizes` says; all while nothing is known.

        So many as the best size has, however many more wait: what is let in is predicted by the same.
        """
        best = self._bests.get(rows)
        if best is None:
            best = self._bests[rows] = self._best(min(rows, self.cap))
        return best

    def warmed_up(self) -> None:
        """What was observed so far ran by itself, in all sizes: none has to be tried."""
        self._trials.close()

    def lesser(self, rows: int) -> int:
        """A size below the best one to run instead, where `rows` wait, for what it costs isn't known; 0 for none."""
        if not self._trials.open or not self._runs:
            return 0
        return self._trials.size(rows, self._seen, self._runs, self._best_row())

    def try_lesser(self, rows: int, *, late: bool) -> None:
        """So many are to run, as `lesser` said; or they aren't, for somebody would be late: it says 0 for a while."""
        if late:
            self._trials.put_off(self._seen)
        else:
            self._trials.begun(rows)

    def work(self, rows: int) -> Work | None:
        """What `rows` ≥ 1 waiting rows will cost in batches of the best size; None if nothing is known."""
        work = self._works.get(rows)
        if work is None:
            work = in_batches(rows, self._terms.max_rows, self.best, self.at, self.overhead)
            if self._runs and work is not None:
                self._works[rows] = work
        return work

    def counts(self) -> list[tuple[int, Cost]]:
        """Every measured row count with its cost, smallest first."""
        return [(rows, Cost(mean, p99)) for rows, mean, p99 in self._monotone()]

    def _refresh(self) -> None:
        self._costs: dict[int, Cost] = {}
        self._sized = False
        self._bests: dict[int, int] = {}
        self._works: dict[int, Work] = {}
        self._counts: list[durations.Figures] | None = None

    def _monotone(self) -> list[durations.Figures]:
        if self._counts is None:
            self._counts = durations.monotone(self._runs, self._excess)
        return self._counts

    def _borrowed(self, rows: int) -> Cost | None:
        if self._lender is None or not self._lender.measured:
            self._lender = self._terms.nearest(self.elements)
        cost = self._lender.at(rows) if self._lender is not None else None
        if self._lender is None or cost is None:
            return None
        scale = max(1.0, self.elements / max(1, self._lender.elements))
        return Cost(cost.mean * scale, cost.p99 * scale)

    def _best(self, rows: int) -> int:
        counts = [count for count, _, _ in self._monotone()]
        if not counts:
            return rows
        if not self._sized:
            self._size = best_size(self.cap, counts, self._seconds, self._size, self._excess)
            self._sized = True
        return self._size if rows >= self._size else full_size(rows, counts, self._seconds)

    def _seconds(self, rows: int) -> float:
        # Runs on the loop follow each other at once; what passes is reading and answers, as much a row in any batch.
        cost, way = self.at(rows), self._terms.way_seconds
        passes = way + rows * self._overheads.least if rows in self._here else self.overhead(rows)
        return (cost.mean if cost is not None else 0.0) + passes

    def _best_row(self) -> Best:
        best, way = self.best(self._terms.max_rows), self._terms.way_seconds
        cost = self.at(best)
        return Best(best, ((cost.mean if cost is not None else 0.0) + way) / best, way)
