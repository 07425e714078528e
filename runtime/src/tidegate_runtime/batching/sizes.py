"""How many rows run at once: as many as give the most rows a second, and no more than that takes. Pure.

    c(size) = s(size) / size     engine seconds a row, s being what a run takes with the way to the engine and back
    full    = the largest size with  c(size) ≤ (1 + NOISE) · least c
    best    = the smallest size ≤ full / 2 with  c(size) ≤ (1 + LOSS - CAUTION · m) · least c,  or else full

Where a batch takes about as long as its rows one by one, those in a small one are answered sooner, and who comes while
it runs waits for less; no answer comes later. What is left over isn't priced as a batch of its own: under load it is
joined by those who come.

m is the mean excess of runs over their predictions (`costs`), which tells how far figures scatter. A hundredth of
engine time is dear: at 95 % of capacity, where waits go with 1 / (1 - load), it makes them a quarter longer, so it
isn't given away on figures that are off by as much.
"""

from collections.abc import Callable, Sequence
from typing import Final

Seconds = Callable[[int], float]
"""Rows → seconds of a run and of the way there and back."""

NOISE: Final = 0.05
"""How much of the best throughput a larger batch may lose to noise and still be preferred."""

LOSS: Final = 0.01
"""How much more engine time a batch of at most half the rows may take, where runs always take the same."""

KEPT: Final = 0.01
"""How much more than that, if it was best before: who was let in by one size may be late by a larger one."""

CAUTION: Final = 0.25
"""Of normal deviations of 3 % m is 1.2 % and 0.7 % are left of `LOSS`; of 10 % it is 4 %, and nothing is left."""


def full_size(rows: int, counts: Sequence[int], seconds: Seconds) -> int:
    """The rows of the next batch of `rows` that wait, but for what `best_size` says: all, unless fewer are quicker.

    `counts` are the measured ones, smallest first, at least one. They and `rows` itself are the candidates.
    """
    return _full(_each(rows, counts, seconds))


def best_size(rows: int, counts: Sequence[int], seconds: Seconds, before: int, excess: float) -> int:
    """The rows of a batch where any number wait; at most `rows`. `before` is what this said last, or 0.

    Beyond the largest count figures are guesses in proportion, by which nothing would ever gain: twice of it, or
    `rows`, is best where the guess doesn't speak against it, to see. `excess` is m.
    """
    each = _each(min(rows, 2 * counts[-1]), counts, seconds)
    full = _full(each)
    if full > counts[-1]:
        return full
    least, loss = min(each.values()), LOSS - CAUTION * excess
    small = (
        size
        for size, cost in each.items()
        if 2 * size <= full and cost <= (1 + loss + (KEPT if size == before else 0.0)) * least
    )
    return min(small, default=full)


def _each(rows: int, counts: Sequence[int], seconds: Seconds) -> dict[int, float]:
    """C of the candidates."""
    return {size: seconds(size) / size for size in (*(count for count in counts if count < rows), rows)}


def _full(each: dict[int, float]) -> int:
    bound = (1 + NOISE) * min(each.values())
    return max(size for size, cost in each.items() if cost <= bound)
