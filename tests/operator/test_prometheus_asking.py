"""Prometheus asked over HTTP, by one that answers as its API says, or as a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from tidegate_operator.evidence.answers import LONGEST_BYTES, Answer, Number, Unanswered
from tidegate_operator.evidence.queries import Names
from tidegate_operator.install import Install
from tidegate_operator.process.prometheus import AT_ONCE, Prometheus

from .builders import A, B

NAMES = Names("ml", "churn", A, B)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def number(value: str) -> web.Response:
    sample = {"metric": {}, "value": [1764412345.678, value]}
    return web.json_response({"status": "success", "data": {"resultType": "vector", "result": [sample]}})


class Server:
    """An HTTP server at `/prometheus`, which remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, str], dict[str, str]]] = []
        self.handler: Handler = self.says_its_length
        self.url = ""

    async def says_its_length(self, request: web.Request) -> web.StreamResponse:
        return number(str(len(str((await request.post())["query"]))))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append((dict(request.query), form))
        return await self.handler(request)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found, app = Server(), web.Application()
    app.router.add_post("/prometheus/api/v1/query", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    found.url = f"http://{host}:{port}/prometheus"
    yield found
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as found:
        yield found


async def told(prometheus: Prometheus, *queries: str, window: object = 1, names: Names = NAMES) -> tuple[Answer, ...]:
    """What passes hear in the end, of which none waits."""
    async with asyncio.timeout(30):
        while (found := prometheus.answers(names, window, queries)) is None:  # noqa: ASYNC110 -- as passes look
            await asyncio.sleep(0.001)
    return found


async def test_every_query_gets_its_own_answer(server: Server, session: aiohttp.ClientSession) -> None:
    prometheus = Prometheus(session, Install(prometheus_url=server.url))
    assert await told(prometheus, "up", "up == 1") == (Number(2.0), Number(7.0))
    assert sorted(form["query"] for _, form in server.asked) == ["up", "up == 1"]
    assert {form["timeout"] for _, form in server.asked} == {"10s"}


async def test_a_window_is_asked_about_once_and_the_next_one_anew(
    server: Server, session: aiohttp.ClientSession
) -> None:
    prometheus = Prometheus(session, Install(prometheus_url=f"{server.url}/"))
    for window in (1, 1, 2, 2):
        await told(prometheus, "up", window=window)
    assert len(server.asked) == 2
    await told(prometheus, "down", window=2)
    assert len(server.asked) == 3


async def test_a_pass_never_waits_for_an_answer(server: Server, session: aiohttp.ClientSession) -> None:
    asked, answering = asyncio.Event(), asyncio.Event()

    async def hesitate(request: web.Request) -> web.StreamResponse:
        asked.set()
        await answering.wait()
        return number("1")

    server.handler = hesitate
    prometheus = Prometheus(session, Install(prometheus_url=server.url))
    assert prometheus.answers(NAMES, 1, ["up"]) is None
    await asked.wait()
    assert prometheus.answers(NAMES, 1, ["up"]) is None
    answering.set()
    assert await told(prometheus, "up") == (Number(1.0),)


async def test_a_prometheus_that_does_not_answer_is_given_up_with_a_reason(
    server: Server, session: aiohttp.ClientSession
) -> None:
    over = asyncio.Event()

    async def never(request: web.Request) -> web.StreamResponse:
        await over.wait()
        return number("1")

    server.handler = never
    prometheus = Prometheus(session, Install(prometheus_url=server.url), patience_seconds=0.05)
    assert await told(prometheus, "up") == (Unanswered("Prometheus didn't answer within 0.05 s"),)
    over.set()


async def test_a_prometheus_that_is_not_there_is_a_reason(session: aiohttp.ClientSession, unused_tcp_port: int) -> None:
    prometheus = Prometheus(session, Install(prometheus_url=f"http://127.0.0.1:{unused_tcp_port}"))
    assert await told(prometheus, "up") == (Unanswered("Prometheus can't be reached"),)


async def test_what_it_refuses_is_told_in_its_words(server: Server, session: aiohttp.ClientSession) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        error = {"status": "error", "errorType": "bad_data", "error": "1:5: parse error: unexpected end of input"}
        return web.json_response(error, status=400)

    server.handler = refuse
    (found,) = await told(Prometheus(session, Install(prometheus_url=server.url)), "sum(")
    assert found == Unanswered("Prometheus didn't take it: bad_data: 1:5: parse error: unexpected end of input")


async def test_nothing_is_followed_to_where_an_answer_points(server: Server, session: aiohttp.ClientSession) -> None:
    async def elsewhere(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"{server.url}/secret")

    server.handler = elsewhere
    assert await told(Prometheus(session, Install(prometheus_url=server.url)), "up") == (
        Unanswered("what answers with HTTP 302 is no Prometheus"),
    )


async def test_an_answer_without_an_end_is_cut(server: Server, session: aiohttp.ClientSession) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 4096)
        except ConnectionError:
            return response

    server.handler = endless
    (found,) = await told(Prometheus(session, Install(prometheus_url=server.url)), "up")
    assert isinstance(found, Unanswered)
    assert str(LONGEST_BYTES) in found.why


async def test_a_namespace_that_may_not_ask_asks_nothing(server: Server, session: aiohttp.ClientSession) -> None:
    install = Install(prometheus_url=server.url, prometheus_namespaces=("web",))
    (found,) = await told(Prometheus(session, install), "up")
    assert isinstance(found, Unanswered)
    assert "prometheus.namespaces" in found.why
    assert server.asked == []


async def test_an_install_without_prometheus_asks_nobody(session: aiohttp.ClientSession) -> None:
    (found,) = await told(Prometheus(session, Install()), "up")
    assert isinstance(found, Unanswered)
    assert "prometheus.url" in found.why


async def test_the_administrators_parameters_name_who_asks(server: Server, session: aiohttp.ClientSession) -> None:
    parameters = {"namespace": "{{namespace}}", "who": "tidegate/{{service}}"}
    prometheus = Prometheus(session, Install(prometheus_url=server.url, prometheus_parameters=parameters))
    await told(prometheus, "up")
    (asked,) = server.asked
    assert asked[0] == {"namespace": "ml", "who": "tidegate/churn"}


async def test_however_many_services_ask_few_queries_are_under_way(
    server: Server, session: aiohttp.ClientSession
) -> None:
    under_way, most, full, answering = 0, 0, asyncio.Event(), asyncio.Event()

    async def count(request: web.Request) -> web.StreamResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == AT_ONCE:
            full.set()
        await answering.wait()
        under_way -= 1
        return number("1")

    server.handler = count
    prometheus = Prometheus(session, Install(prometheus_url=server.url))
    services = [Names("ml", f"churn{index}", A, B) for index in range(3)]
    for names in services:
        assert prometheus.answers(names, 1, ["up"] * 10) is None
    await full.wait()
    answering.set()
    for names in services:
        assert await told(prometheus, *["up"] * 10, names=names) == (Number(1.0),) * 10
    assert (most, len(server.asked)) == (AT_ONCE, 30)


async def test_a_service_that_is_forgotten_is_asked_about_anew(server: Server, session: aiohttp.ClientSession) -> None:
    prometheus = Prometheus(session, Install(prometheus_url=server.url))
    await told(prometheus, "up")
    prometheus.forget("ml", "churn")
    prometheus.forget("ml", "churn")
    await told(prometheus, "up")
    assert len(server.asked) == 2
