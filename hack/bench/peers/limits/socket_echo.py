"""A ready answer to whatever comes, by uvloop alone: what the kernel and an event loop cost, and nothing else.

A request is taken to come in one piece, so it serves the small bodies only.
"""

import asyncio
import os
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 16\r\n\r\n" + bytes(16)


class Answering(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps what is written to."""
        # uvloop's is one in all but its class.
        self._write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        """Answers."""
        self._write(ANSWER)


async def main() -> None:
    """Serves for ever."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answering, "127.0.0.1", int(os.environ["BENCH_PORT"]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
