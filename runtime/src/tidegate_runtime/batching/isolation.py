"""Whose requests may share a batch when some of them are refused by the model. Pure.

A batch that is refused for its data is halved until the bad request is alone, so that its neighbours get their
answers; that costs runs, about 2 · log2(n) for one bad request among n. Sent on purpose, bad requests would so buy
engine time with their neighbours' place. Hence a budget: runs of halves may take `SHARE` of the engine's time over
`WINDOW_SECONDS`. Beyond it, refused batches go straight to single requests, and clients whose requests were found bad
run alone for `ALONE_SECONDS` from then on, at their own cost in time. Nobody ever gets the answer to another's data.
"""

from collections.abc import Hashable
from typing import Final

from tidegate_runtime.window import SlidingSum

WINDOW_SECONDS: Final = 10.0
SHARE: Final = 0.1
ALONE_SECONDS: Final = 10.0
MAX_CLIENTS: Final = 1024
"""Clients remembered; the one that was found out longest ago is forgotten first."""


class Isolation:
    """The budget, and who spent it. A client of None stands for all that have no name."""

    def __init__(self) -> None:
        self.apart: dict[Hashable, float] = {}
        """Clients whose requests run alone, and until when."""
        self._spent = SlidingSum(WINDOW_SECONDS)
        self._offenders: dict[Hashable, float] = {}

    def may_halve(self, seconds: float, now: float) -> bool:
        """Whether the budget allows another `seconds` of runs; if not, those who spent it run alone from here on."""
        if self._spent.total(now) + seconds <= SHARE * WINDOW_SECONDS:
            return True
        for client, found in self._offenders.items():
            if now - found < WINDOW_SECONDS:
                self._set_apart(client, now)
        return False

    def spent(self, seconds: float, now: float) -> None:
        """A part of a refused batch ran."""
        self._spent.add(seconds, now)

    def offended(self, client: Hashable, now: float) -> None:
        """A request was found to be what its batch was refused for."""
        self._offenders.pop(client, None)
        self._offenders[client] = now
        if len(self._offenders) > MAX_CLIENTS:
            del self._offenders[next(iter(self._offenders))]
        if self._spent.total(now) > SHARE * WINDOW_SECONDS:
            self._set_apart(client, now)

    def anyone_apart(self, now: float) -> bool:
        """Whether anybody's requests run alone at present; who left is forgotten once the time is over."""
        apart = self.apart
        # In order of their times, which are equally long.
        while apart and now >= apart[first := next(iter(apart))]:
            del apart[first]
        return bool(apart)

    def runs_alone(self, client: Hashable, now: float) -> bool:
        """Whether this client's requests run alone at present."""
        until = self.apart.get(client)
        if until is None:
            return False
        if now < until:
            return True
        del self.apart[client]
        return False

    def _set_apart(self, client: Hashable, now: float) -> None:
        self.apart.pop(client, None)
        self.apart[client] = now + ALONE_SECONDS
        if len(self.apart) > MAX_CLIENTS:
            del self.apart[next(iter(self.apart))]
