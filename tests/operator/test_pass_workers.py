"""Workers run passes, in virtual time: one at a time for each key, whatever passes do."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from tidegate_operator import errors
from tidegate_operator.controller.keyqueue import KeyQueue
from tidegate_operator.controller.metrics import ControllerMetrics
from tidegate_operator.controller.workers import RESYNC_SECONDS, UNAVAILABLE_RETRY_SECONDS, WORKERS, Workers
from tidegate_operator.kube.fence import LostLeadership
from tidegate_operator.kube.store import Key
from tidegate_operator.process.logs import JsonFormatter
from tidegate_operator.reconcile import Outcome

from .builders import NOW

pytestmark = [pytest.mark.looptime]

CHURN, FRAUD = Key("ml", "churn"), Key("ml", "fraud")


class Passes:
    """Passes that do as told by key, and remember when they began."""

    def __init__(self) -> None:
        self.begun: list[tuple[Key, float]] = []
        self.does: dict[Key, Callable[[], Awaitable[Outcome]]] = {}
        self.running: set[Key] = set()

    async def reconcile(self, key: Key, now: datetime) -> Outcome:
        assert key not in self.running, "two passes over one key at a time"
        self.running.add(key)
        self.begun.append((key, asyncio.get_running_loop().time()))
        try:
            return await self.does[key]() if key in self.does else Outcome()
        finally:
            self.running.discard(key)

    def times(self, key: Key) -> list[float]:
        return [round(time, 3) for passed, time in self.begun if passed == key]


class Scene:
    def __init__(self) -> None:
        self.queue: KeyQueue[Key] = KeyQueue()
        self.passes = Passes()
        self.registry = CollectorRegistry()
        metrics = ControllerMetrics(self.registry)
        self.workers = Workers(self.queue, self.passes, lambda: NOW, metrics)

    def passed(self, outcome: str) -> float | None:
        return self.registry.get_sample_value("tidegate_controller_passes_total", {"outcome": outcome})


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    found = Scene()
    running = asyncio.create_task(found.workers.run())
    yield found
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def failing(error: Exception) -> Callable[[], Awaitable[Outcome]]:
    async def fail() -> Outcome:
        raise error

    return fail


def taking(seconds: float, outcome: Outcome) -> Callable[[], Awaitable[Outcome]]:
    async def work() -> Outcome:
        await asyncio.sleep(seconds)
        return outcome

    return work


async def test_a_pass_comes_again_when_it_said_so(scene: Scene) -> None:
    scene.passes.does[CHURN] = taking(0, Outcome(due=timedelta(seconds=60)))
    scene.queue.add(CHURN)
    await asyncio.sleep(130)
    assert scene.passes.times(CHURN) == [0, 60, 120]


@pytest.mark.parametrize("due", [None, timedelta(hours=24)])
async def test_a_service_that_waits_for_nothing_or_for_long_is_looked_at_after_a_while(
    scene: Scene, due: timedelta | None
) -> None:
    scene.passes.does[CHURN] = taking(0, Outcome(due=due))
    scene.queue.add(CHURN)
    await asyncio.sleep(RESYNC_SECONDS * 1.2 + 1)
    first, second = scene.passes.times(CHURN)
    assert first == 0
    assert RESYNC_SECONDS * 0.8 <= second <= RESYNC_SECONDS * 1.2


async def test_a_service_that_is_gone_is_not_looked_at_again(scene: Scene) -> None:
    scene.passes.does[CHURN] = taking(0, Outcome(gone=True))
    scene.queue.add(CHURN)
    await asyncio.sleep(10 * RESYNC_SECONDS)
    assert scene.passes.times(CHURN) == [0]


async def test_a_key_that_changes_during_its_pass_gets_another_one_after_it(scene: Scene) -> None:
    scene.passes.does[CHURN] = taking(5, Outcome())
    scene.queue.add(CHURN)
    await asyncio.sleep(1)
    scene.queue.add(CHURN)
    scene.queue.add(CHURN)
    await asyncio.sleep(20)
    assert scene.passes.times(CHURN) == [0, 5]


async def test_keys_are_worked_on_beside_each_other(scene: Scene) -> None:
    keys = [Key("ml", str(number)) for number in range(WORKERS + 1)]
    for key in keys:
        scene.passes.does[key] = taking(5, Outcome())
        scene.queue.add(key)
    await asyncio.sleep(9)
    assert [scene.passes.times(key) for key in keys] == [[0]] * WORKERS + [[5]]


FAILURES = {
    "conflict": errors.Conflict("changed", 409),
    "error": errors.Unavailable("no answer", 0),
    "crash": KeyError("a bug"),
}


@pytest.mark.parametrize("outcome", FAILURES)
async def test_a_failing_pass_is_tried_again_and_stops_no_other(scene: Scene, outcome: str) -> None:
    scene.passes.does[CHURN] = failing(FAILURES[outcome])
    scene.passes.does[FRAUD] = taking(0, Outcome(due=timedelta(seconds=1)))
    scene.queue.add(CHURN)
    scene.queue.add(FRAUD)
    await asyncio.sleep(1.5)
    assert scene.passes.times(CHURN) == [0, 0.05, 0.15, 0.35, 0.75]
    assert scene.passes.times(FRAUD) == [0, 1]
    assert scene.passed(outcome) == 5
    assert scene.passed("ok") == 2


async def test_a_success_ends_the_row_of_failures(scene: Scene) -> None:
    scene.passes.does[CHURN] = failing(FAILURES["error"])
    scene.queue.add(CHURN)
    await asyncio.sleep(0.1)
    del scene.passes.does[CHURN]
    await asyncio.sleep(1)
    scene.passes.does[CHURN] = failing(FAILURES["error"])
    scene.queue.add(CHURN)
    await asyncio.sleep(0.1)
    assert scene.passes.times(CHURN) == [0, 0.05, 0.15, 1.1, 1.15]


async def test_a_failure_is_logged_with_the_service_and_the_pause(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.passes.does[CHURN] = failing(FAILURES["crash"])
    scene.queue.add(CHURN)
    with caplog.at_level(logging.WARNING):
        await asyncio.sleep(0.01)
    line = JsonFormatter().format(caplog.records[0])
    assert '"namespace": "ml", "service": "churn", "retry_seconds": 0.05' in line
    assert "KeyError" in line


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.Forbidden("quota", 403), "Forbidden"),
        (errors.Conflict("changed", 409), "Conflict"),
        (KeyError(), "KeyError"),
    ],
)
async def test_failures_are_counted_by_reason(scene: Scene, error: Exception, reason: str) -> None:
    scene.passes.does[CHURN] = failing(error)
    scene.queue.add(CHURN)
    await asyncio.sleep(0.01)
    assert scene.registry.get_sample_value("tidegate_controller_errors_total", {"reason": reason}) == 1


async def test_while_the_api_server_is_away_no_service_waits_longer_than_the_others(scene: Scene) -> None:
    scene.passes.does[CHURN] = failing(errors.Unavailable("no answer", 503))
    scene.queue.add(CHURN)
    await asyncio.sleep(600)
    times = scene.passes.times(CHURN)
    assert times[-1] - times[-2] == UNAVAILABLE_RETRY_SECONDS


async def test_who_no_longer_leads_works_no_more() -> None:
    found = Scene()
    found.passes.does[CHURN] = failing(LostLeadership("the Lease may have run out"))
    found.queue.add(CHURN)
    found.queue.add(FRAUD)
    with pytest.raises(ExceptionGroup) as ended:
        async with asyncio.timeout(60):
            await found.workers.run()
    assert ended.group_contains(LostLeadership)
