"""Results as they are kept: one JSON object a line, never rewritten. What is read out of them here is pure."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Record = dict[str, Any]


@dataclass
class Store:
    """A file of records, and the records."""

    path: Path
    records: list[Record] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Keep one, on disk before the next is measured."""
        self.records.append(record)
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")


def read(paths: Iterable[Path]) -> list[Record]:
    """The records of files, in order.

    Raises:
        ValueError: names the file whose figures mean something else: it has refusals and expiries in one, counts in an
            overload's goodput what came after its seconds, or has requests without metrics that were counted in part.
    """
    records = []
    for path in paths:
        of_file = [json.loads(line) for line in path.read_text().splitlines() if line]
        if any(_of_old(record) for record in of_file):
            raise ValueError(f"{path} is of an older benchmark; measure anew")
        records += of_file
    return records


def _of_old(record: Record) -> bool:
    result = record.get("result")
    if record["kind"] == "inside":
        return "json-alone-uncounted" not in record["cpu_us"]
    if result is None:
        return False
    return "expired" not in result or (record["load"] == "overload" and "timely_inside" not in result)


Key = tuple[str, str, str, str, int]
"""Server, model, protocol, kind of load, connections."""


def key(record: Record) -> Key:
    """What a point's record is a measurement of."""
    return (record["server"], record["model"], record["protocol"], record["load"], record["connections"])


@dataclass(frozen=True)
class Series:
    """All measurements of one point that are used: the quiet ones, or all where none was quiet.

    Attributes:
        records: in the order in which they were measured.
        noisy: no measurement was quiet.
        measured: how often the point was measured at all.
        errors: answers that were wrong or missing, in all measurements: one that was disturbed has no excuse.
    """

    records: tuple[Record, ...]
    noisy: bool
    measured: int
    errors: int

    def values(self, *path: str) -> list[float]:
        """One figure of each measurement's `result`."""
        found = []
        for record in self.records:
            value: Any = record["result"]
            for step in path:
                value = value[step]
            found.append(float(value))
        return found

    def median(self, *path: str) -> float:
        """The middle of `values`."""
        return statistics.median(self.values(*path))

    def half_range(self, *path: str) -> float:
        """Half of what lies between the extremes, as a share of the median; 0 for one measurement."""
        values, middle = self.values(*path), self.median(*path)
        return (max(values) - min(values)) / 2 / middle if middle else 0.0

    def cpu_us(self) -> float | None:
        """Median CPU microseconds of the server for a good answer; None if there was none."""
        spent = [
            record["result"]["cpu_seconds"] / record["result"]["good"] * 1e6
            for record in self.records
            if record["result"]["good"]
        ]
        return statistics.median(spent) if spent else None


def late(record: Record) -> bool:
    """Whether the load generator sent one request in a hundred over 1 ms and a fifth of the median latency late."""
    lateness, latency = record["result"]["lateness_ms"], record["result"]["latency_ms"]
    return bool(lateness["p99"] > max(1.0, latency["p50"] / 5))


def quiet(record: Record, steal_bound: float) -> bool:
    """Whether neither the host nor a late generator disturbed a measurement."""
    return bool(record["steal"] <= steal_bound) and not late(record)


def series(records: Iterable[Record], steal_bound: float) -> dict[Key, Series]:
    """Points by what they measured.

    Which measurements are quiet is decided by what disturbed them, never by how good they are. The last attempt of a
    round stands for it, so a round counts once; rounds of several runs are put after one another.
    """
    last: dict[tuple[Key, int, int], Record] = {}
    calm: dict[tuple[Key, int, int], Record] = {}
    counts: dict[Key, int] = {}
    errors: dict[Key, int] = {}
    run = 0
    for record in records:
        if record["kind"] == "machine":
            run += 1
        elif record["kind"] == "point":
            place = (key(record), run, record["round"])
            counts[place[0]] = counts.get(place[0], 0) + 1
            errors[place[0]] = errors.get(place[0], 0) + sum(record["result"]["errors"].values())
            last[place] = record
            if quiet(record, steal_bound):
                calm[place] = record
    found: dict[Key, Series] = {}
    for point, measured in counts.items():
        used = tuple(record for (of, *_), record in calm.items() if of == point)
        rest = tuple(record for (of, *_), record in last.items() if of == point)
        found[point] = Series(used or rest, noisy=not used, measured=measured, errors=errors[point])
    return found


def best_rate(
    records: Iterable[Record], servers: Sequence[str], model: str, protocol: str, steal_bound: float
) -> float | None:
    """The highest median rate, in good answers a second, that any of the servers had in a closed loop."""
    rates = [
        one.median("rate")
        for (server, of, over, load, _), one in series(records, steal_bound).items()
        if server in servers and (of, over, load) == (model, protocol, "closed")
    ]
    return max(rates, default=None)
