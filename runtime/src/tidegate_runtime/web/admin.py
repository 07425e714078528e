"""The administration port: metrics and probes. It knows the service's state, never a request."""

from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from tidegate_runtime.model.child.engine import ChildEngine
from tidegate_runtime.naming import METRICS_PATH
from tidegate_runtime.service import Service
from tidegate_runtime.web import faults
from tidegate_runtime.web.app import not_ready
from tidegate_runtime.web.exposition import EngineCollector, Lossy, ModelCollector, TraceCollector
from tidegate_runtime.web.triton_exposition import TritonCollector


def create_admin_app(
    service: Service, child: ChildEngine | None = None, traces: Lossy | None = None, *, triton: bool = False
) -> FastAPI:
    """The application of the administration port; `child` is the engine if that is a process of its own."""
    registry = CollectorRegistry()
    registry.register(ModelCollector(service.metrics))
    if triton:
        registry.register(TritonCollector(service.metrics))
    if traces is not None:
        registry.register(TraceCollector(traces))
    ProcessCollector(registry=registry)
    if child is not None:
        # Between two processes there is no such file under /proc, and the collector has nothing to tell.
        ProcessCollector("tidegate_engine", lambda: child.pid or 0, registry=registry)
        registry.register(EngineCollector(lambda: child.restarts))
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)

    @app.get(METRICS_PATH)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response()

    @app.get("/readyz")
    async def readyz() -> Response:
        return Response() if service.ready else not_ready(service)

    faults.install(app)
    return app
