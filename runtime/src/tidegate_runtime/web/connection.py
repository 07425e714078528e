"""A connection of the data port: uvicorn's httptools protocol with bounds on size, time and pipelining.

uvicorn by itself waits for ever on half a request, takes heads of any size, accepts HTTP/1.1 without `Host`, and
answers a malformed second request before the first one.
"""

import asyncio
import math
from collections.abc import Callable
from enum import Enum
from typing import Final

import httptools
import orjson

from tidegate_runtime.ageing import ageing
from tidegate_runtime.web.head_bounds import MAX_HEAD_BYTES, MAX_URL_BYTES, OFFER, Refusal, parsed_bytes, refusal_of
from tidegate_runtime.web.patience import body_late_at
from tidegate_runtime.web.read_protocol import ReadProtocol
from tidegate_runtime.web.reply import reply
from tidegate_runtime.web.upgrade import without_offer

MAX_PIPELINED: Final = 16
"""Requests that wait on a connection for the one in progress; the connection ends after them."""

FIRST_BYTE_SECONDS: Final = 5.0
HEAD_SECONDS: Final = 10.0
KEEP_ALIVE_SECONDS: Final = 75
"""Longer than proxies keep idle connections (Envoy's default: 60 s), or one is reused that is just being closed."""


class Stage(Enum):
    """What the connection is reading."""

    IDLE = "between requests"
    HEAD = "a head"
    BODY = "a body"


class _Refused(Exception):
    """Stops the parser: the request's head was refused."""


class BoundedHttpProtocol(ReadProtocol):
    """One connection. `draining` says whether each answer is to be its connection's last."""

    draining: Callable[[], bool] = staticmethod(lambda: False)

    _refusal: Refusal | None = None
    _offered = False
    """Whether what was refused is an offer to upgrade, and nothing else."""
    _stage = Stage.IDLE
    _head_bytes = 0
    _body_bytes = 0
    _unheard_bytes = 0
    """Around the body, since its last piece."""
    _heard = False
    _behind = False
    """Whether the latest read had a head's end or a piece of a body, or a request's end."""
    _body_began = 0.0
    _deaf = False
    """Whether what still comes is ignored: the connection ends with the answers that are pending."""
    _timer: asyncio.TimerHandle | None = None
    _late_at = math.inf
    _parting = False
    """Whether the next answer is the connection's last."""
    _began = 0.0
    _ageing = 1.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Gives the client 5 s for its first byte."""
        super().connection_made(transport)
        self._began, self._ageing = self.loop.time(), ageing()
        self._expect_within(FIRST_BYTE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the timer."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses; then bounds a head that isn't complete yet, and gives a body that goes on more time."""
        if self._deaf:
            return
        self._behind = self._heard = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # Without a body, the offer is ignored.
        except httptools.HttpParserError:
            self._on_refused(data)
            return
        if self._stage is Stage.IDLE or self._deaf or self.transport.is_closing():
            return
        if self._stage is Stage.HEAD:
            self._on_half_a_head(len(data))
        else:
            self._on_half_a_body(len(data))

    def _on_half_a_head(self, read: int) -> None:
        """The head isn't complete after a read of so many bytes."""
        if self._head_bytes == 0:
            self._expect_within(HEAD_SECONDS)
        # Of a read that began with other requests only what was parsed of this one is surely its own.
        self._head_bytes += 1 + parsed_bytes(self.url, self.headers) if self._behind else read
        if self._head_bytes > MAX_HEAD_BYTES:
            status, what = (414, "URL") if len(self.url) > MAX_URL_BYTES else (431, "head")
            self._refuse(status, f"the request's {what} is too large")
            self.send_400_response("")

    def _on_half_a_body(self, read: int) -> None:
        """The body isn't complete after a read of so many bytes."""
        # A chunk's head or a trailer that goes on and on is kept by the parser, and looked at by nobody.
        self._unheard_bytes = 0 if self._heard else self._unheard_bytes + read
        if self._unheard_bytes > MAX_HEAD_BYTES:
            self._refuse(431, "what stands around the request's body is too large")
            self.send_400_response("")
        elif not self.cycle.response_complete:
            # A body that nobody reads any more, its answer being sent, gets no more time than it had.
            now = self.loop.time()
            if not self._body_bytes:
                self._body_began = now
            self._body_bytes += read
            self._expect_within(body_late_at(self._body_began, self._body_bytes, now) - now)

    def part_if_old(self, oldest_seconds: float) -> None:
        """Has the next answer be the connection's last if it is older than about that."""
        if (self.loop.time() - self._began) * self._ageing > oldest_seconds:
            self._parting = True

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._stage = Stage.HEAD
        self._head_bytes = self._body_bytes = self._unheard_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head. Of trailers nothing is kept, or they would be taken for the head's."""
        if self._stage is not Stage.BODY:
            super().on_header(name, value)
            return
        self._unheard_bytes += len(name) + len(value)
        if self._unheard_bytes > MAX_HEAD_BYTES:
            self._refuse(431, "the request's trailers are too large")
            raise _Refused

    def on_headers_complete(self) -> None:
        """Refuses a head that is too large or incomplete; else lets uvicorn start the request."""
        self._refusal = refusal_of(self.url, self.headers, self.parser)
        if self._refusal is None and len(self.pipeline) >= MAX_PIPELINED:
            self._refusal = (400, f"more than {MAX_PIPELINED} requests wait on this connection")
        if self._refusal is not None:
            self._offered = self._refusal is OFFER
            raise _Refused
        super().on_headers_complete()
        # Not before: what uvicorn refuses is no request that could be taken from those that wait.
        self._stage = Stage.BODY
        self._heard = True
        if self._parting or self.draining():
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._heard = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The whole request is there: from here on the service's deadline counts."""
        self._behind = True
        self._stage = Stage.IDLE
        self._late_at = math.inf
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is out: the next request that waits is begun, or the connection is idle.

        In place of uvicorn's own, which makes and cancels a timer for each request.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.watch_reader()
            return
        if self.pipeline:
            self.flow.resume_reading()
            self._start_asgi_task(*self.pipeline.pop())
        elif self._deaf:
            self._close()
        else:
            self.flow.resume_reading()
            if self._stage is Stage.IDLE:
                self._expect_within(KEEP_ALIVE_SECONDS)

    def on_answered(self, late_at: float) -> None:
        """`on_response_complete` for an answer after which the connection mostly is idle, until `late_at`."""
        if self.pipeline or self._deaf or self.flow.read_paused or self._timer is None or self.transport.is_closing():
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        if self._stage is Stage.IDLE:
            self._late_at = late_at

    def send_400_response(self, msg: str) -> None:
        """Answers what the parser or a bound refused, and closes; but not before what was asked earlier is answered.

        A refusal that overtook an earlier answer would be taken for it. So then the connection just ends after that.
        """
        if self._answers_pending():
            self._go_deaf()
            return
        if self._stage is Stage.BODY and self.cycle.response_complete:
            self._close()  # It has its answer.
            return
        status, message = self._refusal or (400, "not a valid HTTP/1.1 request")
        body = orjson.dumps({"error": message})
        self.transport.write(b"".join(reply(status, [(b"content-type", b"application/json")], [body], close=True)))
        self._close()

    def _go_deaf(self) -> None:
        """The connection ends with the answers that are pending."""
        self._deaf = True
        self.flow.pause_reading()

    def _answers_pending(self) -> bool:
        """Whether requests before the one being read wait for their answers; the one being read is forgotten then."""
        if self._stage is not Stage.BODY:
            return self.cycle is not None and not self.cycle.response_complete
        if self.pipeline:
            self.pipeline.popleft()
            return True
        return False

    def _on_refused(self, data: bytes) -> None:
        """Answers what the parser refused; but a mere offer to upgrade is passed over, where that can be done."""
        if self._offered:
            self._offered = False
            rest = without_offer(data, self.url, self.headers)
            if rest is not None:
                self._refusal = None
                self._stage = Stage.IDLE
                self.parser = httptools.HttpRequestParser(self)
                self.data_received(rest)
                return
        self.send_400_response("")

    def _refuse(self, status: int, message: str) -> None:
        self._refusal = (status, message)

    def _expect_within(self, seconds: float) -> None:
        """Sets when the client is late. The timer is left alone where it fires earlier: it looks again then."""
        self._late_at = late_at = self.loop.time() + seconds
        if self._timer is None or self._timer.when() > late_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_at(late_at, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.loop.time() >= self._late_at:
            self._on_late()
        elif self._late_at < math.inf:
            self._timer = self.loop.call_at(self._late_at, self._look)

    def _on_late(self) -> None:
        if self.transport.is_closing() or self._deaf:
            return
        if self._stage is not Stage.IDLE and self.flow.read_paused:
            self._expect_within(HEAD_SECONDS)  # It is this server that doesn't read: it answers what came before.
        elif self._stage is Stage.IDLE or self._answer_began():
            self._close()
        elif self._stage is Stage.HEAD and self.cycle is not None and not self.cycle.response_complete:
            self._go_deaf()
        else:
            self._refuse(408, "the request did not arrive in time")
            self.send_400_response("")

    def _answer_began(self) -> bool:
        return self._stage is Stage.BODY and bool(self.cycle.response_started)

    def _close(self) -> None:
        self.transport.close()
        self.watch_reader()


def bounded_class(draining: Callable[[], bool]) -> type[asyncio.Protocol]:
    """The class for uvicorn's `http=` of a port whose application answers everything."""
    return type("Connection", (BoundedHttpProtocol,), {"draining": staticmethod(draining)})
