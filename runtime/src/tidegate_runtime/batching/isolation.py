"""Whose requests may share a batch when some of them are refused by the model. Pure.

A batch that is refused for its data is halved until the bad request is alone, so that its neighbours get their
answers; that costs runs, about 2 · log2(n) for one bad request among n. Sent on purpose, bad requests would so buy
engine time with their neighbours' place. Hence a budget: runs of halves may take `SHARE` of the engine's time over
`WINDOW_SECONDS`. Beyond it, refused batches go straight to single requests, and clients whose requests were found bad
run alone for `ALONE_SECONDS` from then on, at their own cost in time. Nobody ever gets the answer to another's data.

A client is a connection: behind a router all have one host, and none should pay for another. But who connects anew for
each request would be nobody that was found before. So a host runs alone, too, once `FEW` of its requests were found,
and more than were answered when their batches were done over. Behind a router that is rare: a batch has more good ones.

Who has many hosts, or sends good requests, too, still makes each batch cost as many runs as it has rows. Those are
bounded by having fewer rows: the more is spent beyond `SHARE`, the smaller are batches, and at `MOST_SHARE` nobody
shares one. To tell neighbours a fault instead would be cheaper, and would let bad requests take the service away.
"""

from collections.abc import Hashable, Iterable
from typing import Final, TypeVar

from tidegate_runtime.window import SlidingSum

WINDOW_SECONDS: Final = 10.0
SHARE: Final = 0.1
MOST_SHARE: Final = 0.3
ALONE_SECONDS: Final = 10.0
MAX_CLIENTS: Final = 1024
"""Clients remembered, and hosts; the one that was found out longest ago is forgotten first."""
FEW: Final = 3

V = TypeVar("V")


class _Host:
    """Of its requests, since `began`, how many were found bad, and how many answered beside bad ones."""

    __slots__ = ("bad", "began", "good")

    def __init__(self, now: float) -> None:
        self.bad = self.good = 0
        self.began = now


class Isolation:
    """The budget, and who spent it. A client of None stands for all that have no name."""

    def __init__(self) -> None:
        self.until = 0.0
        """From then on nobody runs alone, nothing is spent, and nothing need be asked here."""
        self._apart: dict[Hashable, float] = {}
        """Clients and hosts whose requests run alone, and until when; in order of that."""
        self._spent = SlidingSum(WINDOW_SECONDS)
        self._offenders: dict[Hashable, float] = {}
        """Who was found within the budget, and when."""
        self._hosts: dict[Hashable, _Host] = {}
        self._by_data_until = 0.0

    def may_halve(self, seconds: float, now: float) -> bool:
        """Whether the budget allows another `seconds` of runs; if not, those who spent it run alone from here on."""
        if self._spent.total(now) + seconds <= SHARE * WINDOW_SECONDS:
            return True
        for client, found in self._offenders.items():
            if now - found < WINDOW_SECONDS:
                self._set_apart(client, now)
        self._offenders.clear()
        return False

    def spent(self, seconds: float, now: float) -> None:
        """A part of a refused batch ran."""
        self._spent.add(seconds, now)
        self.until = max(self.until, now + WINDOW_SECONDS)

    def answered(self, clients: Iterable[Hashable], now: float) -> None:
        """Requests of a refused batch, each of one of `clients`, were answered: it was refused for others' data."""
        self._by_data_until = now + WINDOW_SECONDS
        for client in clients:
            self._host(client, now).good += 1

    def by_data(self, now: float) -> bool:
        """Whether what fails is known to fail for its data: others of such a batch were answered lately."""
        return now < self._by_data_until

    def offended(self, client: Hashable, now: float) -> None:
        """A request was found to be what its batch was refused for."""
        self._host(client, now).bad += 1
        if self._spent.total(now) > SHARE * WINDOW_SECONDS:
            self._set_apart(client, now)
            return
        _remember(self._offenders, client, now)

    def rows(self, most: int, now: float) -> int:
        """How many rows a batch may have, of `most`, which is more than one."""
        over = (self._spent.total(now) / WINDOW_SECONDS - SHARE) / (MOST_SHARE - SHARE)
        return most if over <= 0 else max(1, round(most * (1 - over)))

    def anyone_apart(self, now: float) -> bool:
        """Whether anybody's requests run alone at present; who left is forgotten once the time is over."""
        apart = self._apart
        while apart and now >= apart[first := next(iter(apart))]:
            del apart[first]
        return bool(apart)

    def runs_alone(self, client: Hashable, now: float) -> bool:
        """Whether this client's requests run alone at present."""
        return self.anyone_apart(now) and (client in self._apart or host_of(client) in self._apart)

    def _host(self, client: Hashable, now: float) -> _Host:
        name = host_of(client)
        host = self._hosts.get(name)
        if host is None or now - host.began >= WINDOW_SECONDS:
            host = _Host(now)
            _remember(self._hosts, name, host)
        return host

    def _set_apart(self, client: Hashable, now: float) -> None:
        host = self._host(client, now)
        self.until = now + ALONE_SECONDS
        _remember(self._apart, client, self.until)
        if host.bad >= FEW and host.bad > host.good:
            _remember(self._apart, host_of(client), self.until)


def host_of(client: Hashable) -> Hashable:
    """What a client's address has in common with those of its other connections: all but the port."""
    if isinstance(client, tuple) and client:
        first: Hashable = client[0]
        return first
    if isinstance(client, str):  # As grpcio has it: ipv4:192.0.2.1:50051
        return client.rpartition(":")[0] or client
    return client


def _remember(known: dict[Hashable, V], name: Hashable, value: V) -> None:
    """As the latest one."""
    known.pop(name, None)
    known[name] = value
    if len(known) > MAX_CLIENTS:
        del known[next(iter(known))]
