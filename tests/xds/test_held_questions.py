import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidegate_operator.xds.catalogue import ROUTES, Catalogue
from tidegate_operator.xds.discovery import HOLD_SECONDS, Discovery, DiscoveryRequest, Node
from tidegate_operator.xds.metrics import XdsMetrics

pytestmark = pytest.mark.looptime

A, B = "churn-aaaaaaaa", "churn-bbbbbbbb"


class Server:
    """Discovery over a catalogue with one service at version 10, and what it reported."""

    def __init__(self, builders: Any, freshen: Callable[[], Awaitable[None]]) -> None:
        self.metrics = XdsMetrics()
        self.catalogue = Catalogue("cluster.test")
        self.discovery = Discovery(self.catalogue, self.metrics, freshen)
        self._builders = builders
        self.see(10, 0)
        self.discovery.publish()

    def see(self, version: int, weight: int) -> None:
        self.catalogue.see_service(self._builders.service(version, stable=A, canary=(B, weight)))

    def version(self) -> str:
        return str(self.catalogue.view(ROUTES).version)

    def ask(self, version: str, kind: str = "routes", name: str = "data") -> "asyncio.Task[bytes | None]":
        request = DiscoveryRequest(version_info=version, resource_names=[name], node=Node(id="router-0"))
        return asyncio.create_task(self.discovery.ask(kind, request))

    def answers(self, answer: str, kind: str = "routes") -> float:
        labels = {"type": kind, "answer": answer}
        return self.metrics.registry.get_sample_value("tidegate_xds_requests_total", labels) or 0


async def never() -> None:
    await asyncio.Event().wait()


@pytest.fixture
def server(builders: Any) -> Server:
    return Server(builders, never)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_caller_without_a_version_is_answered_at_once(server: Server) -> None:
    reply = await server.ask("")
    assert reply == server.catalogue.view(ROUTES).body
    assert now() == 0


async def test_a_question_is_held_until_something_changes(server: Server) -> None:
    question = server.ask(server.version())
    asyncio.get_running_loop().call_later(7, server.see, 11, 50)
    asyncio.get_running_loop().call_later(7, server.discovery.noticed)
    reply = await question
    assert reply is not None
    assert b'"weight":50' in reply
    assert now() == pytest.approx(7.01)


@pytest.mark.parametrize("kind", ["routes", "endpoints"])
async def test_a_question_is_answered_unchanged_before_envoy_gives_up(server: Server, kind: str) -> None:
    view = server.catalogue.view((kind, "x" if kind == "endpoints" else ""))
    reply = await server.ask(str(view.version), kind, "x")
    assert reply is None
    assert 0.9 * HOLD_SECONDS[kind] <= now() <= HOLD_SECONDS[kind]
    assert server.answers("unchanged", kind) == 1


async def test_changes_that_come_together_are_shown_together(server: Server) -> None:
    question = server.ask(server.version())
    await asyncio.sleep(0)
    server.see(12, 50)
    server.discovery.noticed()
    server.see(13, 0)
    server.discovery.noticed()
    server.see(14, 20)
    reply = await question
    assert reply is not None
    assert b'"version_info":"14.' in reply
    assert b'"weight":20' in reply


async def test_a_replica_behind_its_caller_keeps_silent_until_it_has_caught_up(server: Server) -> None:
    question = server.ask("20.0123456789abcdef")
    loop = asyncio.get_running_loop()
    for at, version, weight in [(1, 15, 50), (2, 19, 60), (3, 21, 70)]:
        loop.call_later(at, server.see, version, weight)
        loop.call_later(at, server.discovery.noticed)
    reply = await question
    assert now() == pytest.approx(3.01)
    assert reply is not None
    assert b'"weight":70' in reply


async def test_a_replica_behind_catches_up_by_a_listing(builders: Any) -> None:
    async def freshen() -> None:
        await asyncio.sleep(2)
        item = builders.service(25, stable=A, canary=(B, 30))
        behind.catalogue.list_services({"metadata": {"resourceVersion": "30"}, "items": [item]}, since=10)
        behind.discovery.publish()

    behind = Server(builders, freshen)
    reply = await behind.ask("20.0123456789abcdef")
    assert now() == 2
    assert reply is not None
    assert b'"weight":30' in reply


async def test_a_caller_from_before_a_restored_backup_gets_what_there_is_now(builders: Any) -> None:
    async def freshen() -> None:
        await asyncio.sleep(2)
        item = builders.service(9, stable=A, canary=(B, 30))
        restored.catalogue.list_services({"metadata": {"resourceVersion": "12"}, "items": [item]}, since=10)
        restored.discovery.publish()

    restored = Server(builders, freshen)
    reply = await restored.ask("9000.0123456789abcdef")
    assert reply is not None
    assert b'"version_info":"12.' in reply


async def test_a_router_that_rejects_an_update_is_sent_it_again_once_a_second(server: Server) -> None:
    await server.ask("5.old")
    await server.ask("5.old")
    assert now() == 1
    await server.ask("5.old")
    assert now() == 2
    assert server.answers("rejected") == 2


async def test_a_better_update_reaches_a_router_that_rejected_one_at_once(server: Server) -> None:
    await server.ask("5.old")
    question = server.ask("5.old")
    asyncio.get_running_loop().call_later(0.5, server.see, 11, 20)
    asyncio.get_running_loop().call_later(0.5, server.discovery.noticed)
    await question
    assert now() == pytest.approx(0.51)


async def test_questions_on_hold_are_answered_when_the_server_closes(server: Server) -> None:
    questions = [server.ask(server.version()), server.ask("20.0123456789abcdef")]
    asyncio.get_running_loop().call_later(3, server.discovery.close)
    assert await asyncio.gather(*questions) == [None, None]
    assert now() == 3
    assert await server.ask(server.version()) is None
    assert now() == 3
