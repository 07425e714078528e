"""What of a call goes into its trace, the same on every way."""

from typing import Final

from tidegate_runtime.rpc.call import Call
from tidegate_runtime.service import Service
from tidegate_runtime.tracing.request import Asked, RequestTrace

UNARY: Final = Asked("grpc", "", "/inference.GRPCInferenceService/ModelInfer")
STREAMED: Final = Asked("grpc", "", "/inference.GRPCInferenceService/ModelStreamInfer")
"""What traces call the methods."""


def begin(service: Service, call: Call, method: Asked) -> RequestTrace | None:
    """The trace of a request; None if it isn't recorded."""
    if service.tracer is None:
        return None
    metadata = call.metadata
    return service.tracer.begin(metadata.get("traceparent"), metadata.get("tracestate"), method, call.received)
