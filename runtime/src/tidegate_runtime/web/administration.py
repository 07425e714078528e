"""Administration over HTTP: the model repository, log and trace settings, shared memory.

Bodies are small JSON objects, or nothing.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from tidegate_runtime.administration import Administration
from tidegate_runtime.errors import InvalidRequest
from tidegate_runtime.hosting import refuse_overrides
from tidegate_runtime.service import Service
from tidegate_runtime.web.access import tenant_of
from tidegate_runtime.web.body import JSON, read_object
from tidegate_runtime.web.shared_memory import cuda_shared_memory, system_shared_memory


def administration(service: Service, administered: Administration) -> APIRouter:
    """The routes that change what is served, what is logged, and what memory is shared.

    There is one repository, so whatever a path calls it, it is meant.
    """
    router = APIRouter(prefix="/v2")
    router.include_router(_repository(administered))
    router.include_router(_settings(administered))
    router.include_router(system_shared_memory(service, administered))
    router.include_router(cuda_shared_memory())
    return router


def _repository(administered: Administration) -> APIRouter:
    router = APIRouter()

    @router.post("/repository/index")
    @router.post("/repository/{repository}/index")
    async def index(request: Request, repository: str = "") -> Response:
        body = await read_object(request)
        ready = body.get("ready", False)
        if not isinstance(ready, bool):
            raise InvalidRequest('"ready" must be true or false')
        listed, tenant = await administered.index(ready=ready), tenant_of(request)
        return _json([entry for entry in listed if tenant.may(entry["name"])])

    @router.post("/repository/models/{name}/load")
    @router.post("/repository/{repository}/models/{name}/load")
    async def load(request: Request, name: str, repository: str = "") -> Response:
        refuse_overrides(_parameters(await read_object(request)))
        await administered.load(name)
        return Response()

    @router.post("/repository/models/{name}/unload")
    @router.post("/repository/{repository}/models/{name}/unload")
    async def unload(request: Request, name: str, repository: str = "") -> Response:
        refuse_overrides(_parameters(await read_object(request)), "unload_dependents")
        await administered.unload(name)
        return Response()

    return router


def _settings(administered: Administration) -> APIRouter:
    router = APIRouter()

    # One route for both methods, or the answer to a third would name only one of them as allowed.
    @router.api_route("/logging", methods=["GET", "POST"])
    async def log_levels(request: Request) -> Response:
        return _json(await administered.log_levels(await _wanted(request)))

    @router.api_route("/trace/setting", methods=["GET", "POST"])
    @router.api_route("/models/{name}/trace/setting", methods=["GET", "POST"])
    async def traces(request: Request, name: str = "") -> Response:
        return _json(await administered.traces(name, await _wanted(request)))

    return router


async def _wanted(request: Request) -> Mapping[str, Any]:
    """The changes that are asked for: none by GET."""
    return await read_object(request) if request.method == "POST" else {}


def _parameters(body: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = body.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidRequest('"parameters" must be an object')
    return parameters


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type=JSON)
