"""V1 over HTTP: the list of models, a model's readiness, and `:predict`."""

import orjson
from fastapi import APIRouter, Request, Response

from tidegate_runtime.errors import UnsupportedMedia
from tidegate_runtime.naming import HOP_HEADER
from tidegate_runtime.protocol import v1_json
from tidegate_runtime.protocol.v2_response import Encoded
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.service import Service
from tidegate_runtime.web.access import permit, shown
from tidegate_runtime.web.body import JSON, media_of, read_body, response_of, unless_client_leaves
from tidegate_runtime.web.counting import counted, note_served
from tidegate_runtime.web.handed_request import handed_over, limit_of


def v1_routes(service: Service) -> APIRouter:
    """The routes of V1."""
    router = APIRouter(prefix="/v1/models")

    @router.get("")
    async def models(request: Request) -> Response:
        tenant = permit(service.guard, request)
        return Response(orjson.dumps({"models": [*filter(tenant.may, service.names())]}), media_type=JSON)

    # Before the next, which matches their paths, too, and would say that they allow GET alone.
    @router.post("/{name}:predict")
    @router.post("/{name}/versions/{version}:predict")
    async def predict(request: Request, name: str, version: str | None = None) -> Response:
        return await counted(service, request, name, version, _predict(service, request, name, version))

    @router.get("/{name}")
    async def ready(request: Request, name: str) -> Response:
        permit(service.guard, request, name)
        model = service.model(name, None)
        ready = not service.draining
        return Response(orjson.dumps({"name": model.name, "ready": ready}), 200 if ready else 503, media_type=JSON)

    return router


async def _predict(service: Service, request: Request, name: str, version: str | None) -> Response:
    service.admit(shown(service.guard, request), name, version)
    with service.model(name, version).held() as model:
        return await _predicted(service, request, model)


async def _predicted(service: Service, request: Request, model: ServedModel) -> Response:
    media = media_of(request.headers)
    if media.json_length is not None:
        raise UnsupportedMedia("V1 has no binary tensor data; send JSON alone, or the request to /v2")
    body = await read_body(request, service.limits.max_body_bytes, media.encoding)
    received = service.clock()
    handed = await handed_over(request, model, body)
    if handed is not None:
        return handed
    decoded = v1_json.decode(body, model.signature.inputs)
    parsed = service.clock()
    work = model.infer(
        decoded.infer,
        received,
        request.client,
        hop=HOP_HEADER in request.headers,
        authorization=shown(service.guard, request),
        limit_seconds=limit_of(request),
    )
    answer = await unless_client_leaves(request, work)
    delivered = service.clock()
    encoded = Encoded([v1_json.encode(answer, decoded.rows)])
    response = await response_of(encoded, request.headers.get("accept-encoding"))
    note_served(service, request, model, answer, (received, parsed, delivered))
    return response
