"""Everything that a report says, read out of the records. Pure."""

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.ratios import Compared, compared
from bench.results import Key, Record, Series, series
from bench.servers import LIMITS, OURS, SERVERS


@dataclass(frozen=True)
class Compute:
    """ONNX Runtime alone: medians over the rounds, by batch size."""

    cpu_us: Mapping[int, float]
    rss_mib: float

    def at(self, batch: float) -> float:
        """CPU microseconds a row at a mean batch size, between the measured sizes in a straight line."""
        sizes = sorted(self.cpu_us)
        if batch <= sizes[0]:
            return self.cpu_us[sizes[0]]
        for low, high in itertools.pairwise(sizes):
            if batch <= high:
                share = (batch - low) / (high - low)
                return self.cpu_us[low] + share * (self.cpu_us[high] - self.cpu_us[low])
        return self.cpu_us[sizes[-1]]

    @property
    def best(self) -> float:
        """At the batch size that costs least."""
        return min(self.cpu_us.values())


@dataclass(frozen=True)
class Summary:
    """The records of a run, by what they measured."""

    machine: Record
    points: Mapping[Key, Series]
    compute: Mapping[str, Compute]
    starts: Mapping[tuple[str, str], float]
    memory: Mapping[tuple[str, str], tuple[float, float, int]]
    failures: Sequence[Record]
    soak: Record | None
    inside: Mapping[str, float]
    """CPU µs of a request without sockets, by form, with metrics and without: the least over the rounds."""
    turns: Mapping[str, Compared]
    """What was compared in turn, by the comparison's name."""

    @classmethod
    def of(cls, records: Sequence[Record], steal_bound: float) -> "Summary":
        """Read them; a failure that was followed by a measurement is kept as well."""
        of_kind: dict[str, list[Any]] = {}
        for record in records:
            of_kind.setdefault(record["kind"], []).append(record)
        return cls(
            machine=of_kind.get("machine", [{}])[-1],
            points=series(records, steal_bound),
            compute=_compute(of_kind.get("compute", ())),
            starts={
                place: statistics.median(values) for place, values in _by_place(of_kind, "start", "seconds").items()
            },
            memory=_memory(of_kind.get("memory", ())),
            failures=of_kind.get("failure", ()),
            soak=of_kind.get("soak", [None])[-1],
            inside=_least([record["cpu_us"] for record in of_kind.get("inside", ())]),
            turns=compared(records, steal_bound),
        )

    def point(self, server: str, model: str, protocol: str, load: str, connections: int) -> Series | None:
        """One point's measurements, if it has any."""
        return self.points.get((server, model, protocol, load, connections))

    def servers(self, model: str, protocol: str, load: str = "closed") -> list[str]:
        """Those with a measurement, in the catalogue's order."""
        seen = {key[0] for key in self.points if key[1:4] == (model, protocol, load)}
        return [name for name in SERVERS if name in seen]

    def connections(self, model: str, protocol: str) -> list[int]:
        """The concurrencies of the closed loops that everyone is measured at."""
        return sorted({key[4] for key in self.points if key[1:4] == (model, protocol, "closed") and key[4] <= BUSIEST})

    def cheapest(self, server: str, model: str, protocol: str) -> float | None:
        """CPU µs for a good answer at the concurrency of a closed loop at which the server answers most."""
        loads = self._loops(server, model, protocol)
        return max(loads, key=lambda one: one.median("rate")).cpu_us() if loads else None

    def errors(self, server: str, model: str, protocol: str) -> int:
        """Answers that were wrong or missing, in all closed loops that `cheapest` chooses from."""
        return sum(one.errors for one in self._loops(server, model, protocol))

    def _loops(self, server: str, model: str, protocol: str) -> list[Series]:
        return [
            one
            for key, one in self.points.items()
            if key[:4] == (server, model, protocol, "closed") and key[4] <= BUSIEST
        ]

    def best_peer(self, costs: Mapping[str, float | None]) -> tuple[str, float] | None:
        """The peer with the lowest figure, limits and ourselves left out."""
        known = [(name, cost) for name, cost in costs.items() if cost is not None and is_peer(name)]
        return min(known, key=lambda one: one[1], default=None)


LOOP = "limit-socket"
"""What no server under this event loop can be cheaper than."""
# What every server is measured at; more connections than these are ours alone.
BUSIEST = 128


def is_peer(server: str) -> bool:
    """Whether a server is one to compare with."""
    return server != OURS and server not in LIMITS


def _least(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {kind: min(one[kind] for one in figures) for kind in figures[0]} if figures else {}


def _by_place(of_kind: Mapping[str, list[Record]], kind: str, figure: str) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for record in of_kind.get(kind, ()):
        found.setdefault((record["server"], record["model"]), []).append(record[figure])
    return found


def _memory(records: Iterable[Record]) -> dict[tuple[str, str], tuple[float, float, int]]:
    of_kind = {"memory": list(records)}
    figures = {figure: _by_place(of_kind, "memory", figure) for figure in ("rss_mib", "pss_mib", "processes")}
    return {
        place: (
            statistics.median(rss),
            statistics.median(figures["pss_mib"][place]),
            round(statistics.median(figures["processes"][place])),
        )
        for place, rss in figures["rss_mib"].items()
    }


def _compute(records: Iterable[Record]) -> dict[str, Compute]:
    costs: dict[str, dict[int, list[float]]] = {}
    resident: dict[str, list[float]] = {}
    for record in records:
        costs.setdefault(record["model"], {}).setdefault(record["batch"], []).append(record["cpu_us"])
        if record["batch"] == 1:
            resident.setdefault(record["model"], []).append(record["rss_mib"])
    return {
        model: Compute(
            {size: statistics.median(values) for size, values in by_size.items()},
            statistics.median(resident.get(model, [0.0])),
        )
        for model, by_size in costs.items()
    }
