"""A run: rounds of visits, each visit one server's start and its points; every figure goes to a file as it comes."""

import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from bench import bodies, compute, inside, process, usage
from bench.bodies import Form
from bench.environments import Unavailable
from bench.models import MODELS
from bench.plan import (
    OVERLOAD,
    OVERLOAD_DEADLINE_SECONDS,
    SHARE_OF_BEST,
    Choice,
    Point,
    Visit,
    quick,
    visits,
)
from bench.process import LOAD_CPU, SERVER_CPU, Running
from bench.results import Record, Store, best_rate, quiet
from bench.servers import LIMITS, OURS, SERVERS, Server

# A slow model needs longer for as many answers.
SECONDS: Mapping[str, float] = {"minilm": 10.0, "minilm-mixed": 10.0, "cnn": 6.0}
# So that opening a thousand connections, a tenth of a second's work, isn't what is measured of them.
CROWD, CROWD_SECONDS = 1000, 10.0
READY_SECONDS = 180.0
OTHER_PROTOCOL_SECONDS = 5.0
# gRPC's UNAVAILABLE and RESOURCE_EXHAUSTED, and DEADLINE_EXCEEDED; HTTP's own.
REFUSALS: Mapping[str, list[int]] = {"http": [429, 503], "grpc": [14, 8]}
EXPIRIES: Mapping[str, list[int]] = {"http": [504], "grpc": [4]}


@dataclass
class Run:
    """What a command line asked for, and where its figures go."""

    load: Path
    store: Store
    choice: Choice
    rounds: int
    repeats: int
    """How often a point is measured again when too much time was stolen."""
    steal_bound: float
    seconds: float
    quick: bool = False
    shuffle: random.Random = field(default_factory=random.Random)

    def whole(self) -> None:
        """All rounds; then the ones whose rates follow from them, interleaved in the same way."""
        for number in range(self.rounds):
            self._round(number, later=False)
        for number in range(self.rounds):
            self._round(number, later=True)

    def soak(self, answers: int) -> None:
        """Our memory after a tenth of so many answers, and after all of them."""
        point = Point("tabular", "json", "soak", 64)
        form = SERVERS[OURS].form(point.model, point.protocol)
        assert form is not None
        bodies.prepare(MODELS[point.model], form, point.model)
        held, good = [], 0
        try:
            with process.started(SERVERS[OURS], point.model, self.load) as running:
                running.verify(form, READY_SECONDS)
                for count in (answers // 10, answers - answers // 10):
                    result = running.send(form, connections=point.connections, count=count, seconds=3600)
                    _say(f"{count:,} answers: {told(result)}")
                    good += result["good"]
                    held.append(usage.memory(running.account.processes()).rss)
        except Unavailable as why:
            self._failed(0, OURS, point.model, point.protocol, str(why))
            return
        self.store.add({"kind": "soak", "server": OURS, "model": point.model, "good": good, "rss_mib": held})

    def _round(self, number: int, *, later: bool) -> None:
        for visit in visits(self.choice, self.shuffle, later=later):
            points = tuple(quick(visit.points)) if self.quick else visit.points
            if self.quick and not points:
                continue
            _say(f"round {number + 1}{' (rates that follow)' if later else ''}: {visit.server} {visit.model}")
            self._visit(number, replace(visit, points=points))
        if not later:
            self._compute(number)

    def _compute(self, number: int) -> None:
        """The limit by the model alone, and ours without sockets."""
        if any(server == OURS and point.model == inside.MODEL for server, point in self._chosen()):
            try:
                self.store.add({"kind": "inside", "round": number, "cpu_us": inside.measured()})
            except Unavailable as why:
                self._failed(number, OURS, inside.MODEL, "", str(why))
        for model in sorted({point.model for _, point in self._chosen()}):
            try:
                with self._watched() as steal:
                    figures = compute.measured(model)
            except Unavailable as why:
                self._failed(number, "limit-compute", model, "", str(why))
                continue
            for one in figures:
                self.store.add({"kind": "compute", "round": number, "model": model, "steal": steal(), **one})

    def _chosen(self) -> Iterator[tuple[str, Point]]:
        for visit in visits(self.choice, random.Random(0)):
            for point in quick(visit.points) if self.quick else visit.points:
                yield visit.server, point

    def _visit(self, number: int, visit: Visit) -> None:
        server = SERVERS[visit.server]
        try:
            for point in visit.points:
                # Made before the server runs, so that none of it is taken for the server's start.
                if form := server.form(point.model, point.protocol):
                    bodies.prepare(MODELS[point.model], asked(form, point), point.model)
            with process.started(server, visit.model, self.load) as running:
                self._points(number, running, visit.points)
        except Unavailable as why:
            self._failed(number, visit.server, visit.model, "", str(why))

    def _failed(self, number: int, server: str, model: str, protocol: str, why: str) -> None:
        _say(f"  {server} {model} {protocol}: not measured: {why}")
        record = {"kind": "failure", "round": number, "server": server, "model": model, "protocol": protocol}
        self.store.add({**record, "reason": why})

    def _points(self, number: int, running: Running, points: Iterable[Point]) -> None:
        answered: dict[str, bool] = {}
        for point in points:
            form = running.server.form(point.model, point.protocol)
            assert form is not None
            if point.protocol not in answered:
                answered[point.protocol] = self._verified(
                    number, running, point, form, first=not any(answered.values())
                )
            if answered[point.protocol]:
                self._point(number, running, point, form)
        if any(answered.values()):
            held = usage.memory(running.account.processes())
            record = {"kind": "memory", "round": number, "server": running.server.name, "model": running.model}
            self.store.add({**record, "rss_mib": held.rss, "pss_mib": held.pss, "processes": held.processes})

    def _verified(self, number: int, running: Running, point: Point, form: Form, *, first: bool) -> bool:
        try:
            taken = running.verify(form, READY_SECONDS if first else OTHER_PROTOCOL_SECONDS)
        except Unavailable as why:
            self._failed(number, running.server.name, point.model, point.protocol, str(why))
            return False
        if first:
            record = {"kind": "start", "round": number, "server": running.server.name, "model": point.model}
            self.store.add({**record, "seconds": taken})
        return True

    def _point(self, number: int, running: Running, point: Point, form: Form) -> None:
        job = self._job(number, running.server, point, form)
        if job is None:
            self._failed(
                number, running.server.name, point.model, point.protocol, f"{point.kind}: no rate to start from"
            )
            return
        form = asked(form, point)
        running.send(form, **{**job, "seconds": min(1.0, job["seconds"] / 4)})
        for attempt in range(self.repeats + 1):
            with self._watched() as steal:
                before = running.batches()
                result = running.send(form, **job)
                after = running.batches()
            record: Record = {
                "kind": "point",
                "round": number,
                "attempt": attempt,
                "server": running.server.name,
                "model": point.model,
                "protocol": point.protocol,
                "load": point.kind,
                "connections": point.connections,
                "rate_asked": job.get("rate", 0.0),
                "steal": steal(),
                "cpu_by": running.account.how,
                "mean_batch": mean_batch(before, after),
                "result": result,
            }
            self.store.add(record)
            _say(f"  {point.name}: {told(result)}, {record['steal']:.0%} stolen")
            if quiet(record, self.steal_bound):
                break

    def _job(self, number: int, server: Server, point: Point, form: Form) -> dict[str, Any] | None:
        crowd = CROWD_SECONDS if point.kind == "closed" and point.connections >= CROWD else 0.0
        seconds = self.seconds if self.quick else max(self.seconds, SECONDS.get(point.model, 0.0), crowd)
        job: dict[str, Any] = {
            "connections": point.connections,
            "seconds": seconds,
            # The same for all servers of a round: of other arrivals the p99 may be twice as high.
            "seed": crc32(f"{number} {point.name}".encode()),
        }
        job |= {"refusals": REFUSALS[form.transport], "expiries": EXPIRIES[form.transport]}
        if point.kind == "fixed":
            return {**job, "rate": point.rate}
        if point.kind in ("best", "overload"):
            ours = point.kind == "overload"
            names = (OURS,) if ours else tuple(name for name in SERVERS if name not in (OURS, *LIMITS))
            best = best_rate(self.store.records, names, point.model, point.protocol, self.steal_bound)
            if not best:
                return None
            deadline = {"deadline_seconds": OVERLOAD_DEADLINE_SECONDS} if ours else {}
            return {**job, **deadline, "rate": best * (OVERLOAD if ours else SHARE_OF_BEST)}
        return job

    def _watched(self) -> "_Watch":
        return _Watch()


def mean_batch(before: tuple[float, float] | None, after: tuple[float, float] | None) -> float | None:
    """Rows a batch between two readings of (batches, rows)."""
    if before is None or after is None or after[0] <= before[0]:
        return None
    return (after[1] - before[1]) / (after[0] - before[0])


def asked(form: Form, point: Point) -> Form:
    """The form with the deadline that a point's requests carry: V2's `timeout` parameter, in microseconds."""
    match point.kind:
        case "overload":
            return replace(form, parameters={"timeout": round(OVERLOAD_DEADLINE_SECONDS * 1e6)})
        case "refusal":
            return replace(form, parameters={"timeout": 1})
    return form


class _Watch:
    """The share of time that was stolen from either core inside the block."""

    def __enter__(self) -> Callable[[], float]:
        self._before = self._read()
        self._after: list[tuple[int, int]] | None = None
        return lambda: usage.stolen_share(self._before, self._after or self._read())

    def __exit__(self, *_: object) -> None:
        self._after = self._read()

    @staticmethod
    def _read() -> list[tuple[int, int]]:
        return usage.stolen(Path("/proc/stat").read_text(), (SERVER_CPU, LOAD_CPU))


def told(result: Mapping[str, Any]) -> str:
    """A result in a line of progress."""
    cpu = result["cpu_seconds"] / max(1, result["good"]) * 1e6
    line = f"{result['rate']:,.0f}/s, {cpu:,.1f} µs CPU, p99 {result['latency_ms']['p99']:.2f} ms"
    for kind in ("refused", "expired"):
        if result[kind]:
            line += f", {result[kind]} {kind}"
    return f"{line}, errors {result['errors']}: {result.get('first_error')}" if result["errors"] else line


def _say(line: str) -> None:
    print(f"[{time.monotonic() - _BEGUN:6.0f} s] {line}", file=sys.stderr, flush=True)


_BEGUN = time.monotonic()
