"""A run: rounds of visits, each visit one server's start and its points; every figure goes to a file as it comes."""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

from bench import bodies, compute, inside, process, sending, usage
from bench.bodies import Form
from bench.environments import Unavailable
from bench.models import MODELS
from bench.plan import OVERLOAD, SHARE_OF_BEST, Choice, Point, Visit, quick, visits
from bench.process import Running
from bench.results import Record, Store, best_rate, quiet
from bench.sending import Watch, asked, measured, say, summed_up
from bench.servers import LIMITS, OURS, SERVERS

# A slow model needs longer for as many answers.
SECONDS: Mapping[str, float] = {"minilm": 10.0, "minilm-mixed": 10.0, "cnn": 6.0}
# So that opening a thousand connections, a tenth of a second's work, isn't what is measured of them.
CROWD, CROWD_SECONDS = 1000, 10.0
READY_SECONDS = 180.0
OTHER_PROTOCOL_SECONDS = 5.0
SOAK_LOOKS = 10


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
        """Our memory after each tenth of so many answers: it goes up and down, and two looks wouldn't tell which."""
        point = Point("tabular", "json", "soak", 64)
        form = SERVERS[OURS].form(point.model, point.protocol)
        assert form is not None
        bodies.prepare(MODELS[point.model], form, point.model)
        held, good = [], 0
        try:
            with process.started(SERVERS[OURS], point.model, self.load) as running:
                running.verify(form, READY_SECONDS)
                for count in [max(1, answers // SOAK_LOOKS)] * SOAK_LOOKS:
                    result = running.send(form, connections=point.connections, count=count, seconds=3600)
                    good += result["good"]
                    held.append(usage.memory(running.account.processes()).rss)
                    say(f"{good:,} answers: {summed_up(result)}, {held[-1]:.1f} MiB")
        except Unavailable as why:
            self._failed(0, OURS, point.model, point.protocol, str(why))
            return
        self.store.add({"kind": "soak", "server": OURS, "model": point.model, "good": good, "rss_mib": held})

    def _round(self, number: int, *, later: bool) -> None:
        for visit in visits(self.choice, self.shuffle, later=later):
            points = tuple(quick(visit.points)) if self.quick else visit.points
            if self.quick and not points:
                continue
            say(f"round {number + 1}{' (rates that follow)' if later else ''}: {visit.server} {visit.model}")
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
                with Watch() as steal:
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
        say(f"  {server} {model} {protocol}: not measured: {why}")
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
        job = self._job(number, point, form)
        if job is None:
            self._failed(
                number, running.server.name, point.model, point.protocol, f"{point.kind}: no rate to start from"
            )
            return
        form = asked(form, point)
        running.send(form, **{**job, "seconds": min(1.0, job["seconds"] / 4)})
        for attempt in range(self.repeats + 1):
            told = measured(running, point, form, job)
            record: Record = {"kind": "point", "round": number, "attempt": attempt, **told}
            self.store.add(record)
            say(f"  {point.name}: {summed_up(record['result'])}, {record['steal']:.0%} stolen")
            if quiet(record, self.steal_bound):
                break

    def _job(self, number: int, point: Point, form: Form) -> dict[str, Any] | None:
        crowd = CROWD_SECONDS if point.kind == "closed" and point.connections >= CROWD else 0.0
        seconds = self.seconds if self.quick else max(self.seconds, SECONDS.get(point.model, 0.0), crowd)
        # The same seed for all servers of a round: of other arrivals the p99 may be twice as high.
        job = partial(sending.job, point, form, seconds=seconds, seed=crc32(f"{number} {point.name}".encode()))
        if point.kind == "fixed":
            return job(rate=point.rate)
        if point.kind in ("best", "overload"):
            ours = point.kind == "overload"
            names = (OURS,) if ours else tuple(name for name in SERVERS if name not in (OURS, *LIMITS))
            best = best_rate(self.store.records, names, point.model, point.protocol, self.steal_bound)
            return job(rate=best * (OVERLOAD if ours else SHARE_OF_BEST)) if best else None
        return job()
