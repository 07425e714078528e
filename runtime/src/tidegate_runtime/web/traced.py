"""The hot way where requests are recorded: a class of its own, so that it costs nothing where they are not."""

from tidegate_runtime.tracing.request import RequestTrace
from tidegate_runtime.web.faults import CLIENT_GONE
from tidegate_runtime.web.hot import Head, HotCall, HotConnection
from tidegate_runtime.web.tracing import asked


class TracedConnection(HotConnection):
    """A connection that notes its hot requests' traces; the cold ones' are noted above ASGI."""

    _trace: RequestTrace | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the trace of a client that left."""
        if self._call is not None and not self._call.response_complete:
            self._end(self._call, CLIENT_GONE)
        super().connection_lost(exc)

    def _hot_head(self) -> Head | None:
        head = super()._hot_head()
        if head is None:
            return None
        headers = dict(self.headers)
        return head._replace(traceparent=headers.get(b"traceparent"), tracestate=headers.get(b"tracestate"))

    def _begin(self, head: Head) -> HotCall:
        tracer = self.service.tracer
        assert tracer is not None
        named = asked(head.url, self.scheme or "http")
        self._trace = tracer.begin(_text(head.traceparent), _text(head.tracestate), named)
        return super()._begin(head)

    def _take(self, call: HotCall) -> None:
        super()._take(call)
        if call.ticket is not None:
            call.ticket.trace = self._trace

    def _finish(self, call: HotCall, status: int) -> None:
        self._end(call, status)
        super()._finish(call, status)

    def _end(self, call: HotCall, status: int) -> None:
        trace, self._trace = self._trace, None
        if trace is None:
            return
        if status == 200:
            trace.served(call.received, call.parsed, call.delivered, self.service.clock())
        trace.end(call.head.model.name, call.head.model.version, status)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
