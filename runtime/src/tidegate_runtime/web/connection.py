"""A connection of the data port: uvicorn's httptools protocol with bounds on size and time, and a polite way out.

uvicorn by itself waits for ever on half a request, takes heads of any size, and accepts HTTP/1.1 without `Host`.
"""

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Final

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_URL_BYTES: Final = 8 * 1024
MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100

FIRST_BYTE_SECONDS: Final = 5.0
HEAD_SECONDS: Final = 10.0
BODY_IDLE_SECONDS: Final = 30.0
KEEP_ALIVE_SECONDS: Final = 75
"""Longer than proxies keep idle connections (Envoy's default: 60 s), or one is reused that is just being closed."""


class Stage(Enum):
    """What the connection is reading."""

    IDLE = "between requests"
    HEAD = "a head"
    BODY = "a body"


class _Refused(Exception):
    """Stops the parser: the request's head was refused."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection. `draining` says whether each answer is to be the connection's last."""

    draining: Callable[[], bool] = staticmethod(lambda: False)

    _deadline: asyncio.TimerHandle | None = None
    _refusal: tuple[int, str] | None = None
    _stage = Stage.IDLE
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Gives the client 5 s for its first byte."""
        super().connection_made(transport)
        self._expect_within(FIRST_BYTE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the timer."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses; then bounds a head that isn't complete yet, and gives a body that goes on more time."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._stage is Stage.HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                status, what = (414, "URL") if len(self.url) > MAX_URL_BYTES else (431, "head")
                self._refuse(status, f"the request's {what} is too large")
                self.send_400_response("")
        elif self._stage is Stage.BODY and not self.cycle.response_complete:
            # A body that nobody reads any more, its answer being sent, gets no more time than it had.
            self._expect_within(BODY_IDLE_SECONDS)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._stage = Stage.HEAD
        self._head_bytes = 0
        self._expect_within(HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        """Refuses a head that is too large or incomplete; else lets uvicorn start the request."""
        self._check_head()
        self._stage = Stage.BODY
        self._expect_within(BODY_IDLE_SECONDS)
        super().on_headers_complete()
        if self.draining():
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The whole request is there: from here on the service's deadline counts."""
        self._stage = Stage.IDLE
        self._expect_nothing()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answers what the parser or a bound refused, and closes."""
        status, message = self._refusal or (400, "not a valid HTTP/1.1 request")
        body = orjson.dumps({"error": message})
        head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()

    def _check_head(self) -> None:
        size = sum(len(name) + len(value) for name, value in self.headers)
        if len(self.url) > MAX_URL_BYTES:
            self._refuse(414, f"the URL is over {MAX_URL_BYTES} bytes")
        elif size > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            self._refuse(431, f"the request's head is over {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers")
        elif self.parser.get_http_version() == "1.1" and sum(name == b"host" for name, _ in self.headers) != 1:
            self._refuse(400, "HTTP/1.1 needs one Host header")
        elif self.parser.get_method() == b"CONNECT":
            self._refuse(405, "this server is not a proxy")
        if self._refusal is not None:
            raise _Refused

    def _refuse(self, status: int, message: str) -> None:
        self._refusal = (status, message)

    def _expect_within(self, seconds: float) -> None:
        self._expect_nothing()
        self._deadline = self.loop.call_later(seconds, self._on_late)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_late(self) -> None:
        if self.transport.is_closing():
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        if self._stage is Stage.IDLE or (answering and self._stage is Stage.HEAD) or self._answer_began():
            self.transport.close()
        else:
            self._refuse(408, "the request did not arrive in time")
            self.send_400_response("")

    def _answer_began(self) -> bool:
        return self._stage is Stage.BODY and self.cycle.response_started


def protocol_class(draining: Callable[[], bool]) -> type[asyncio.Protocol]:
    """The class for uvicorn's `http=`, bound to the server's state."""

    class Connection(BoundedHttpProtocol):
        pass

    Connection.draining = staticmethod(draining)
    return Connection
