"""What of a call goes into its trace, the same on every way."""

from collections.abc import Mapping
from typing import Final

from tidegate_runtime.rpc.call import Call
from tidegate_runtime.service import Service
from tidegate_runtime.tracing.request import Asked, RequestTrace

UNARY: Final = Asked("grpc", "", "/inference.GRPCInferenceService/ModelInfer")
STREAMED: Final = Asked("grpc", "", "/inference.GRPCInferenceService/ModelStreamInfer")
"""What traces call the methods."""


_METHODS: Final = {method.path: method for method in (UNARY, STREAMED)}


def refused(service: Service, path: str, metadata: Mapping[str, str], status: str) -> None:
    """Records a call that its transport refused, so that no method ever saw a request; others than those, not."""
    method = _METHODS.get(path)
    trace = None if method is None else begin(service, Call(service.clock(), None, metadata), method, "")
    if trace is not None:
        trace.end("", "", 0, status)


def begin(service: Service, call: Call, method: Asked, model: str) -> RequestTrace | None:
    """The trace of a request for `model`; None if it isn't recorded."""
    if service.tracer is None:
        return None
    metadata = call.metadata
    traceparent, tracestate = metadata.get("traceparent"), metadata.get("tracestate")
    return service.tracer.begin(traceparent, tracestate, method, model, call.received)
