"""One client's connection: bytes between the socket and the HTTP/2 session, events to calls, and bounds in time.

Framing, header compression, flow control and the answers to floods are libnghttp2's.
"""

import asyncio
import logging
from collections.abc import Hashable
from typing import Any, Final

from tidegate_nghttp2 import (
    CLOSED,
    DATA,
    END,
    ENHANCE_YOUR_CALM,
    HEAD,
    NO_ERROR,
    PONG,
    PeerFault,
    Session,
)
from tidegate_runtime.ageing import ageing
from tidegate_runtime.errors import NotServed, Overloaded
from tidegate_runtime.rpc import http2_wire as wire
from tidegate_runtime.rpc.call import Status, status_of
from tidegate_runtime.rpc.http2_bounds import (
    LIMITS,
    NOTICE_SECONDS,
    PULL_BYTES,
    STREAM_UNSENT_BYTES,
    STREAM_WINDOW,
)
from tidegate_runtime.rpc.http2_call import HttpCall
from tidegate_runtime.rpc.http2_calls import call_of
from tidegate_runtime.rpc.http2_credit import Credit
from tidegate_runtime.rpc.http2_patience import REQUEST_BYTES, REQUEST_IDLE_SECONDS, Patience, Step
from tidegate_runtime.rpc.http2_shared import Shared
from tidegate_runtime.rpc.room import Room, room_bytes
from tidegate_runtime.send_queue import queued_bytes

logger = logging.getLogger(__name__)

_LATE: Final = Status(
    "DEADLINE_EXCEEDED", f"less than {REQUEST_BYTES} bytes of the request came in {REQUEST_IDLE_SECONDS:.0f} s"
)
_HEAD_TOO_LARGE: Final = Status("RESOURCE_EXHAUSTED", f"metadata over {LIMITS.max_head_bytes} bytes; send less")


class Connection(asyncio.Protocol):
    """Serves calls until the client leaves, breaks the protocol, or `leave` was called and they are answered."""

    stream_window = STREAM_WINDOW

    def __init__(self, shared: Shared) -> None:
        self.clock = shared.clock
        self.loop = asyncio.get_running_loop()
        self.max_message_bytes = shared.max_message_bytes
        self._shared = shared
        self._session = Session(shared.scratch, LIMITS)
        self.credit = Credit(shared.max_message_bytes, self.consume)
        self.unpacking = shared.unpacking
        self.room = Room(room_bytes(shared.max_message_bytes))
        self._calls: dict[int, HttpCall] = {}
        self._writers: dict[int, asyncio.Future[None]] = {}
        self._transport: asyncio.Transport
        self.peer: Hashable = None
        self._paused = False
        self._flushing = False
        self._leaving = False
        self._going = False
        self._patience = Patience(self.clock(), ageing())

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Sends the settings."""
        self._transport = transport
        self.peer = transport.get_extra_info("peername")
        self._shared.connections.add(self)
        ssl = transport.get_extra_info("ssl_object")
        if ssl is not None and ssl.selected_alpn_protocol() != "h2":
            transport.abort()
            return
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels what nobody waits for any more."""
        self._shared.closed(self)
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.cancel()
        self._writers.clear()

    def data_received(self, data: bytes) -> None:
        """All that was read at once is handled before anything is written, so that it is one write."""
        self._patience.heard = True
        self._flushing = True
        try:
            for kind, stream, detail in self._session.receive(data):
                self._on_event(kind, stream, detail)
        except PeerFault as fault:
            if fault.flood:
                self._session.goaway(ENHANCE_YOUR_CALM)
            self._flush()
            self._transport.close()
            return
        self._flush()

    def pause_writing(self) -> None:
        """The socket is full: what is to be sent stays in the session."""
        self._paused = True

    def resume_writing(self) -> None:
        """It isn't any more."""
        self._paused = False
        self._flush()

    def answer(self, call: HttpCall, message: bytes) -> None:
        """Ends the call with its one message."""
        if self._calls.pop(call.stream, None) is not None:
            try:
                self._session.answer(call.stream, wire.HEAD, message, wire.OK)
            except Exception:
                self._give_up()
            if self._calls:
                self._flush_soon()
            elif not self._flushing:  # No other answer of this connection can come with it.
                self._flush()

    def finish(self, call: HttpCall, status: Status) -> None:
        """Ends the call, if it isn't over."""
        if self._calls.pop(call.stream, None) is None:
            return
        self.credit.give_back(call.stream)
        try:
            if call.began:
                self._session.finish(call.stream, _trailers(status))
            else:
                self._session.refuse(call.stream, wire.HEAD + _trailers(status))
        except Exception:
            self._give_up()
        self._flush_soon()

    def refuse(self, call: HttpCall, status: Status) -> None:
        """Ends a call whose method never had it."""
        call.cancel()
        self.finish(call, status)
        self._shared.on_refused(call.path, call.metadata, status.code)

    async def send(self, call: HttpCall, message: bytes) -> None:
        """Sends one of the call's messages; returns when there is room for the next."""
        if not call.began:
            call.began = True
            self._session.head(call.stream, wire.HEAD)
        self._session.message(call.stream, message)
        self._flush_soon()
        if self._session.unsent_of(call.stream) > STREAM_UNSENT_BYTES:
            room = self._writers[call.stream] = self.loop.create_future()
            await room

    def consume(self, stream: int, size: int) -> None:
        """Lets the client send so many bytes more."""
        self._session.consume(stream, size)
        self._flush_soon()

    def leave(self) -> None:
        """Sends the client elsewhere: calls that it has begun are answered, then the connection closes."""
        if self._leaving or self._transport.is_closing():
            return
        self._leaving = True
        self._session.notice()
        self._session.ping()
        self.loop.call_later(NOTICE_SECONDS, self._go)
        self._flush()

    def abort(self) -> None:
        """Ends it at once."""
        self._transport.abort()

    def sweep(self, now: float) -> None:
        """Ends, every few seconds, what takes too long."""
        if self._patience.look_at_requests(now):
            self._drop_late_requests()
        session = self._session
        held = self._paused or session.unsent > 0
        delivered = session.delivered - (queued_bytes(self._transport) if held else 0)
        oldest = self._shared.oldest_seconds()
        step = self._patience.step(now, busy=bool(self._calls), held=held, delivered=delivered, oldest_seconds=oldest)
        if step is Step.ABORT:
            self.abort()
        elif step is Step.LEAVE:
            self.leave()
        elif step is Step.PING:
            session.ping()
            self._flush()

    def _drop_late_requests(self) -> None:
        for call in [call for call in self._calls.values() if call.reading and not call.patient]:
            if call.heard < REQUEST_BYTES:
                self.refuse(call, _LATE)
            call.heard = 0

    def _on_event(self, kind: int, stream: int, detail: Any) -> None:
        if kind == HEAD:
            self._begin(stream, detail)
        elif kind == PONG:
            if self._leaving:
                self._go()
        elif (call := self._calls.get(stream)) is not None:
            if kind == CLOSED:
                del self._calls[stream]
                self._writers.pop(stream, None)
                call.cancel()
                return
            try:
                if kind == DATA:
                    call.data(detail)
                elif kind == END:
                    call.end()
            except Exception as error:
                self.refuse(call, status_of(error))

    def _begin(self, stream: int, text: bytes | None) -> None:
        if text is None:
            self._session.refuse(stream, wire.HEAD + _trailers(_HEAD_TOO_LARGE))
            return
        head = None
        try:
            head = self._shared.heads.read(text)
            method = self._shared.table.get(head.path)
            if method is None:
                raise NotServed("no such method")
            if self._shared.authenticate is not None and not method.public:
                self._shared.authenticate(head.metadata)
            wire.check_encoding(head.encoding)
            if self._session.unsent > self._shared.max_unsent_bytes:
                raise Overloaded("answers of this connection wait to be read; read them, then try again")
            deadline = None if head.timeout is None else self.clock() + wire.seconds_of(head.timeout)
            self._calls[stream] = call_of(self, stream, head, deadline, method)
        except wire.NotGrpc as refusal:
            self._session.refuse(stream, refusal.head, refusal.body)
        except Exception as error:
            status = status_of(error)
            self._session.refuse(stream, wire.HEAD + _trailers(status))
            if head is not None:
                self._shared.on_refused(head.path, head.metadata, status.code)

    def _give_up(self) -> None:
        """Who delivers an answer serves other connections, too: what goes wrong here ends this one alone."""
        logger.exception("connection given up")
        self._transport.abort()

    def _go(self) -> None:
        if not self._going and not self._transport.is_closing():
            self._going = True
            self._session.goaway(NO_ERROR)
            self._flush_soon()

    def _flush_soon(self) -> None:
        """Writes once this turn of the loop is over, so that a batch's answers go together."""
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._transport.is_closing():
            return
        try:
            while not self._paused:
                data, events = self._session.pull(PULL_BYTES)
                for kind, stream, detail in events:
                    self._on_event(kind, stream, detail)
                if data:
                    self._transport.write(data)
                if len(data) < PULL_BYTES:
                    break
        except PeerFault:
            self._transport.abort()
            return
        if self._writers:
            self._wake_writers()
        if self._session.over and not self._paused:
            self._transport.close()

    def _wake_writers(self) -> None:
        for stream, room in list(self._writers.items()):
            if self._session.unsent_of(stream) <= STREAM_UNSENT_BYTES:
                del self._writers[stream]
                if not room.done():
                    room.set_result(None)


def _trailers(status: Status) -> bytes:
    return wire.trailers(status.code, status.message, status.trailers)
