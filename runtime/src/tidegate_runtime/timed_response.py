"""An HTTP answer that is over in time, however slowly it comes: `http.client` bounds each read of its socket alone."""

import io
import socket
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPResponse
from time import monotonic
from typing import Any

LateAt = Callable[[float, int, float], float]
"""When an answer is late that was asked for at a time, and of which so many bytes have come by now."""


class TimedResponse(HTTPResponse):
    """Its head and its body end with `TimeoutError` when they are late. What its socket may take is for all of it."""

    def __init__(self, sock: socket.socket, *args: Any, **keywords: Any) -> None:
        super().__init__(sock, *args, **keywords)
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock, self.rule(sock.gettimeout())))

    @staticmethod
    def rule(seconds: float | None) -> LateAt:
        """When it is late; a read of its socket may take so many `seconds`, None being for ever."""
        limit = float("inf") if seconds is None else seconds
        return lambda began, received, now: began + limit


class _Timed(io.RawIOBase):
    """What comes from a socket until it is late."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, late_at: LateAt) -> None:
        self._raw, self._sock, self._late_at = raw, sock, late_at
        self._seconds = sock.gettimeout()
        self._began, self._received = monotonic(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        now = monotonic()
        left = self._late_at(self._began, self._received, now) - now
        if left > 0:
            self._sock.settimeout(None if left == float("inf") else left)
            with suppress(TimeoutError):
                count = self._raw.readinto(buffer)
                self._received += count or 0
                return count
        raise TimeoutError("it came too slowly, or not at all")

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
            with suppress(OSError):  # It may be another answer's next, or closed.
                self._sock.settimeout(self._seconds)
        super().close()
