"""The data port: Open Inference Protocol V2 over HTTP, with JSON and binary tensors, and V1 beside it."""

from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Request, Response

from tidegate_runtime import __version__
from tidegate_runtime.administration import Administration
from tidegate_runtime.describing import extensions
from tidegate_runtime.naming import HOP_HEADER, LIVE_PATH, READY_PATH, SERVER_NAME
from tidegate_runtime.protocol import v2_request, v2_response
from tidegate_runtime.protocol.parameters import glimpsed_seconds
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.service import Service
from tidegate_runtime.web import faults
from tidegate_runtime.web.access import for_administrators, for_tenants, permit, shown
from tidegate_runtime.web.administration import administration
from tidegate_runtime.web.body import media_of, read_body, response_of, unless_client_leaves
from tidegate_runtime.web.connect import connect_routes
from tidegate_runtime.web.counting import counted, note_served
from tidegate_runtime.web.facts import model_facts
from tidegate_runtime.web.faults import error_response
from tidegate_runtime.web.handed_request import handed_over, limit_of
from tidegate_runtime.web.v1 import v1_routes


def create_app(service: Service, administered: Administration | None = None) -> FastAPI:
    """The application of the data port. It has no middleware: what must hold on every way in is in the service.

    With what may be `administered`, administrative methods are served here, too. What a guard asks, it asks here.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(_health(service, administrative=administered is not None))
    app.include_router(model_facts(service), dependencies=for_tenants(service.guard))
    app.include_router(_models(service))
    if administered is not None:
        app.include_router(administration(service, administered), dependencies=for_administrators(service.guard))
    app.include_router(v1_routes(service))
    app.include_router(connect_routes(service))
    faults.install(app)
    return app


def _health(service: Service, *, administrative: bool) -> APIRouter:
    router = APIRouter()

    @router.get(LIVE_PATH)
    async def live() -> Response:
        return _json({"live": True})

    @router.get(READY_PATH)
    async def ready() -> Response:
        return _json({"ready": True}) if service.ready else not_ready(service)

    @router.get("/v2")
    async def server(request: Request) -> Response:
        permit(service.guard, request)
        names = extensions(service, administrative=administrative)
        return _json({"name": SERVER_NAME, "version": __version__, "extensions": names})

    return router


def not_ready(service: Service) -> Response:
    """The answer to a readiness probe that fails."""
    return error_response(503, "shutting down" if service.draining else "the model is loading")


def _models(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v2/models/{name}")

    @router.get("/ready")
    @router.get("/versions/{version}/ready")
    async def ready(request: Request, name: str, version: str | None = None) -> Response:
        permit(service.guard, request, name)
        model = service.model(name, version)
        return not_ready(service) if service.draining else _json({"name": model.name, "ready": True})

    @router.post("/infer")
    @router.post("/versions/{version}/infer")
    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        return await counted(service, request, name, version, _infer(service, request, name, version))

    return router


async def _infer(service: Service, request: Request, name: str, version: str | None) -> Response:
    service.admit(shown(service.guard, request), name, version)
    with service.model(name, version).held() as model:
        return await _inferred(service, request, model)


async def _inferred(service: Service, request: Request, model: ServedModel) -> Response:
    media = media_of(request.headers)
    body = await read_body(request, service.limits.max_body_bytes, media.encoding)
    received = service.clock()
    handed = await handed_over(request, model, body, partial(glimpsed_seconds, body, media.json_length))
    if handed is not None:
        return handed
    decoded = v2_request.decode(body, media.json_length, model.signature.inputs)
    parsed = service.clock()
    work = model.infer(
        decoded,
        received,
        request.client,
        hop=HOP_HEADER in request.headers,
        authorization=shown(service.guard, request),
        limit_seconds=limit_of(request),
    )
    answer = await unless_client_leaves(request, work)
    delivered = service.clock()
    encoded = v2_response.encode(answer, decoded)
    response = await response_of(encoded, request.headers.get("accept-encoding"))
    note_served(service, request, model, answer, (received, parsed, delivered))
    return response


def _json(content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
