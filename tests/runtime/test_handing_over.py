"""What a process does by the share that it is told: whose requests are handed over, who is sent elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from tidegate_runtime.handover.handing_over import HandingOver, p95_seconds
from tidegate_runtime.histogram import Histogram
from tidegate_runtime.naming import HandoverOutcome, HandoverReason
from tidegate_runtime.served_model import Limits
from tidegate_runtime.service import Service
from tidegate_runtime.share.client import Answer, Header, Room
from tidegate_runtime.share.document import Handover, Share, Target
from tidegate_runtime.web.handover_exposition import HandoverCollector

from .test_service_registry import Times, loaded

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

HERE = Target("10.0.0.5", 8080)
TEN = Handover(10, "m-2", (HERE,))


class Pod:
    """Takes requests of whom it is asked for, if that is `serves`."""

    serves = b"/v2/models/m/versions/m-2/ready"

    async def ask(
        self,
        method: bytes,
        path: bytes,
        headers: Iterable[Header],
        parts: Sequence[bytes | bytearray | memoryview] = (),
        most: int = 0,
        room: Room | None = None,
    ) -> Answer:
        return Answer(200 if path == self.serves else 404, {}, b"")

    def close(self) -> None: ...


class Bench:
    def __init__(self) -> None:
        self.service = Service(Limits(8, 0.0, 64, 65536, 30.0), asyncio.get_running_loop().time)
        self.changes: list[bool] = []
        self.over = HandingOver(
            self.service, lambda: self.changes.append(self.service.last_answers), lambda _target: Pod()
        )

    def open(self, name: str = "m", version: str = "m-1") -> None:
        self.service.expect(name, version, "cpu")
        self.service.open(name, version, loaded(Times(1.0)))

    def tell(self, handover: Handover | None) -> None:
        self.over.told(Share("1", handover=handover))


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.over.close()
    await made.service.close()


async def test_a_model_hands_over_whether_it_was_there_before_the_share_or_after(bench: Bench) -> None:
    bench.open()
    bench.tell(TEN)
    bench.open("n")
    assert bench.service.hands_over
    assert all(bench.service.model(name).handing is not None for name in "mn")
    bench.tell(None)
    assert not bench.service.hands_over
    assert all(bench.service.model(name).handing is None for name in "mn")


async def test_a_share_that_was_told_first_holds_for_models_that_come(bench: Bench) -> None:
    bench.tell(TEN)
    assert not bench.service.hands_over
    bench.open()
    assert bench.service.hands_over


async def test_the_canary_itself_hands_nothing_over(bench: Bench) -> None:
    bench.tell(TEN)
    bench.open(version="m-2")
    assert bench.service.model("m").handing is None


async def test_pods_are_asked_whether_they_serve_that_very_revision(bench: Bench) -> None:
    bench.open()
    bench.tell(TEN)
    await asyncio.sleep(0.5)
    assert bench.over.reachable == 1
    # The same address, which serves another revision.
    bench.tell(Handover(10, "m-3", (HERE,)))
    await asyncio.sleep(0.5)
    assert bench.over.reachable == 0


async def test_counts_stay_until_there_is_another_canary(bench: Bench) -> None:
    bench.open()
    bench.tell(TEN)
    handing = bench.service.model("m").handing
    assert handing is not None
    handing.figures.count(HandoverReason.WEIGHT, HandoverOutcome.FAILED)
    for same in (Handover(50, "m-2", (HERE,)), None, TEN):
        bench.tell(same)
        assert [sum(each.outcomes.values()) for each in bench.over.figures()] == [1]
    bench.tell(Handover(50, "m-3", (HERE,)))
    assert [sum(each.outcomes.values()) for each in bench.over.figures()] == [0]


async def test_what_was_answered_in_a_canarys_stead_is_counted_on_whichever_canary_it_is(bench: Bench) -> None:
    """Set back, and soon beyond what it was, the counter would lose that much to whoever takes its rate."""
    bench.open()
    bench.tell(TEN)
    first = bench.service.model("m").handing
    assert first is not None
    first.figures.fell_back(200)
    first.figures.fell_back(400)

    def page() -> dict[str, float]:
        registry = CollectorRegistry()
        registry.register(HandoverCollector(bench.over))
        samples = (sample for family in registry.collect() for sample in family.samples)
        return {one.labels["code"]: one.value for one in samples if one.name == "tidegate_handover_fallbacks_total"}

    assert page() == {"200": 1, "400": 1}
    bench.tell(Handover(50, "m-3", (HERE,)))
    assert page() == {"200": 1, "400": 1}
    second = bench.service.model("m").handing
    assert second is not None
    second.figures.fell_back(200)
    # One that was under way to the first.
    first.figures.fell_back(200)
    assert page() == {"200": 3, "400": 1}
    bench.tell(None)
    bench.tell(TEN)
    assert page() == {"200": 3, "400": 1}


async def test_a_canary_that_hangs_isnt_given_ever_more_time(bench: Bench) -> None:
    """The waits for it counted as our own times, until it had all of a request's, and callers no answer."""
    bench.open()
    metrics = bench.service.model("m").metrics
    metrics.served(0.0, 0.0, 0.01, 0.01)
    metrics.evidence_seconds.observe(0.01)
    for _ in range(1000):
        metrics.served(0.0, 15.0, 15.01, 15.01)
    bench.tell(TEN)
    handing = bench.service.model("m").handing
    assert handing is not None
    assert handing.patience(30.0) == 15.0


async def test_the_p95_of_a_histogram() -> None:
    durations = Histogram((0.1, 0.2, 0.4))
    assert p95_seconds(durations) == 0.0
    for count, value in ((94, 0.05), (5, 0.15), (1, 9.0)):
        for _ in range(count):
            durations.observe(value)
    assert p95_seconds(durations) == 0.2
    for _ in range(100):
        durations.observe(9.0)
    assert p95_seconds(durations) == 0.4


async def test_callers_are_sent_elsewhere_for_as_long_as_the_share_says_so(bench: Bench) -> None:
    bench.open()
    bench.tell(TEN)
    leaving = Handover(100, "m-2", (HERE,), leaving=True)
    bench.tell(leaving)
    assert bench.service.ready
    bench.tell(Handover(100, "m-2", (), leaving=True))
    bench.tell(TEN)
    # Only what is news is told to those who hold connections.
    assert bench.changes == [True, False]
    bench.tell(leaving)
    bench.service.begin_drain()
    bench.tell(None)
    assert bench.service.last_answers
