"""The hot way with tenants: who is let in goes it, each request is asked anew, and who isn't leaves it by the head."""

import asyncio
import json

import pytest

from tidegate_runtime.access.guard import Guard
from tidegate_runtime.access.tenants import read_tenants
from tidegate_runtime.web.hot_call import HotCall

from .test_connection_bounds import Connected
from .tokens import document, tenant

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}).encode()


class World:
    """A connection to a server with tenants, in the year 2026."""

    def __init__(self) -> None:
        self.wall = 1_767_225_600.0
        tenants = read_tenants(
            document(
                tenant("a", "good", expires="2026-01-01T00:00:10Z"),
                tenant("b", "others", models=["n"]),
                tenant("c", "slow", requestsPerSecond=0.5, burst=1),
            )
        )
        self.guard = Guard(tenants, asyncio.get_running_loop().time, lambda: self.wall)
        self.connection = Connected(served=True, guard=self.guard)

    async def ask(self, token: str, model: str = "m") -> tuple[int, bool]:
        """The answer's status, and whether it went the hot way."""
        head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n"
        self.connection.transport.written = b""
        self.connection.receive(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
        hot = isinstance(self.connection.protocol.cycle, HotCall)
        await asyncio.sleep(1)
        ((status, _),) = self.connection.answers()
        return status, hot


async def test_who_is_let_in_goes_the_hot_way_and_others_leave_it() -> None:
    world = World()
    asked = [await world.ask(token) for token in ("good", "good", "good", "wrong", "others", "good")]
    assert asked == [(200, True)] * 3 + [(401, False), (403, False), (200, True)]
    assert world.connection.metrics.codes == {200: 4, 401: 1, 403: 1}


async def test_a_head_that_repeats_is_asked_for_its_token_each_time() -> None:
    world = World()
    assert [await world.ask("good") for _ in range(3)] == [(200, True)] * 3
    world.wall += 10
    assert [await world.ask("good") for _ in range(2)] == [(401, True)] * 2
    world.wall -= 10
    assert await world.ask("good") == (200, True)
    world.guard.replace(read_tenants(document(tenant("a", "new"))))
    assert await world.ask("good") == (401, True)
    assert await world.ask("new") == (200, True)


async def test_row_34_beyond_the_rate_is_refused_on_the_hot_way_and_recovers() -> None:
    world = World()
    # Each takes a second; one in two is let in.
    assert [await world.ask("slow") for _ in range(6)] == [(200, True), (429, True)] * 3
    assert world.connection.metrics.refused["TenantRate"] == 3
    assert world.connection.metrics.codes == {200: 3, 429: 3}


@pytest.mark.parametrize("model", ["m", "nobodys"])
async def test_row_35_a_model_that_there_is_goes_no_other_way_than_one_that_there_is_not(model: str) -> None:
    world = World()
    assert await world.ask("others", model) == (403, False)


async def test_a_body_that_comes_in_pieces_is_refused_before_it_is_read() -> None:
    world = World()
    head = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n"
    world.connection.receive(head)
    await asyncio.sleep(0.1)
    assert world.connection.status == 401
