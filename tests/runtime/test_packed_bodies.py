"""What packed bodies hold: what was sent of them, until one after another is unpacked."""

import asyncio
import gzip
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import pytest
from starlette.requests import Request

from tidegate_runtime.errors import BodyTooLarge
from tidegate_runtime.protocol.compression import STEP_BYTES, Encoding, Inflater
from tidegate_runtime.web import unpacking
from tidegate_runtime.web.body import read_body
from tidegate_runtime.web.unpacking import PORTION_BYTES

BOMB_BYTES = 16 * STEP_BYTES
BOMB = gzip.compress(bytes(BOMB_BYTES))


def request(receive: Callable[[], Awaitable[Any]], client: tuple[str, int] | None = None) -> Request:
    return Request({"type": "http", "headers": [], "client": client}, receive)


def sent(body: bytes, client: tuple[str, int] | None = None) -> Request:
    """A request whose body comes in one piece."""

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return request(receive, client)


@contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


async def test_a_bomb_whose_last_byte_is_still_to_come_holds_no_more_than_what_was_sent() -> None:
    pieces = [BOMB[:5000], BOMB[5000:-1], BOMB[-1:]]
    held = 0

    async def receive() -> Any:
        nonlocal held
        held = tracemalloc.get_traced_memory()[0]
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    with traced():
        body = await read_body(request(receive), BOMB_BYTES, Encoding.GZIP)
    assert len(body) == BOMB_BYTES
    assert held < 4 * len(BOMB) < STEP_BYTES


async def test_of_bombs_that_come_together_only_one_grows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: WeakSet[Inflater] = WeakSet()
    grown: list[int] = []

    class Watched(Inflater):
        def __init__(self, encoding: Encoding, limit: int) -> None:
            super().__init__(encoding, limit)
            at_work.add(self)

        def feed(self, data: bytes) -> bytes:
            rest = super().feed(data)
            grown.append(sum(len(one.body) > STEP_BYTES for one in at_work))
            return rest

    monkeypatch.setattr(unpacking, "Inflater", Watched)
    bodies = await asyncio.gather(*(read_body(sent(BOMB), BOMB_BYTES, Encoding.GZIP) for _ in range(3)))
    assert [len(body) for body in bodies] == [BOMB_BYTES] * 3
    assert max(grown) == 1


async def test_a_short_body_does_not_wait_behind_bombs() -> None:
    ended: list[str] = []

    async def read(name: str, body: bytes) -> None:
        await read_body(sent(body), BOMB_BYTES, Encoding.GZIP)
        ended.append(name)

    await asyncio.gather(read("bomb", BOMB), read("bomb", BOMB), read("short", gzip.compress(b"{}")))
    assert ended == ["short", "bomb", "bomb"]


async def test_bombs_of_one_host_do_not_keep_anothers_long_body_waiting_behind_all_of_them() -> None:
    ended: list[str] = []

    async def read(name: str, client: tuple[str, int]) -> None:
        await read_body(sent(BOMB, client), BOMB_BYTES, Encoding.GZIP)
        ended.append(name)

    bombs = [read("bomb", ("192.0.2.1", 50_000 + port)) for port in range(6)]
    await asyncio.gather(*bombs, read("other", ("192.0.2.2", 50_000)))
    assert ended.index("other") <= 2


async def test_while_a_bomb_is_unpacked_the_loop_has_its_turn_after_each_step() -> None:
    reading = asyncio.create_task(read_body(sent(BOMB), BOMB_BYTES, Encoding.GZIP))
    turns = 0
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= BOMB_BYTES // STEP_BYTES


async def test_a_bomb_that_is_refused_lets_the_next_one_in() -> None:
    with pytest.raises(BodyTooLarge, match="unpacked body is over the limit"):
        await read_body(sent(BOMB), BOMB_BYTES - 1, Encoding.GZIP)
    assert len(await read_body(sent(BOMB), BOMB_BYTES, Encoding.GZIP)) == BOMB_BYTES


@pytest.mark.parametrize("size", [PORTION_BYTES - 30, PORTION_BYTES, 3 * PORTION_BYTES, 3 * STEP_BYTES])
async def test_what_hardly_packs_unpacks_to_the_same(size: int) -> None:
    content = gzip.compress(bytes(size), compresslevel=0)
    assert await read_body(sent(content), 4 * STEP_BYTES, Encoding.GZIP) == bytes(size)
