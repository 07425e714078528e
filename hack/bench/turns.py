"""Comparisons in turn: all servers of one are up at once, and are loaded one after the other, many times."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from bench import bodies, compute, process, sending
from bench.comparisons import ALONE, Comparison, Side
from bench.environments import Unavailable
from bench.measure import READY_SECONDS
from bench.models import MODELS
from bench.plan import OVERLOAD, SHARE_OF_BEST
from bench.process import Running
from bench.results import Record, Store
from bench.sending import Watch, asked, say, summed_up
from bench.servers import SERVERS

# Before the turns that count, each side has one that doesn't; of ONNX Runtime alone it finds the cheapest batch size.
WARM_SECONDS, SIZE_SECONDS = 1.0, 0.3


@dataclass
class Turns:
    """How many turns were asked for, and where their figures go."""

    load: Path
    store: Store
    turns: int

    def whole(self, comparisons: Sequence[Comparison]) -> None:
        """All comparisons, one after the other."""
        for comparison in comparisons:
            say(f"in turn: {comparison.name}: {', '.join(side.name for side in comparison.sides)}")
            with ExitStack() as up:
                _Meeting(comparison, self.load, self.store, up).whole(comparison.turns(self.turns))


@dataclass
class _Meeting:
    """One comparison's servers while they are up."""

    comparison: Comparison
    load: Path
    store: Store
    up: ExitStack
    running: dict[tuple[str, str], Running] = field(default_factory=dict)
    """By server and model, so that two points of one server are of the same process."""
    cheapest: dict[str, int] = field(default_factory=dict)
    """By model, the batch size at which ONNX Runtime alone costs least."""

    def __post_init__(self) -> None:
        self.left: Comparison | None = self.comparison
        """With the sides that haven't failed; None if too few are left."""

    def whole(self, turns: int) -> None:
        """Start all, warm all, then the turns, as long as there is something to compare."""
        for side in self.comparison.sides:
            with self._or_without(side):
                self._start(side)
        for turn in range(-1, turns):
            self._turn(turn)

    def _turn(self, turn: int) -> None:
        measured: dict[str, Record] = {}
        for side in self.left.order(turn) if self.left else ():
            if self._takes(side):
                with self._or_without(side):
                    measured[side.name] = self._measured(side, turn, measured)
        if turn >= 0 and self.left:
            self._keep(turn, measured)

    def _takes(self, side: Side) -> bool:
        return self.left is not None and side in self.left.sides

    @contextmanager
    def _or_without(self, side: Side) -> Iterator[None]:
        """If a side fails, that is written down, and the others go on, if enough are left."""
        try:
            yield
        except Unavailable as why:
            say(f"  {side.name}: not measured: {why}")
            record = {"kind": "failure", "comparison": self.comparison.name, "server": side.server}
            self.store.add({**record, "model": side.point.model, "protocol": side.point.protocol, "reason": str(why)})
            self.left = self.left and self.left.only(lambda one: one != side)

    def _start(self, side: Side) -> None:
        if side.server == ALONE:
            if not side.follows:
                self.cheapest[side.point.model] = _cheapest(side.point.model)
            return
        server, place = SERVERS[side.server], (side.server, side.point.model)
        form = server.form(side.point.model, side.point.protocol)
        assert form is not None
        for spoken in (form, asked(form, side.point)):
            bodies.prepare(MODELS[side.point.model], spoken, side.point.model)
        if place in self.running:
            return
        with ExitStack() as started:
            running = started.enter_context(process.started(server, side.point.model, self.load))
            running.verify(form, READY_SECONDS)
            self.up.push(started.pop_all())
        self.running[place] = running

    def _measured(self, side: Side, turn: int, before: Mapping[str, Record]) -> Record:
        leader = before.get(side.follows)
        if side.server == ALONE:
            size = round((leader and leader["mean_batch"]) or 1) if side.follows else self.cheapest[side.point.model]
            with Watch() as steal:
                [found] = compute.measured(side.point.model, [size], self._seconds(turn))
            return {**sending.place(ALONE, side.point), "steal": steal(), "batch": size, "cpu_us": found["cpu_us"]}
        running = self.running[side.server, side.point.model]
        form = running.server.form(side.point.model, side.point.protocol)
        assert form is not None
        times = OVERLOAD if side.point.kind == "overload" else SHARE_OF_BEST
        rate = times * leader["result"]["rate"] if leader else 0.0
        seed = crc32(f"{turn} {side.point.name}".encode())
        job = sending.job(side.point, form, seconds=self._seconds(turn), seed=seed, rate=rate)
        record = sending.measured(running, side.point, asked(form, side.point), job)
        result = record["result"]
        if not result["good"] + result["refused"] + result["expired"]:
            raise Unavailable(f"nothing answered in turn {turn + 1}: {result.get('first_error')}")
        return record

    def _seconds(self, turn: int) -> float:
        return self.comparison.seconds if turn >= 0 else min(WARM_SECONDS, self.comparison.seconds)

    def _keep(self, turn: int, measured: Mapping[str, Record]) -> None:
        for name, record in measured.items():
            head = {"kind": "turn", "comparison": self.comparison.name, "turn": turn, "side": name}
            self.store.add({**head, **record})
            told = summed_up(record["result"]) if "result" in record else f"{record['cpu_us']:,.1f} µs CPU"
            say(f"  {turn + 1}: {name}: {told}, {record['steal']:.0%} stolen")


def _cheapest(model: str) -> int:
    """The batch size at which ONNX Runtime alone takes least a row."""
    figures = compute.measured(model, seconds=SIZE_SECONDS)
    return int(min(figures, key=lambda one: one["cpu_us"])["batch"])
