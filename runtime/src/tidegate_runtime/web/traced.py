"""The hot way where requests are recorded: classes of its own, so that it costs nothing where they are not."""

from tidegate_runtime.tracing.request import RequestTrace, Tracer
from tidegate_runtime.web.faults import CLIENT_GONE
from tidegate_runtime.web.head import Head
from tidegate_runtime.web.hot import HotConnection
from tidegate_runtime.web.hot_call import HotCall
from tidegate_runtime.web.message_call import MessageHead
from tidegate_runtime.web.tracing import asked


class TracedCall(HotCall):
    """A call that notes its trace."""

    tracer: Tracer
    scheme: str
    _trace: RequestTrace | None = None

    def begin(self, head: Head) -> None:
        """Begins the trace."""
        named = asked(head.url, self.scheme)
        self._trace = self.tracer.begin(_text(head.traceparent), _text(head.tracestate), named, head.model.name)
        super().begin(head)

    def go_on(self) -> None:
        """Goes alone: what is noted is one request's."""
        self.take()

    def take(self) -> None:
        """Has the scheduler note what it does with the request."""
        super().take()
        self._note()

    def take_whole(self) -> None:
        """The same."""
        super().take_whole()
        self._note()

    def _note(self) -> None:
        if self.ticket is not None:
            self.ticket.trace = self._trace
            self.ticket.taker = None

    def lost(self, *, reading: bool) -> None:
        """Ends the trace of a client that left."""
        if not self.response_complete:
            self._end(CLIENT_GONE)
        super().lost(reading=reading)

    def end(self, status: int) -> None:
        """Ends the trace."""
        self._end(status)
        super().end(status)

    def _end(self, status: int) -> None:
        trace, self._trace = self._trace, None
        if trace is None:
            return
        if status == 200:
            trace.served(self.received, self.parsed, self.delivered, self.clock())
        trace.end(self.head.model.name, self.head.model.version, status)


class TracedConnection(HotConnection):
    """A connection that notes its hot requests' traces; the cold ones' are noted above ASGI."""

    def _hot_head(self) -> Head | MessageHead | None:
        head = super()._hot_head()
        if not isinstance(head, Head):
            return head
        headers = dict(self.headers)
        return head._replace(traceparent=headers.get(b"traceparent"), tracestate=headers.get(b"tracestate"))

    def _new_call(self) -> HotCall:
        assert self.service.tracer is not None
        call = TracedCall(self, self.service.clock, self.turn)
        call.tracer, call.scheme = self.service.tracer, self.scheme or "http"
        return call


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
