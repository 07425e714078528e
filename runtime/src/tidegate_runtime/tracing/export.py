"""Traces as OpenTelemetry spans, sent by OTLP over HTTP from a thread. The one module that knows the SDK."""

import logging
import threading
import time
from typing import Final
from urllib.parse import urlsplit

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SpanExportResult

    from tidegate_runtime.tracing.collector import CollectorSession
    from tidegate_runtime.tracing.spans import spans_of
except ModuleNotFoundError as error:
    MISSING: str | None = error.name
else:
    MISSING = None

from tidegate_runtime import __version__
from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.naming import SERVER_NAME, Reason
from tidegate_runtime.tracing.request import RequestTrace, Tracer

logger = logging.getLogger(__name__)

EVERY_SECONDS: Final = 1.0
SEND_SECONDS: Final = 5.0
"""How long one sending may take, with what it tries again."""

BATCH: Final = 256


class Sender:
    """Sends what a tracer keeps. A receiver that is slow or gone costs traces, never a request."""

    def __init__(self, tracer: Tracer, endpoint: str) -> None:
        """Raises `StartupFailure` if the SDK is not installed, or `endpoint` is no URL over HTTP."""
        if MISSING is not None:
            raise StartupFailure(
                Reason.TRACING_UNAVAILABLE,
                f"--trace-endpoint needs the module {MISSING}: install tidegate-runtime[otel], or leave the option out",
            )
        if not _is_url(endpoint):
            raise StartupFailure(
                Reason.TRACING_UNAVAILABLE,
                "--trace-endpoint must be a URL like http://collector:4318/v1/traces",
            )
        self.failed = 0
        """Spans that were given up, since the receiver did not take them."""
        self._tracer = tracer
        self._exporter = OTLPSpanExporter(endpoint, timeout=SEND_SECONDS, session=CollectorSession())
        self._resource = Resource.create({"service.name": SERVER_NAME, "service.version": __version__})
        self._wake = threading.Event()
        self._closing = threading.Event()
        tracer.wake = self._wake.set
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Spans that never arrived: too many waited, or the receiver did not take them."""
        return self._tracer.dropped + self.failed

    def close(self) -> None:
        """Sends what waits, for at most `SEND_SECONDS`. Blocks."""
        self._closing.set()
        self._wake.set()
        self._thread.join(SEND_SECONDS)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        waiting = self._tracer.waiting
        while not self._closing.is_set() or waiting:
            if not waiting and not self._closing.is_set():
                self._wake.wait(EVERY_SECONDS)
                self._wake.clear()
            traces = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
            if traces and not self._sent(traces):
                # A receiver that fails at once is not asked, and the log not written, for every batch.
                self._closing.wait(EVERY_SECONDS)

    def _sent(self, traces: list[RequestTrace]) -> bool:
        offset = time.time_ns() - round(self._tracer.clock() * 1e9)
        spans = []
        try:
            spans = [span for trace in traces for span in spans_of(trace, offset, self._resource)]
            sent = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:
            logger.exception("traces could not be sent")
            sent = False
        if not sent:
            self.failed += len(spans) or len(traces)
        return sent


def _is_url(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
