"""What of a request over HTTP goes into its trace, the same on every way."""

from starlette.requests import Request

from tidegate_runtime.service import Service
from tidegate_runtime.tracing.request import Asked, RequestTrace


def asked(path: bytes, scheme: str) -> Asked:
    """An inference request by its path, without a query."""
    text = path.decode("latin-1")
    head, _, method = text.rpartition("/" if text.startswith("/v2") else ":")
    route = "/v2/models/{name}" if text.startswith("/v2") else "/v1/models/{name}"
    if "/versions/" in head:
        route += "/versions/{version}"
    separator = text[len(head)]
    return Asked("http", f"{route}{separator}{method}", text, scheme)


def begin(service: Service, request: Request) -> RequestTrace | None:
    """The trace of a request that came through ASGI; None if it isn't recorded."""
    if service.tracer is None:
        return None
    state = ",".join(request.headers.getlist("tracestate"))
    parents = request.headers.getlist("traceparent")
    parent = parents[0] if len(parents) == 1 else None
    return service.tracer.begin(parent, state, asked(request.scope["raw_path"], request.url.scheme))
