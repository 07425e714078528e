"""What front ends use, each by its place among them: whoever takes over a place goes on with its account. Pure."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

Used = tuple[float, int]
"""CPU seconds, and resident bytes."""


class Account(NamedTuple):
    """What all processes of a place have used together, and the memory of the one that is there; None without one."""

    place: int
    cpu_seconds: float
    resident_bytes: int | None


class Accounts:
    """The accounts of all places. CPU seconds never get less: those of a process that has ended stay."""

    def __init__(self, places: int) -> None:
        self._past = [0.0] * places
        self._latest = [0.0] * places
        self._now: dict[int, Callable[[], Used | None]] = {}

    def began(self, place: int, usage: Callable[[], Used | None]) -> None:
        """A process has begun there; `usage` tells what it has used, None if that can't be known at the moment."""
        self._now[place] = usage

    def ended(self, place: int) -> None:
        """It has ended; it is asked for the last time."""
        self._ask(place)
        del self._now[place]
        self._past[place] += self._latest[place]
        self._latest[place] = 0.0

    def read(self) -> Iterator[Account]:
        """One for each place, in order."""
        for place, past in enumerate(self._past):
            resident_bytes = self._ask(place) if place in self._now else 0
            yield Account(place, past + self._latest[place], resident_bytes or None)

    def _ask(self, place: int) -> int:
        used = self._now[place]()
        if used is None:
            return 0
        self._latest[place], resident_bytes = used
        return resident_bytes
