"""The administration port: metrics, probes, and what changes what is served. It knows no inference request."""

from collections.abc import Callable, Sequence

import orjson
from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from tidegate_runtime.administration import Administered
from tidegate_runtime.hosting import Host
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.naming import EVIDENCE_PATH, METRICS_PATH
from tidegate_runtime.service import Service
from tidegate_runtime.web import faults
from tidegate_runtime.web.administration import administration
from tidegate_runtime.web.app import not_ready
from tidegate_runtime.web.body import JSON
from tidegate_runtime.web.evidence_exposition import EvidenceCollector
from tidegate_runtime.web.exposition import (
    EngineCollector,
    FrontEndCollector,
    GrpcCollector,
    Lossy,
    ModelCollector,
    Several,
    TraceCollector,
)
from tidegate_runtime.web.facts import model_facts
from tidegate_runtime.web.openapi import document
from tidegate_runtime.web.triton_exposition import TritonCollector


def create_admin_app(
    service: Service,
    host: Host,
    traces: Lossy | None = None,
    *,
    triton: bool = False,
    front_ends: Several | None = None,
    more: Sequence[Collector] = (),
) -> FastAPI:
    """The application of the administration port. What `more` collect is among the metrics, and the evidence."""
    counted: list[ModelMetrics] = []

    def models() -> list[ModelMetrics]:
        return counted

    registry = _registry(service, host, models, triton=triton)
    optional = [
        TraceCollector(traces) if traces is not None else None,
        FrontEndCollector(front_ends) if front_ends is not None else None,
        *more,
    ]
    for collector in filter(None, optional):
        registry.register(collector)
    evidence = CollectorRegistry()
    for collector in (EvidenceCollector(models), *more):
        evidence.register(collector)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)

    @app.get(METRICS_PATH)
    async def metrics() -> Response:
        counted[:] = await service.gather()
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get(EVIDENCE_PATH)
    async def judged() -> Response:
        counted[:] = await service.gather()
        return Response(generate_latest(evidence), media_type=CONTENT_TYPE_LATEST)

    @app.get("/openapi.json")
    async def described() -> Response:
        return Response(orjson.dumps(document()), media_type=JSON)

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response()

    @app.get("/readyz")
    async def readyz() -> Response:
        return Response() if service.ready else not_ready(service)

    app.include_router(model_facts(service))
    app.include_router(administration(service, Administered(service, host)))
    faults.install(app)
    return app


def _registry(
    service: Service, host: Host, models: Callable[[], list[ModelMetrics]], *, triton: bool
) -> CollectorRegistry:
    """What there is to tell of any server."""
    registry = CollectorRegistry()
    registry.register(ModelCollector(models, service.clock))
    if triton:
        registry.register(TritonCollector(models))
    ProcessCollector(registry=registry)
    registry.register(GrpcCollector(lambda: (service.grpc_transport, service.grpc_reason)))
    if host.isolated:
        # Between two processes there is no such file under /proc, and the collector has nothing to tell.
        ProcessCollector("tidegate_engine", lambda: host.engine_pid, registry=registry)
        registry.register(EngineCollector(lambda: host.engine_restarts))
    return registry
