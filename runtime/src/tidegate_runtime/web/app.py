"""The data port: Open Inference Protocol V2 over HTTP with JSON."""

from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Request, Response

from tidegate_runtime import __version__
from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.model.signature import shown_shape
from tidegate_runtime.naming import LIVE_PATH, PLATFORM, READY_PATH, SERVER_NAME
from tidegate_runtime.protocol import v2_json
from tidegate_runtime.service import ServedModel, Service
from tidegate_runtime.tensors import TensorSpec
from tidegate_runtime.web import faults
from tidegate_runtime.web.body import ClientGone, check_media, read_body, unless_client_leaves
from tidegate_runtime.web.faults import CLIENT_GONE, error_response


def create_app(service: Service) -> FastAPI:
    """The application of the data port. It has no middleware: what must hold on every way in is in the service."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(_health(service))
    app.include_router(_models(service))
    faults.install(app)
    return app


def _health(service: Service) -> APIRouter:
    router = APIRouter()

    @router.get(LIVE_PATH)
    async def live() -> Response:
        return _json({"live": True})

    @router.get(READY_PATH)
    async def ready() -> Response:
        return _json({"ready": True}) if service.ready else not_ready(service)

    @router.get("/v2")
    async def server() -> Response:
        return _json({"name": SERVER_NAME, "version": __version__, "extensions": []})

    return router


def not_ready(service: Service) -> Response:
    """The answer to a readiness probe that fails."""
    return error_response(503, "shutting down" if service.draining else "the model is loading")


def _models(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v2/models/{name}")

    @router.get("")
    @router.get("/versions/{version}")
    async def metadata(name: str, version: str | None = None) -> Response:
        return _json(_metadata(service.model(name, version)))

    @router.get("/ready")
    @router.get("/versions/{version}/ready")
    async def ready(name: str, version: str | None = None) -> Response:
        model = service.model(name, version)
        return _json({"name": model.name, "ready": True}) if service.ready else not_ready(service)

    @router.post("/infer")
    @router.post("/versions/{version}/infer")
    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        status = 500
        try:
            response = await _infer(service, request, name, version)
            status = response.status_code
        except RuntimeFault as fault:
            response, status = faults.fault_response(fault), fault.http_status
        except ClientGone:
            response, status = Response(), CLIENT_GONE
        finally:
            if name == service.metrics.model:
                service.metrics.answered(status)
        return response

    return router


async def _infer(service: Service, request: Request, name: str, version: str | None) -> Response:
    model = service.model(name, version)
    check_media(request)
    body = await read_body(request, service.limits.max_body_bytes)
    received = service.clock()
    decoded = v2_json.decode(body)
    answer = await unless_client_leaves(request, model.infer(decoded, received))
    response = Response(v2_json.encode(answer), media_type="application/json")
    service.metrics.request_duration.observe(service.clock() - received)
    return response


def _metadata(model: ServedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": PLATFORM,
        "inputs": [_tensor_metadata(spec) for spec in model.signature.inputs],
        "outputs": [_tensor_metadata(spec) for spec in model.signature.outputs],
    }


def _tensor_metadata(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype.value, "shape": shown_shape(spec)}


def _json(content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
