"""Administration over HTTP: the model repository, log and trace settings, shared memory.

Bodies are small JSON objects, or nothing.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from tidegate_runtime import logs
from tidegate_runtime.errors import InvalidRequest
from tidegate_runtime.hosting import Host, refuse_overrides
from tidegate_runtime.service import Service
from tidegate_runtime.tracing.administration import change_settings, settings_of
from tidegate_runtime.web.body import JSON, read_object
from tidegate_runtime.web.shared_memory import cuda_shared_memory, system_shared_memory


def administration(service: Service, host: Host) -> APIRouter:
    """The routes that change what is served, what is logged, and what memory is shared.

    There is one repository, so whatever a path calls it, it is meant.
    """
    router = APIRouter(prefix="/v2")
    router.include_router(_repository(host))
    router.include_router(_settings(service))
    router.include_router(system_shared_memory(service))
    router.include_router(cuda_shared_memory())
    return router


def _repository(host: Host) -> APIRouter:
    router = APIRouter()

    @router.post("/repository/index")
    @router.post("/repository/{repository}/index")
    async def index(request: Request, repository: str = "") -> Response:
        body = await read_object(request)
        ready = body.get("ready", False)
        if not isinstance(ready, bool):
            raise InvalidRequest('"ready" must be true or false')
        return _json(await host.index(ready=ready))

    @router.post("/repository/models/{name}/load")
    @router.post("/repository/{repository}/models/{name}/load")
    async def load(request: Request, name: str, repository: str = "") -> Response:
        refuse_overrides(_parameters(await read_object(request)))
        await host.load(name)
        return Response()

    @router.post("/repository/models/{name}/unload")
    @router.post("/repository/{repository}/models/{name}/unload")
    async def unload(request: Request, name: str, repository: str = "") -> Response:
        refuse_overrides(_parameters(await read_object(request)), "unload_dependents")
        await host.unload(name)
        return Response()

    return router


def _settings(service: Service) -> APIRouter:
    router = APIRouter()

    # One route for both methods, or the answer to a third would name only one of them as allowed.
    @router.api_route("/logging", methods=["GET", "POST"])
    async def log_levels(request: Request) -> Response:
        if request.method == "POST":
            logs.set_levels(await read_object(request))
            await service.spread()
        return _json(logs.levels())

    @router.api_route("/trace/setting", methods=["GET", "POST"])
    @router.api_route("/models/{name}/trace/setting", methods=["GET", "POST"])
    async def traces(request: Request, name: str = "") -> Response:
        if request.method == "POST":
            told = change_settings(service, name, await read_object(request))
            await service.spread()
            return _json(told)
        return _json(settings_of(service, name))

    return router


def _parameters(body: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = body.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidRequest('"parameters" must be an object')
    return parameters


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type=JSON)
