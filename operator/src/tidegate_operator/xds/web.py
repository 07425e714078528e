"""The HTTP face of the `xds` command towards routers and runtime pods."""

import asyncio
from collections.abc import Awaitable

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tidegate_operator.xds.discovery import HOLD_SECONDS, Discovery, DiscoveryRequest
from tidegate_operator.xds.metrics import XdsMetrics

_MAX_BODY_BYTES = 4 * 1024 * 1024


def discovery_app(discovery: Discovery, metrics: XdsMetrics) -> Starlette:
    """`POST /v3/discovery:{listeners,clusters,routes,endpoints}` (Envoy's REST xDS, JSON), and `GET /v1/share/…`."""

    async def discover(request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in HOLD_SECONDS:
            return JSONResponse({"error": f"unknown type {kind!r}; known: {', '.join(HOLD_SECONDS)}"}, 404)
        question = await _question(request)
        if isinstance(question, Response):
            return question
        return await answered(request, kind, question)

    async def told_share(request: Request) -> Response:
        async for _ in request.stream():
            pass  # Or its end, which a GET has, too, would be taken for that of the connection.
        known = request.headers.get("if-none-match", "").strip().removeprefix("W/").strip('"')
        revision = f"{request.path_params['namespace']}/{request.path_params['revision']}"
        return await answered(request, "share", DiscoveryRequest(version_info=known, resource_names=[revision]))

    async def answered(request: Request, kind: str, question: DiscoveryRequest) -> Response:
        if not discovery.ready:
            metrics.answered(kind, "unready")
            return JSONResponse({"error": "InferenceServices and EndpointSlices are still being listed"}, 503)
        news = await _unless_gone(request, discovery.ask(kind, question))
        return Response(status_code=304) if news is None else Response(news, media_type="application/json")

    routes = [
        Route("/v3/discovery:{kind}", discover, methods=["POST"]),
        Route("/v1/share/{namespace}/{revision}", told_share),
    ]
    return Starlette(routes=routes)


def readiness(discovery: Discovery) -> tuple[bool, str]:
    """Whether both kinds were listed: before that, a router would be told of too little."""
    return discovery.ready, "ok\n" if discovery.ready else "still listing\n"


async def _question(request: Request) -> DiscoveryRequest | Response:
    """What is asked, without keeping the 77 kB it came in: thousands of questions are held."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            return JSONResponse({"error": f"a DiscoveryRequest is limited to {_MAX_BODY_BYTES} bytes"}, 413)
    try:
        return DiscoveryRequest.model_validate_json(body)
    except ValidationError as error:
        return JSONResponse({"error": f"not a DiscoveryRequest: {error}"}, 400)


async def _unless_gone(request: Request, asking: Awaitable[bytes | None]) -> bytes | None:
    """What is answered, or None once the caller has hung up."""
    answer = asyncio.ensure_future(asking)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else None
    finally:
        answer.cancel()
        gone.cancel()
