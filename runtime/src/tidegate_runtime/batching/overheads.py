"""What runs of a shape take beside the engine's own time, by their rows. Pure.

    o(rows) = way + b(rows)       the way to the engine and back, and what the event loop does between two runs

b is a mean in which recent runs weigh more, interpolated between counts that something followed, and in proportion
beyond them: what the loop does is to read requests and to write answers.
"""

from bisect import bisect_left

from tidegate_runtime.batching.durations import WEIGHT


class Overheads:
    """The figures of one shape, in seconds. `way` is that of the moment."""

    __slots__ = ("_guesses", "_known", "_least", "_numbers")

    def __init__(self) -> None:
        self._known: dict[int, float] = {}
        self._numbers: dict[int, int] = {}
        self._least: float | None = None
        """As the guesses, kept until more is known."""
        self._guesses: dict[int, float] = {}
        """For other counts, kept until more is known: each arrival asks for that of the run in progress."""

    def at(self, rows: int, way: float) -> float:
        """O of `rows` ≥ 1; the way alone while nothing is known."""
        own = self._known.get(rows)
        if own is None:
            own = self._guesses.get(rows)
        if own is None:
            own = self._guesses[rows] = self._guessed(rows)
        return way + own

    @property
    def least(self) -> float:
        """B of a row, at the count where it is the least; 0 while nothing is known."""
        if self._least is None:
            self._least = min((known / count for count, known in self._known.items()), default=0.0)
        return self._least

    def told(self, rows: int, seconds: float) -> None:
        """After a run of `rows` the next one, for which something waited, began so much later than the way explains."""
        # To begin with, nothing beyond the way was expected, and one run in a bad moment must not say otherwise.
        self._numbers[rows] = number = self._numbers.get(rows, 1) + 1
        known = self._known.get(rows, 0.0)
        self._known[rows] = known + max(1 / number, WEIGHT) * (seconds - known)
        self._changed()

    def forget(self, rows: int) -> None:
        """What is known of that count no longer holds."""
        self._known.pop(rows, None)
        self._numbers.pop(rows, None)
        self._changed()

    def _changed(self) -> None:
        self._guesses.clear()
        self._least = None

    def _guessed(self, rows: int) -> float:
        counts = sorted(self._known)
        if not counts:
            return 0.0
        index = bisect_left(counts, rows)
        if 0 < index < len(counts):
            below, above = counts[index - 1], counts[index]
            low, high = self._known[below], self._known[above]
            return low + (high - low) * (rows - below) / (above - below)
        nearest = counts[min(index, len(counts) - 1)]
        return self._known[nearest] * rows / nearest
