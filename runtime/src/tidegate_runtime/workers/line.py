"""One end of the line between a front end and the hub: records out, packets in, nothing ever waited for."""

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Final

from tidegate_runtime.model.child import messages, slab
from tidegate_runtime.workers.records import Kind, plain

logger = logging.getLogger(__name__)

PACKET_BYTES: Final = 32 * 1024
"""A packet that has so many takes no more records."""

LONGEST_BYTES: Final = PACKET_BYTES + 112 * 1024
"""A full packet's last record may have a description of `MAX_TEXT_BYTES`, `MOST_TOGETHER` requests and tensors."""


class Line:
    """Records that are put in one turn of the event loop go out together at its end, in their order."""

    def __init__(
        self, line: socket.socket, on_packet: Callable[[bytes, int | None], None], on_end: Callable[[], None]
    ) -> None:
        """`on_packet` gets each packet, and the descriptor that came with it, its own to close.

        `on_end` is called once when the peer is gone, or sends what can't be taken.
        """
        self._line = line
        self._on_packet = on_packet
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._records: list[bytes] = []
        self._bytes = 0
        self._asked = False
        self._waiting: deque[tuple[bytes, int | None]] = deque()
        self._emptied: asyncio.Future[None] | None = None
        self._closed = False
        line.setblocking(False)
        self._loop.add_reader(line.fileno(), self.read)

    def put(self, record: bytes) -> None:
        """Has a record sent at the end of this turn of the loop."""
        self._records.append(record)
        self._bytes += len(record)
        if self._bytes >= PACKET_BYTES:
            self.flush()
        elif not self._asked:
            self._asked = True
            self._loop.call_soon(self._turn_over)

    def put_soon(self, record: bytes) -> None:
        """Has a record sent, called from any thread and at any moment, such as when an array goes."""
        if get_ident() == self._thread:
            self._loop.call_soon(self.put, record)
        else:
            self._loop.call_soon_threadsafe(self.put, record)

    def put_with(self, record: bytes, descriptor: int) -> None:
        """Sends a record and a duplicate of `descriptor`, behind all that was put before."""
        self.flush()
        self._send(record, descriptor)

    def put_parcel(self, kind: Kind, number: int, content: bytes) -> None:
        """Sends what is too long for a packet, in memory of its own. Raises `OSError` if that can't be had."""
        memory, descriptor = slab.create(max(1, len(content)))
        try:
            memory.root[: len(content)] = memoryview(content)
            self.put_with(plain(kind, number, len(content)), descriptor)
        finally:
            os.close(descriptor)

    def flush(self) -> None:
        """Sends what was put."""
        if self._records:
            packet = b"".join(self._records) if len(self._records) > 1 else self._records[0]
            self._records.clear()
            self._bytes = 0
            self._send(packet, None)

    def close(self) -> None:
        """Sends and takes no more. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._line.fileno())
        self._loop.remove_writer(self._line.fileno())
        self._line.close()
        self._records.clear()
        for _, descriptor in self._waiting:
            if descriptor is not None:
                os.close(descriptor)
        self._waiting.clear()

    async def flushed(self) -> None:
        """Returns once all is sent."""
        self.flush()
        if self._waiting:
            self._emptied = self._loop.create_future()
            await self._emptied

    def _turn_over(self) -> None:
        self._asked = False
        self.flush()

    def _send(self, packet: bytes, descriptor: int | None) -> None:
        if self._closed:
            return
        if not self._waiting and self._sent(packet, descriptor):
            return
        self._waiting.append((packet, None if descriptor is None else os.dup(descriptor)))
        if len(self._waiting) == 1:
            self._loop.add_writer(self._line.fileno(), self._writable)

    def _sent(self, packet: bytes, descriptor: int | None) -> bool:
        """False if the peer has to read first. To one that is gone, which is told elsewhere, all is sent."""
        try:
            if descriptor is None:
                self._line.send(packet)
            else:
                messages.send_with(self._line, packet, descriptor)
        except BlockingIOError:
            return False
        except ConnectionError:
            pass
        return True

    def _writable(self) -> None:
        while self._waiting:
            packet, descriptor = self._waiting[0]
            if not self._sent(packet, descriptor):
                return
            self._waiting.popleft()
            if descriptor is not None:
                os.close(descriptor)
        self._loop.remove_writer(self._line.fileno())
        if self._emptied is not None:
            self._emptied.set_result(None)

    def read(self) -> bool:
        """Takes one packet. False if there is none, or the peer is gone."""
        # One packet a turn: a front end that sends much must not keep others from being read.
        try:
            packet, descriptor = messages.receive(self._line, LONGEST_BYTES)
        except BlockingIOError:
            return False
        except ValueError:  # Longer than any that either sends: of such a peer nothing more is taken.
            logger.exception("a packet can't be taken")
            packet, descriptor = b"", None
        if packet:
            self._on_packet(packet, descriptor)
        else:
            self._loop.remove_reader(self._line.fileno())
            self._on_end()
        return bool(packet)


def opened(descriptor: int, size: int) -> bytes:
    """What `put_parcel` sent; closes `descriptor`."""
    return slab.attach(descriptor).root[:size].tobytes()
