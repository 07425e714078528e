"""The hot way where requests are recorded: a class of its own, so that it costs nothing where they are not."""

from tidegate_runtime.tracing.request import RequestTrace
from tidegate_runtime.web.faults import CLIENT_GONE
from tidegate_runtime.web.hot import HotCall, HotConnection
from tidegate_runtime.web.tracing import asked


class TracedConnection(HotConnection):
    """A connection that notes its hot requests' traces; the cold ones' are noted above ASGI."""

    _trace: RequestTrace | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the trace of a client that left."""
        if self._call is not None and not self._call.response_complete:
            self._end(self._call, CLIENT_GONE)
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """Begins a trace, if the way is the hot one."""
        super().on_headers_complete()
        tracer = self.service.tracer
        if self._hot is not None and tracer is not None:
            headers = dict(self.headers)
            parent, state = _text(headers.get(b"traceparent")), _text(headers.get(b"tracestate"))
            self._trace = tracer.begin(parent, state, asked(self.url, self.scheme or "http"))

    def on_message_complete(self) -> None:
        """Hands the trace on to the scheduler."""
        call = self._hot
        super().on_message_complete()
        if call is not None and call.ticket is not None:
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
        trace.end(call.model.name, call.model.version, status)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
