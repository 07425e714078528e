"""Requests that come together and are alike: what the scheduler is asked for all of them, and what it says then."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np

from tidegate_runtime.batching.tickets import Asked, Ticket
from tidegate_runtime.tensors import Array, Feeds


class Alike(NamedTuple):
    """Requests that come together, all with inputs of one shape, and as many rows each."""

    feeds: Feeds
    """The rows of all, below each other."""
    number: int
    """Of requests."""
    earliest: float
    latest: float
    """The deadlines of the first and of the last."""
    asked: Callable[[], list[Asked]]
    """Each by itself, in order of their deadlines; who is refused, or runs at once, need not be told apart."""

    @classmethod
    def of(cls, asked: list[Asked]) -> Self:
        """Those of a list, which is in order."""
        first, last = asked[0], asked[-1]
        whole = first[0]
        if len(asked) > 1:
            whole = {name: np.concatenate([feeds[name] for feeds, *_ in asked]) for name in whole}
        return cls(whole, len(asked), first[1], last[1], lambda: asked)


class Passed(NamedTuple):
    """What became of requests that ran without having waited."""

    arrived: float
    outputs: Sequence[Array] | None
    """Of all; None if the run failed."""
    tickets: Sequence[Ticket] = ()
    """Of a run that failed: each was told so, or waits to run again."""
