"""Callers of the lab that send a request again when its connection broke, and say so."""

import asyncio
from typing import Any

import pytest

from lab.load import Load

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{"model_version": "one"}\n'


async def served(breaks: int, **told: Any) -> dict[str, Any]:
    """What two requests came to, of which the first `breaks` tries found a server that closes the connection."""
    left = breaks

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        while left == 0 and await reader.read(4096):
            writer.write(ANSWER)
        left = max(0, left - 1)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        load = Load({"url": f"http://127.0.0.1:{port}/", "body": {}, "count": 2, "concurrency": 1, **told})
        seen = await load.run()
        # What was closed is over with the loop's next turn.
        await asyncio.sleep(0)
        return seen


def test_a_request_whose_connection_broke_is_sent_again_and_counted_once() -> None:
    seen = asyncio.run(served(3, patience=30))
    assert (seen["failures"], seen["codes"], seen["versions"]) == (0, {"200": 2}, {"one": 2})
    assert seen["again"].total() == 3


def test_a_request_whose_connection_broke_is_lost_without_patience() -> None:
    seen = asyncio.run(served(1))
    assert (seen["failures"], seen["codes"]) == (1, {"200": 1})
    assert seen["again"].total() == 0


@pytest.mark.parametrize("patience", [0, 0.1])
def test_patience_ends(patience: float) -> None:
    assert asyncio.run(served(10_000, patience=patience))["failures"] == 2
