"""Regions of shared memory over HTTP, by Triton's paths: which there are, one more, one or all less."""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from tidegate_runtime.errors import InvalidRequest, NotServed
from tidegate_runtime.service import Service
from tidegate_runtime.shared_memory.regions import CUDA, Region, served
from tidegate_runtime.web.body import JSON, read_object


def system_shared_memory(service: Service) -> APIRouter:
    """The routes of system shared memory. Where it isn't served they say so, and how it would be."""
    router = APIRouter(prefix="/systemsharedmemory")

    @router.get("/status")
    @router.get("/region/{region}/status")
    async def status(region: str = "") -> Response:
        regions = served(service.regions).status(region)
        told = [{"name": each.name, "key": each.key, "offset": each.offset, "byte_size": each.size} for each in regions]
        return Response(orjson.dumps(told), media_type=JSON)

    @router.post("/region/{region}/register")
    async def register(request: Request, region: str) -> Response:
        regions, body = served(service.regions), await read_object(request)
        key = body.get("key")
        if not isinstance(key, str):
            raise InvalidRequest('"key" must be a string: the name of a POSIX shared memory object')
        regions.register(Region(region, key, _integer(body, "offset", 0), _integer(body, "byte_size")))
        await service.spread()
        return Response()

    @router.post("/unregister")
    @router.post("/region/{region}/unregister")
    async def unregister(request: Request, region: str = "") -> Response:
        regions = served(service.regions)
        if await read_object(request):
            raise InvalidRequest("the body must be empty; the path names the region, or means all of them")
        if region:
            regions.unregister(region)
        else:
            regions.unregister_all()
        await service.spread()
        return Response()

    return router


def cuda_shared_memory() -> APIRouter:
    """The routes of CUDA shared memory, which are refused by name."""
    router = APIRouter(prefix="/cudasharedmemory")

    @router.get("/status")
    @router.get("/region/{region}/status")
    @router.post("/region/{region}/register")
    @router.post("/unregister")
    @router.post("/region/{region}/unregister")
    async def refused() -> Response:
        raise NotServed(CUDA)

    return router


def _integer(body: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = body.get(name, default)
    if type(value) is not int:
        raise InvalidRequest(f'"{name}" must be an integer, in bytes')
    return value
