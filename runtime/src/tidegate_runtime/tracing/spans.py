"""A request's trace as OpenTelemetry spans: the server's, and below it one for each stage. Pure.

Attributes are those of the semantic conventions for HTTP and RPC, and our own under `tidegate`.
https://opentelemetry.io/docs/specs/semconv/http/http-spans/ and …/rpc/rpc-spans/
"""

import random
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from tidegate_runtime import __version__
from tidegate_runtime.naming import SERVER_NAME
from tidegate_runtime.tracing.request import RequestTrace

GRPC: Final = "grpc"

_SCOPE: Final = InstrumentationScope(SERVER_NAME, __version__)
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_SERVERS_FAULT: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""The gRPC statuses that the conventions count as errors of the server."""


def spans_of(trace: RequestTrace, offset: int, resource: Resource) -> list[ReadableSpan]:
    """The spans; `offset` is what the service's clock, in nanoseconds, lacks to the epoch."""
    state = TraceState.from_header([trace.state]) if trace.state else None

    def context(span_id: int) -> SpanContext:
        return SpanContext(trace.trace_id, span_id, is_remote=False, trace_flags=_SAMPLED, trace_state=state)

    def at(seconds: float) -> int:
        return round(seconds * 1e9) + offset

    caller = None
    if trace.parent_id is not None:
        caller = SpanContext(trace.trace_id, trace.parent_id, is_remote=True, trace_flags=_SAMPLED, trace_state=state)
    own = context(trace.span_id)
    server = ReadableSpan(
        name=trace.asked.path.removeprefix("/") if trace.asked.wire == GRPC else f"POST {trace.asked.route}",
        context=own,
        parent=caller,
        resource=resource,
        attributes=_attributes(trace),
        kind=SpanKind.SERVER,
        status=Status(StatusCode.ERROR) if _is_error(trace) else Status(),
        start_time=at(trace.began),
        end_time=at(trace.ended),
        instrumentation_scope=_SCOPE,
    )
    stages = [
        ReadableSpan(
            name=stage.name,
            context=context(random.getrandbits(64) or 1),
            parent=own,
            resource=resource,
            start_time=at(stage.began),
            end_time=at(stage.ended),
            instrumentation_scope=_SCOPE,
        )
        for stage in trace.stages
    ]
    return [server, *stages]


def _attributes(trace: RequestTrace) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {"tidegate.model.name": trace.model, "tidegate.model.version": trace.version}
    if trace.rows:
        attributes["tidegate.batch.rows"] = trace.rows
    asked = trace.asked
    if asked.wire == GRPC:
        attributes |= {
            "rpc.system.name": GRPC,
            "rpc.method": asked.path.removeprefix("/"),
            "rpc.response.status_code": trace.error or "OK",
        }
        error = trace.error
    else:
        attributes |= {
            "http.request.method": "POST",
            "http.route": asked.route,
            "http.response.status_code": trace.code,
            "url.path": asked.path,
            "url.scheme": asked.scheme,
            "network.protocol.version": "1.1",
        }
        error = str(trace.code) if trace.code >= 500 else ""
    if error and _is_error(trace):
        attributes["error.type"] = error
    return attributes


def _is_error(trace: RequestTrace) -> bool:
    return trace.error in _SERVERS_FAULT if trace.asked.wire == GRPC else trace.code >= 500
