"""Whether the watches live, from what their session asks and receives."""

from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tidegate_operator.kube.objects import DEPLOYMENT, POD
from tidegate_operator.kube.pulse import DEAD_SECONDS, Pulse


class Session:
    """What a pulse is told, by a session of kopf's."""

    def __init__(self, pulse: Pulse) -> None:
        trace = pulse.trace()
        (self._asked,), (self._answered,) = trace.on_request_start, trace.on_request_end
        (self._failed,) = trace.on_request_exception

    async def ask(self, path: str, status: int = 200, **query: str) -> SimpleNamespace:
        """A request that is answered; its response."""
        response = SimpleNamespace(status=status, content=SimpleNamespace(total_bytes=0))
        await self._tell(self._asked, path, query)
        await self._tell(self._answered, path, query, response=response)
        return response

    async def fail(self, path: str) -> None:
        await self._tell(self._failed, path, {})

    async def _tell(self, told: Any, path: str, query: dict[str, str], **more: Any) -> None:
        url = URL("https://api").with_path(path).with_query(query)
        await told(None, None, SimpleNamespace(url=url, **more))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pulse(clock: Clock) -> Pulse:
    return Pulse([DEPLOYMENT, POD], clock)


def test_a_process_has_time_to_begin(pulse: Pulse, clock: Clock) -> None:
    clock.now += DEAD_SECONDS
    assert pulse.health() == (True, "ok\n")


def test_a_kind_that_was_never_asked_for_is_dead(pulse: Pulse, clock: Clock) -> None:
    clock.now += DEAD_SECONDS + 1
    assert pulse.health() == (False, "nothing was heard of Deployment, Pod for 120 s\n")


async def test_one_dead_watch_among_others_is_told(pulse: Pulse, clock: Clock) -> None:
    clock.now += DEAD_SECONDS
    await Session(pulse).ask(POD.collection())
    clock.now += 1
    assert pulse.health() == (False, "nothing was heard of Deployment for 120 s\n")


async def test_a_watch_lives_as_long_as_it_receives(pulse: Pulse, clock: Clock) -> None:
    session = Session(pulse)
    streams = [await session.ask(kind.collection(), watch="true") for kind in (DEPLOYMENT, POD)]
    for number in range(5):
        clock.now += DEAD_SECONDS - 1
        for stream in streams:
            stream.content.total_bytes = 100 * (number + 1)
        pulse.look(clock.now)
        assert pulse.health()[0]
        assert pulse.silence() == {"Deployment": 0, "Pod": 0}
    clock.now += DEAD_SECONDS + 1
    pulse.look(clock.now)
    assert not pulse.health()[0]


async def test_the_same_bytes_are_news_once(pulse: Pulse, clock: Clock) -> None:
    stream = await Session(pulse).ask(POD.collection(), watch="true")
    stream.content.total_bytes = 100
    pulse.look(clock.now)
    clock.now += 7
    pulse.look(clock.now)
    assert pulse.silence()["Pod"] == 7


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_a_watch_that_is_refused_is_alive_but_silent(pulse: Pulse, clock: Clock, status: int) -> None:
    session = Session(pulse)
    for _ in range(5):
        clock.now += DEAD_SECONDS - 1
        for kind in (DEPLOYMENT, POD):
            await session.ask(kind.collection(), status, watch="true")
    assert pulse.health()[0]
    assert pulse.silence()["Pod"] == 5 * (DEAD_SECONDS - 1)


async def test_a_watch_that_can_not_connect_is_alive(pulse: Pulse, clock: Clock) -> None:
    session = Session(pulse)
    clock.now += DEAD_SECONDS + 1
    for kind in (DEPLOYMENT, POD):
        await session.fail(kind.collection())
    assert pulse.health()[0]


async def test_other_requests_tell_nothing(pulse: Pulse, clock: Clock) -> None:
    clock.now += DEAD_SECONDS + 1
    await Session(pulse).ask("/apis/apps/v1/replicasets")
    assert not pulse.health()[0]


def test_a_session_takes_the_trace(pulse: Pulse) -> None:
    assert isinstance(pulse.trace(), aiohttp.TraceConfig)


async def test_a_watch_of_some_namespaces_is_alive_while_each_of_them_is_heard_of(clock: Clock) -> None:
    pulse = Pulse([POD], clock, ("ml", "vision"))
    session = Session(pulse)
    clock.now += DEAD_SECONDS
    await session.ask(POD.collection("ml"), watch="true")
    await session.ask(POD.collection("vision"), watch="true")
    clock.now += DEAD_SECONDS
    assert pulse.health() == (True, "ok\n")
    await session.ask(POD.collection("ml"), watch="true")
    clock.now += 1
    assert pulse.health()[0] is False
    assert pulse.silence() == {"Pod": DEAD_SECONDS + 1}
