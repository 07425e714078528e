"""A client of the HTTP port: kept connections, requests one by one or pipelined, and some that nobody waits for."""

import asyncio
import contextlib
import socket
import struct
from random import Random
from typing import Final

from soak.exchanges import Answer, Exchange, make
from soak.tally import Tally

WAIT_SECONDS: Final = 60.0
"""An answer that takes longer is a hang."""

PIPELINED: Final = 0.15
LEAVING: Final = 0.02
"""How often a turn is several requests at once, or one whose client leaves."""


async def client(port: int, tally: Tally, number: int) -> None:
    """Asks until there is nothing more to ask."""
    random = tally.random(number)
    connection: Connection | None = None
    while not tally.over:
        if connection is None:
            connection = await Connection.open(port)
        which = random.random()
        if which < LEAVING:
            await connection.leave(make(random, tally.next()), random, tally)
            connection = None
        else:
            many = random.randrange(2, 9) if which < LEAVING + PIPELINED else 1
            if not await connection.ask([make(random, tally.next()) for _ in range(many)], tally):
                connection.close()
                connection = None
    if connection is not None:
        connection.close()


class Connection:
    """One."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """A new one."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def close(self) -> None:
        """Leaves in an orderly way."""
        self._writer.close()

    async def ask(self, exchanges: list[Exchange], tally: Tally) -> bool:
        """Sends them at once and judges the answers; whether the connection can go on."""
        self._writer.write(b"".join(exchange.sent for exchange in exchanges))
        for index, exchange in enumerate(exchanges):
            kind = exchange.kind if len(exchanges) == 1 else f"pipelined {exchange.kind}"
            try:
                answer = await asyncio.wait_for(self._answer(), WAIT_SECONDS)
            except (OSError, EOFError, ValueError, TimeoutError) as error:
                for lost in exchanges[index:]:
                    tally.fault(kind, lost.sent, repr(error))
                return False
            if answer.status == 429:
                tally.refused[kind] += 1
            elif _right(exchange, answer):
                tally.good[kind] += 1
            else:
                tally.fault(kind, exchange.sent, answer)
            if answer.headers.get("connection") == "close":
                tally.fault(kind, "a request among others", "connection: close")
                return False
        return True

    async def leave(self, exchange: Exchange, random: Random, tally: Tally) -> None:
        """Sends it, or some of it, and is gone: with FIN or with RST, before the answer or within."""
        cut = random.randrange(1, len(exchange.sent) + 1)
        self._writer.write(exchange.sent[:cut] if random.random() < 0.5 else exchange.sent)
        with contextlib.suppress(OSError):
            await self._writer.drain()
        reset = random.random() < 0.5
        if random.random() < 0.5:
            await asyncio.sleep(random.random() * 0.002)
        if reset:
            raw = self._writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.close()
        tally.left["RST" if reset else "FIN"] += 1

    async def _answer(self) -> Answer:
        status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[:-2]:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        body = await self._reader.readexactly(int(headers["content-length"]))
        return Answer(int(status.split()[1]), headers, body)


def _right(exchange: Exchange, answer: Answer) -> bool:
    try:
        return exchange.right(answer)
    except (ValueError, KeyError, TypeError):
        return False
