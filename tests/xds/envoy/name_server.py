"""A name server for an Envoy."""

import asyncio
import struct
from typing import Any


class Resolver(asyncio.DatagramProtocol):
    """A name server with a few A records; everything else doesn't exist."""

    def __init__(self, records: dict[str, str]) -> None:
        self._records = records
        self._transport: Any = None

    @classmethod
    async def start(cls, records: dict[str, str]) -> "Resolver":
        loop = asyncio.get_running_loop()
        _, resolver = await loop.create_datagram_endpoint(lambda: cls(records), ("127.0.0.1", 0))
        return resolver

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._transport.get_extra_info("sockname")
        return host, port

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        question = data[12 : at + 5]
        wants_address = struct.unpack("!H", data[at + 1 : at + 3])[0] == 1
        known = self._records.get(".".join(labels))
        answer = b""
        if known and wants_address:
            answer = b"\xc0\x0c" + struct.pack("!HHIH4B", 1, 1, 5, 4, *map(int, known.split(".")))
        flags = 0x8180 if known else 0x8183
        head = data[:2] + struct.pack("!HHHHH", flags, 1, bool(answer), 0, 0)
        self._transport.sendto(head + question + answer, addr)
