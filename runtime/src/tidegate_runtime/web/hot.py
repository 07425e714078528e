"""The hot way: infer requests of the common form, answered by the connection itself, below ASGI.

Which way a request goes is decided once, when its head is complete; in doubt it is the cold one, which serves
everything. Both use the same service, codecs, faults and counts; docs/runtime.md has the way of a request.
"""

import asyncio
from functools import partial
from math import inf
from typing import Any, cast

from tidegate_runtime.protocol.plain import TOGETHER_BYTES, Layout, Plain
from tidegate_runtime.service import Service
from tidegate_runtime.web.connection import BoundedHttpProtocol, Stage
from tidegate_runtime.web.head import Head, Pattern, common_head, pattern_of
from tidegate_runtime.web.hot_call import HotCall
from tidegate_runtime.web.message_call import MESSAGE_PATH, MessageCall, MessageHead, Messages, message_head
from tidegate_runtime.web.turn import HttpTurn
from tidegate_runtime.web.whole_pattern import WholePattern, whole_pattern


class HotConnection(BoundedHttpProtocol):
    """A connection that answers hot requests itself and hands the others to the ASGI application."""

    service: Service
    turn: HttpTurn

    messages: Messages | None = None
    """What takes messages; None: they go the cold way."""

    _hot: HotCall | MessageCall | None = None
    """The hot request whose body is being read."""
    _call: HotCall | MessageCall | None = None
    _arrived = b""
    """What came last, if it began with a request's first byte."""
    _pattern: Pattern[Head | MessageHead] | None = None
    """Of the last hot request that came in one piece. Nothing is kept that another connection could meet."""
    _whole: WholePattern | None = None
    """Of the last two that were alike but for their numbers."""
    _layout: Layout | None = None
    """Of the last one that was none of those."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Takes the request of a client that left out of the queue."""
        call = self._call
        if call is not None:
            call.lost(reading=self._hot is call)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses, unless this is a whole request whose head repeats this connection's last but for the length."""
        if self._stage is not Stage.IDLE:
            self._arrived = b""
        else:
            whole, pattern = self._whole, self._pattern
            if whole is not None:
                found = whole.found(data)
                if found is not None and self._may_go_on(whole.head):
                    call = self._begin(whole.head)
                    body, numbers = found
                    call.body, call.known = data[body:], (whole.layout, numbers)
                    self._late_at = inf
                    call.arrive()
                    return
            if pattern is not None:
                body = pattern.body_at(data)
                if body and self._may_go_on(pattern.head):
                    call = self._begin(pattern.head)
                    call.body = data[body:]
                    self._late_at = inf
                    call.arrive()
                    return
            self._arrived = data
        super().data_received(data)
        # A connection may be idle for long: it doesn't hold what came last meanwhile.
        self._arrived = b""

    def part_if_old(self, oldest_seconds: float) -> None:
        """Has the next request, which would go the hot way, go the cold one, whose answers can be the last."""
        super().part_if_old(oldest_seconds)
        if self._parting:
            self._pattern = self._whole = None

    def on_known(self, form: Plain, layout: Layout) -> None:
        """The request that was begun last is of this layout; so the next may be known by its bytes as a whole."""
        pattern, call = self._pattern, self._call
        if layout is not self._layout:
            # Where a client's requests take turns, none is worth it.
            self._layout = layout
        elif pattern is not None and call is not None and pattern.head is call.head and isinstance(pattern.head, Head):
            self._whole = whole_pattern(cast("Pattern[Head]", pattern), form, layout)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._hot = None
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._stage = Stage.HEAD
        self._head_bytes = self._body_bytes = self._unheard_bytes = 0

    def on_headers_complete(self) -> None:
        """Decides the way."""
        head = None if self._parting else self._hot_head()
        if head is None or not self._may_go_on(head):
            url, given, expected = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.expect_100_continue = url, expected
            self.headers.extend(given)
            super().on_headers_complete()
            return
        self._stage = Stage.BODY
        self._heard = True
        self._hot = self._begin(head)
        # What is being read is promised to this model: it isn't closed before.
        head.model.hold()

    def on_body(self, body: bytes) -> None:
        """A piece of a body; the first is kept as it is, for it is the only one mostly."""
        call = self._hot
        self._heard = True
        if call is None:
            super().on_body(body)
        elif not call.body:
            call.body = body
        else:
            if type(call.body) is bytes:
                call.body = bytearray(call.body)
            call.body += body

    def on_message_complete(self) -> None:
        """The whole request is there."""
        call = self._hot
        if call is None:
            super().on_message_complete()
            return
        self._hot = None
        self._behind = True
        self._stage = Stage.IDLE
        self._late_at = inf
        if type(call.body) is bytearray and len(call.body) <= TOGETHER_BYTES:
            call.body = bytes(call.body)
        if not self._parting:
            self._pattern = pattern_of(self._arrived, call.body, call.head) or self._pattern
        model = call.head.model
        call.arrive()
        # What has arrived is held by others, until it is taken.
        model.release()

    def _begin(self, head: Head | MessageHead) -> Any:
        """The call that is about a request with this head from here on, of the kind that takes such."""
        call: Any = self._call
        if call is None or call.takes is not type(head):
            call = self._call = self._new_call() if isinstance(head, Head) else MessageCall(self, self.service.clock)
        self.cycle = call
        call.begin(head)
        return call

    def _new_call(self) -> HotCall:
        return HotCall(self, self.service.clock, self.turn)

    def _may_go_on(self, head: Head | MessageHead) -> bool:
        """Whether the model is still served, and nothing else is under way on this connection."""
        return (
            (self.cycle is None or self.cycle.response_complete)
            and (self.service.infer_paths.get(head.url) is head.model or head.model is self.messages)
            and not self.flow.write_paused
            and not self._deaf
            and not self.service.last_answers
            and not self.transport.is_closing()
        )

    def _hot_head(self) -> Head | MessageHead | None:
        """What the head says if it is of the common form, for a model that is served, and its sender may ask for it.

        Others are refused on the cold way, where a body isn't waited for. They go there alike whether or not there is
        such a model, so that how long a refusal takes doesn't tell.
        """
        service = self.service
        if service.guard is None:
            return self._common_head()
        authorization = _text(dict(self.headers).get(b"authorization"))
        tenant = service.guard.find(authorization)
        model = service.infer_paths.get(self.url)
        if tenant is None or not (self.url == MESSAGE_PATH or tenant.may(model.name if model is not None else "")):
            return None
        head = self._common_head()
        if not isinstance(head, Head):
            return head
        admit = partial(service.admit, authorization, head.model.name, head.model.version)
        return head._replace(admit=admit, authorization=authorization)

    def _common_head(self) -> Head | MessageHead | None:
        model = self.service.infer_paths.get(self.url)
        messages = self.messages if self.url == MESSAGE_PATH else None
        hot = model is not None or messages is not None
        if not hot or self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return None
        keep_alive = self.parser.should_keep_alive()
        if messages is not None:
            return message_head(self.headers, messages, keep_alive=keep_alive)
        assert model is not None
        return common_head(self.url, self.headers, model, keep_alive)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def protocol_class(service: Service, base: type[HotConnection] = HotConnection) -> type[asyncio.Protocol]:
    """The class for uvicorn's `http=`, bound to the service."""
    state: dict[str, Any] = {
        "service": service,
        "turn": HttpTurn(service.clock),
        "draining": staticmethod(lambda: service.last_answers),
        # What is recorded is recorded above.
        "messages": Messages(service) if service.tracer is None else None,
    }
    return type("Connection", (base,), state)
