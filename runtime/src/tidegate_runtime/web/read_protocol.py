"""uvicorn's httptools protocol, which cuts off who doesn't read the answers: the transport would keep them for ever."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidegate_runtime.send_queue import queued_bytes
from tidegate_runtime.web.patience import STALL_SECONDS, reads


class ReadProtocol(HttpToolsProtocol):
    """One connection, which is cut off where what is written isn't read."""

    _stall: asyncio.TimerHandle | None = None
    _unread = 0
    """What the client had still to read when that was last looked at, while it is looked at."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the timer."""
        if self._stall is not None:
            self._stall.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client doesn't read as fast as it is answered; nothing more is written, until it does."""
        super().pause_writing()
        self.watch_reader()

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        if self._stall is not None and not self.transport.is_closing():
            self._stall.cancel()
            self._stall = None

    def watch_reader(self) -> None:
        """From here on the client has to read what was written; else the transport would keep it for ever.

        Nothing is written while it is looked at: writing is paused, or the transport is closing.
        """
        if self._stall is None and self.transport.get_write_buffer_size():
            self._unread = _unread(self.transport)
            self._stall = self.loop.call_later(STALL_SECONDS, self._look_at_reader)

    def _look_at_reader(self) -> None:
        self._stall = None
        if reads(self._unread, _unread(self.transport)):
            self.watch_reader()
        elif self.transport.get_write_buffer_size():
            self.transport.abort()


def _unread(transport: asyncio.Transport) -> int:
    """Bytes written that the client's side hasn't confirmed."""
    return transport.get_write_buffer_size() + queued_bytes(transport)
