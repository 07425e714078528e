"""What is told of models over HTTP: which there are, their metadata, configuration and statistics."""

from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from tidegate_runtime.describing import configuration, metadata, statistics_of
from tidegate_runtime.service import Service
from tidegate_runtime.web.access import tenant_of
from tidegate_runtime.web.body import JSON


def model_facts(service: Service) -> APIRouter:
    """The routes that only read."""
    router = APIRouter(prefix="/v2/models")

    @router.get("")
    async def models(request: Request) -> Response:
        return _json({"models": [*filter(tenant_of(request).may, service.names())]})

    @router.get("/stats")
    async def all_statistics(request: Request) -> Response:
        now = datetime.now(UTC).timestamp()
        return _json(await statistics_of(service, "", None, now, tenant_of(request).may))

    @router.get("/{name}")
    @router.get("/{name}/versions/{version}")
    async def model_metadata(name: str, version: str | None = None) -> Response:
        return _json(metadata(service.model(name, version), service.versions(name)))

    @router.get("/{name}/config")
    @router.get("/{name}/versions/{version}/config")
    async def model_configuration(name: str, version: str | None = None) -> Response:
        return _json(configuration(service.model(name, version)))

    @router.get("/{name}/stats")
    @router.get("/{name}/versions/{version}/stats")
    async def model_statistics(name: str, version: str | None = None) -> Response:
        return _json(await statistics_of(service, name, version, datetime.now(UTC).timestamp()))

    return router


def _json(content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), media_type=JSON)
