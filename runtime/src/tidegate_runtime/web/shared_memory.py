"""Regions of shared memory over HTTP, by Triton's paths: which there are, one more, one or all less."""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from tidegate_runtime.administration import Administration
from tidegate_runtime.errors import InvalidRequest, NotServed
from tidegate_runtime.service import Service
from tidegate_runtime.shared_memory.regions import CUDA, Region, served
from tidegate_runtime.web.body import JSON, read_object


def system_shared_memory(service: Service, administered: Administration) -> APIRouter:
    """The routes of system shared memory. Where it isn't served they say so, and how it would be."""
    router = APIRouter(prefix="/systemsharedmemory")

    @router.get("/status")
    @router.get("/region/{region}/status")
    async def status(region: str = "") -> Response:
        regions = await administered.regions(region)
        told = [{"name": each.name, "key": each.key, "offset": each.offset, "byte_size": each.size} for each in regions]
        return Response(orjson.dumps(told), media_type=JSON)

    @router.post("/region/{region}/register")
    async def register(request: Request, region: str) -> Response:
        served(service.regions)
        body = await read_object(request)
        key = body.get("key")
        if not isinstance(key, str):
            raise InvalidRequest('"key" must be a string: the name of a POSIX shared memory object')
        await administered.register(Region(region, key, _integer(body, "offset", 0), _integer(body, "byte_size")))
        return Response()

    @router.post("/unregister")
    @router.post("/region/{region}/unregister")
    async def unregister(request: Request, region: str = "") -> Response:
        served(service.regions)
        if await read_object(request):
            raise InvalidRequest("the body must be empty; the path names the region, or means all of them")
        await administered.unregister(region)
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
