"""What of a request over HTTP goes into its trace, the same on every way."""

from functools import lru_cache

from starlette.requests import Request

from tidegate_runtime.service import Service
from tidegate_runtime.tracing.request import Asked, RequestTrace


@lru_cache(maxsize=256)
def asked(path: bytes, scheme: str) -> Asked:
    """An inference request by its path, without a query."""
    version = "/versions/{version}" if b"/versions/" in path else ""
    route = (
        f"/v2/models/{{name}}{version}/infer" if path.startswith(b"/v2") else f"/v1/models/{{name}}{version}:predict"
    )
    return Asked("http", route, path.decode("latin-1"), scheme)


def begin(service: Service, request: Request, model: str) -> RequestTrace | None:
    """The trace of a request for `model` that came through ASGI; None if it isn't recorded."""
    if service.tracer is None:
        return None
    state = ",".join(request.headers.getlist("tracestate"))
    parents = request.headers.getlist("traceparent")
    parent = parents[0] if len(parents) == 1 else None
    return service.tracer.begin(parent, state, asked(request.scope["raw_path"], request.url.scheme), model)
