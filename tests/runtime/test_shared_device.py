"""Several models on one device: whose batch is next, what is promised, and who is kept from nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
import pytest

from tidegate_runtime.batching.backlog import Backlog
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.device import Device
from tidegate_runtime.batching.dispatcher import Dispatcher
from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.batching.padding import Padding
from tidegate_runtime.batching.policy import MARGIN, BatchPolicy
from tidegate_runtime.batching.rows import compatibility
from tidegate_runtime.batching.scheduler import Scheduler
from tidegate_runtime.batching.tickets import WAITING, Outputs, Ticket
from tidegate_runtime.errors import DeadlineExceeded, Overloaded, RuntimeFault
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.tensors import Feeds

ROW: Feeds = {"x": np.zeros((1, 1), np.float32)}


def known(seconds: float, max_rows: int = 4) -> CostTable:
    """A table in which a run of a row takes so long, whatever comes with it."""
    table = CostTable(max_rows)
    shape = table.shape(compatibility(ROW), 1)
    for rows in (1, 1, 1, 2, 4):
        shape.observe(rows, seconds)
    shape.trial_at = inf
    return table


def ignored(_: Outputs | RuntimeFault) -> None:
    pass


class Models:
    """Backlogs on one device, by how long a run of each takes."""

    def __init__(self, **seconds: float) -> None:
        self.device = Device()
        policy = BatchPolicy(4, 0.0, 2)
        self.backlogs = {name: Backlog(policy, known(taken)) for name, taken in seconds.items()}
        for backlog in self.backlogs.values():
            self.device.join(backlog)

    def come(self, name: str, at: float, within: float) -> Ticket:
        return self.backlogs[name].admit(ROW, 1, at, at + within, ignored)

    def cut(self, now: float) -> str | None:
        """Whose batch runs now."""
        cut = self.device.cut(now)
        return None if cut is None else next(name for name, one in self.backlogs.items() if one is cut[0])

    def end(self, now: float) -> None:
        batch = self.device.load.running
        assert batch is not None
        holder = self.device.load.holder
        next(one for one in self.backlogs.values() if one is holder).ended(batch, now - batch.started, now)


@pytest.mark.parametrize(
    ("deadlines", "seconds", "order"),
    [
        pytest.param((9.0, 8.0), (1.0, 1.0), ["b", "a"], id="the earlier deadline, though it came later"),
        pytest.param((8.0, 9.0), (1.0, 1.0), ["a", "b"], id="the earlier deadline, which came first"),
        pytest.param((8.0, 9.0), (1.0, 3.0), ["b", "a"], id="the longer work: it has to begin by 6, the other by 7"),
    ],
)
def test_the_device_serves_the_least_slack_over_all_models(
    deadlines: tuple[float, float], seconds: tuple[float, float], order: list[str]
) -> None:
    models = Models(a=seconds[0], b=seconds[1])
    models.come("a", 0.0, deadlines[0])
    models.come("b", 0.0, deadlines[1])
    assert models.cut(0.0) == order[0]
    assert models.cut(0.0) is None
    models.end(3.0)
    assert models.cut(3.0) == order[1]


def test_a_prediction_counts_what_waits_and_runs_for_other_models() -> None:
    models = Models(a=1.0, b=3.0)
    models.come("b", 0.0, 60.0)
    assert models.cut(0.0) == "b"
    models.come("b", 0.5, 60.0)
    # 2.5 s of the run in progress, 3 s of what waits, and 1 s of its own.
    with pytest.raises(Overloaded) as refused:
        models.come("a", 0.5, MARGIN * 6.5 - 0.01)
    assert (refused.value.refusal, refused.value.retry_after_seconds) == ("Deadline", 7)
    models.come("a", 0.5, MARGIN * 6.5 + 1e-9)


def test_what_has_left_is_not_counted_any_more() -> None:
    models = Models(a=1.0, b=3.0)
    waiting = models.come("b", 0.0, 60.0)
    models.backlogs["b"].withdraw(waiting)
    models.come("b", 0.0, 60.0)
    models.device.leave(models.backlogs["b"])
    models.come("a", 0.0, MARGIN * 1.0 + 1e-9)
    models.device.join(models.backlogs["b"])
    with pytest.raises(Overloaded):
        models.come("a", 0.0, MARGIN * 4.0 - 0.01)


def test_a_full_queue_is_full_for_its_own_model_alone() -> None:
    models = Models(a=0.001, b=0.001)
    for _ in range(2):
        models.come("a", 0.0, 60.0)
    with pytest.raises(Overloaded) as refused:
        models.come("a", 0.0, 60.0)
    assert refused.value.refusal == "QueueFull"
    models.come("b", 0.0, 60.0)


def test_what_is_too_late_runs_only_if_no_model_waits() -> None:
    models = Models(a=2.0, b=1.0)
    late = models.come("a", 0.0, 60.0)
    late.deadline = late.due = 1.0
    models.come("b", 0.0, 60.0)
    assert models.cut(0.0) == "b"
    assert [ticket for _, ticket in models.device.dropped] == [late]


def test_what_the_loop_can_run_waits_for_no_device_and_keeps_it_from_nobody() -> None:
    models = Models(tiny=0.001, slow=3.0)
    models.backlogs["tiny"].place.measured(0.001)
    models.come("tiny", 0.0, 1.0)
    models.come("slow", 0.0, 60.0)
    assert models.cut(0.0) == "slow"
    assert models.cut(0.0) == "tiny"
    # Not refused for the 3 s of the other's run, either.
    models.come("tiny", 0.1, MARGIN * 0.001 + 1e-9)
    assert models.cut(0.1) == "tiny"
    assert models.cut(0.1) is None
    running = models.device.load.running
    assert running is not None
    assert running.cost is not None
    assert running.cost.mean == 3.0


def tiny_beside_slow() -> tuple[Models, Backlog]:
    """The slow model runs. One row of the tiny one takes a millisecond, which is best and for the loop; two are not."""
    models = Models(tiny=0.001, slow=3.0)
    tiny = models.backlogs["tiny"]
    tiny.place.measured(0.001)
    shape = tiny._table.shape(compatibility(ROW), 1)
    for rows in (2, 2, 2, 4, 4, 4):
        for _ in range(40):
            shape.observe(rows, 0.02 * rows)
    models.come("slow", 0.0, 60.0)
    assert models.cut(0.0) == "slow"
    return models, tiny


def test_beside_a_run_only_what_was_judged_runs_on_the_loop() -> None:
    models, tiny = tiny_beside_slow()
    tickets = [models.come("tiny", 0.0, 50.0) for _ in range(2)]
    tickets[0].queue.held = 1000  # A batch of two is due, to see whether it still takes so long.
    cut = models.device.cut(0.0)
    assert cut is not None
    assert (cut[1].tickets, cut[1].on_loop) == (tickets[:1], True)
    tiny.ended(cut[1], 0.001, 0.001)
    models.come("tiny", 0.001, 50.0)
    models.end(3.0)
    cut = models.device.cut(3.0)
    assert cut is not None
    assert (cut[1].rows, cut[1].on_loop) == (2, False)


def test_beside_a_run_nothing_is_padded_that_the_loop_can_not_run() -> None:
    models = Models(slow=3.0)
    table = CostTable(4)
    for width, seconds in ((1, 0.001), (2, 0.020)):
        shape = table.shape(compatibility({"x": np.zeros((1, width))}), width)
        for rows in (1, 1, 1, 2, 4):
            shape.observe(rows, seconds)
    texts = Backlog(BatchPolicy(4, 0.0, 8), table, padding=Padding({"x": (1, 0)}, {}, ("y",)))
    texts.place.measured(0.001)
    models.device.join(texts)
    models.come("slow", 0.0, 60.0)
    assert models.cut(0.0) == "slow"
    # Together they would take less than one after the other.
    long, short = (texts.admit({"x": np.zeros((1, width))}, 1, 0.0, 50.0 - width, ignored) for width in (2, 1))
    short.deadline = short.due = 40.0
    cut = models.device.cut(0.0)
    assert cut is not None
    assert (cut[1].tickets, cut[1].on_loop) == ([short], True)
    texts.ended(cut[1], 0.001, 0.001)
    assert models.device.cut(0.001) is None
    assert long.state == WAITING


def test_what_turns_out_not_to_be_for_the_loop_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    models, tiny = tiny_beside_slow()
    tickets = [models.come("tiny", 0.0, 50.0), models.come("tiny", 0.0, 50.0)]
    judged = iter([True])  # As foreseen, and not once it is cut.
    monkeypatch.setattr(tiny.place, "on_loop", lambda *_: next(judged, False))
    assert models.cut(0.0) is None
    assert (tiny.depth, {ticket.state for ticket in tickets}) == (2, {WAITING})
    models.end(3.0)
    assert models.cut(3.0) == "tiny"
    batch = models.device.load.running
    assert batch is not None
    assert (batch.rows, batch.on_loop) == (1, False)


@dataclass
class SharedEngine:
    """Takes `seconds` a run; `runs` lists who ran when, over all engines that share it."""

    name: str
    seconds: float
    runs: list[tuple[str, float]]
    ready: bool = True
    hop_seconds: float = 0.0
    busy: list[int] = field(default_factory=lambda: [0])

    async def hop(self) -> float:
        return self.hop_seconds

    def run_inline(self, feeds: Feeds) -> Ran:
        self.runs.append((self.name, asyncio.get_running_loop().time()))
        return [feeds["x"] * 2], self.seconds

    async def run(self, feeds: Feeds) -> Ran:
        assert self.ready
        self.busy[0] += 1
        assert self.busy[0] == 1, "two runs at once"
        self.runs.append((self.name, asyncio.get_running_loop().time()))
        await asyncio.sleep(self.seconds)
        self.busy[0] -= 1
        return [feeds["x"] * 2], self.seconds

    def interrupt(self) -> None:
        raise AssertionError("no run here is to be ended")


class Server:
    """Models that share a device, in service."""

    def __init__(self) -> None:
        self.dispatcher = Dispatcher(asyncio.get_running_loop().time)
        self.runs: list[tuple[str, float]] = []
        self.busy = [0]
        self.engines: dict[str, SharedEngine] = {}
        self.schedulers: dict[str, Scheduler] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def load(self, name: str, seconds: float, hop_seconds: float = 0.0, costs: CostTable | None = None) -> None:
        engine = SharedEngine(name, seconds, self.runs, hop_seconds=hop_seconds, busy=self.busy)
        clock = asyncio.get_running_loop().time
        scheduler = Scheduler(
            engine,
            BatchPolicy(4, 0.005, 100),
            ModelMetrics(name, "1", "cpu"),
            clock,
            costs,
            dispatcher=self.dispatcher,
            available=lambda: engine.ready,
        )
        self.engines[name], self.schedulers[name] = engine, scheduler
        self.tasks[name] = asyncio.create_task(scheduler.run())

    async def unload(self, name: str) -> None:
        self.schedulers[name].close()
        await self.tasks.pop(name)

    def send(self, name: str, within: float = 60.0) -> "asyncio.Task[Outputs]":
        deadline = asyncio.get_running_loop().time() + within
        return asyncio.create_task(self.schedulers[name].infer(dict(ROW), 1, deadline))


@pytest.fixture
def serving() -> Callable[[], Any]:
    @asynccontextmanager
    async def run() -> AsyncIterator[Server]:
        server = Server()
        yield server
        for name in list(server.tasks):
            await server.unload(name)

    return run


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_models_take_turns_by_their_deadlines_and_not_by_their_coming(serving: Callable[[], Any]) -> None:
    async with serving() as s:
        s.load("a", 1.0)
        s.load("b", 1.0)
        await asyncio.sleep(0)
        first = s.send("a")
        await asyncio.sleep(0.5)
        others = [s.send("a", 30.0), s.send("b", 20.0)]
        await asyncio.gather(first, *others)
        assert [name for name, _ in s.runs] == ["a", "b", "a"]


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_overload_of_one_model_is_told_at_once_to_requests_for_another(serving: Callable[[], Any]) -> None:
    async with serving() as s:
        s.load("a", 1.0, costs=known(1.0))
        s.load("b", 1.0, costs=known(1.0))
        await asyncio.sleep(0)
        queued = [s.send("a") for _ in range(20)]  # 5 batches
        await asyncio.sleep(0.5)
        began = asyncio.get_running_loop().time()
        with pytest.raises(Overloaded):
            await s.send("b", within=4.0)
        assert asyncio.get_running_loop().time() == began
        await asyncio.gather(*queued, s.send("b", within=6.0))


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_tiny_model_is_answered_on_the_loop_while_another_runs(serving: Callable[[], Any]) -> None:
    async with serving() as s:
        s.load("slow", 3.0)
        s.load("tiny", 0.0001, hop_seconds=0.001, costs=known(0.0001))
        await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()
        slow = s.send("slow")
        await asyncio.sleep(1.0)
        await asyncio.gather(*(s.send("tiny", within=0.1) for _ in range(8)))
        assert asyncio.get_running_loop().time() == pytest.approx(began + 1.0)
        await slow
        assert [name for name, _ in s.runs] == ["slow", "tiny", "tiny"]


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_models_come_and_go_while_others_run(serving: Callable[[], Any]) -> None:
    async with serving() as s:
        s.load("a", 1.0)
        await asyncio.sleep(0)
        running = s.send("a")
        await asyncio.sleep(0.25)
        s.load("b", 1.0)
        both = [s.send("b"), s.send("a")]
        await asyncio.sleep(0)
        closing = asyncio.create_task(s.unload("b"))
        await asyncio.gather(running, *both, closing)
        assert [at for _, at in s.runs] == pytest.approx([s.runs[0][1] + wait for wait in (0.0, 1.0, 2.0)])
        began = asyncio.get_running_loop().time()
        await s.send("a")
        assert asyncio.get_running_loop().time() == pytest.approx(began + 1.0)


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_model_whose_engine_is_gone_keeps_no_other_waiting(serving: Callable[[], Any]) -> None:
    async with serving() as s:
        s.load("a", 1.0)
        s.load("b", 1.0)
        await asyncio.sleep(0)
        s.engines["a"].ready = False
        waiting, impatient = s.send("a"), s.send("a", within=2.0)
        await s.send("b")
        with pytest.raises(DeadlineExceeded):
            await impatient
        assert [name for name, _ in s.runs] == ["b"]
        s.engines["a"].ready = True
        s.dispatcher.review()
        await waiting
        assert [name for name, _ in s.runs] == ["b", "a"]


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_model_is_unloaded_though_its_engine_is_gone(serving: Callable[[], Any]) -> None:
    async with serving() as s:
        s.load("a", 1.0)
        await asyncio.sleep(0)
        s.engines["a"].ready = False
        waiting = s.send("a", within=2.0)
        await asyncio.sleep(1.0)
        await s.unload("a")
        with pytest.raises(DeadlineExceeded):
            await waiting
        s.dispatcher.review()
        assert s.runs == []


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_tiny_model_is_unloaded_once_its_last_request_is_answered(serving: Callable[[], Any]) -> None:
    async with serving() as s:
        s.load("slow", 3.0)
        s.load("tiny", 0.0001, hop_seconds=0.001, costs=known(0.0001))
        await asyncio.sleep(0)
        last = s.send("tiny")
        await asyncio.sleep(0)
        await asyncio.wait_for(s.unload("tiny"), 1.0)
        await last


@pytest.mark.parametrize("seed", range(20))
def test_the_device_knows_the_sum_of_what_waits_whatever_happens(seed: int) -> None:
    generator = np.random.default_rng(seed)
    models = Models(a=0.5, b=1.0, c=2.0)
    away: set[str] = set()
    now = 0.0
    for _ in range(200):
        now += float(generator.exponential(0.2))
        name = str(generator.choice(list(models.backlogs)))
        backlog = models.backlogs[name]
        match int(generator.integers(6)):
            case 0 | 1 | 2:
                with suppress(Overloaded):
                    models.come(name, now, float(generator.uniform(0.5, 20.0)))
            case 3:
                waiting = [ticket for queue in backlog.active for ticket in queue]
                if waiting:
                    backlog.withdraw(waiting[int(generator.integers(len(waiting)))])
            case 4:
                if models.device.load.running is None:
                    models.cut(now)
                else:
                    models.end(now)
            case _:
                if name in away:
                    away.remove(name)
                    models.device.join(backlog)
                elif backlog.running is None:
                    away.add(name)
                    models.device.leave(backlog)
        backlog.expire(now)
        load = models.device.load
        here = [one for other, one in models.backlogs.items() if other not in away]
        works = [queue.work for one in here for queue in one.active]
        assert load.mean == pytest.approx(sum(work.mean for work in works), abs=1e-9)
        assert load.spread == pytest.approx(sum(work.spread for work in works), abs=1e-9)
