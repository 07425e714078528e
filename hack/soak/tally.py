"""What the clients count: requests by kind, and the first wrong answers in full."""

from collections import Counter
from random import Random
from typing import Final

KEPT: Final = 20
"""Of wrong answers."""


class Tally:
    """How many requests there are still to be, and what came of those that were."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.begun = 0
        self.good: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.shown: list[str] = []
        self._seed = seed

    @property
    def over(self) -> bool:
        """Whether all requests have begun."""
        return self.begun >= self.count

    @property
    def done(self) -> int:
        """Requests that have ended, in whatever way."""
        return sum(sum(counter.values()) for counter in (self.good, self.refused, self.left, self.wrong))

    def next(self) -> int:
        """The number of the next request."""
        self.begun += 1
        return self.begun

    def random(self, client: int) -> Random:
        """The source of all that one client draws."""
        return Random(f"{self._seed} {client}")

    def fault(self, kind: str, sent: object, got: object) -> None:
        """An answer that is not the one to its request."""
        self.wrong[kind] += 1
        if len(self.shown) < KEPT:
            self.shown.append(f"{kind}\n  sent {str(sent)[:2000]}\n  got  {str(got)[:2000]}")
