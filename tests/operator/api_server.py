"""An API server at the HTTP seam, of InferenceServices alone, that misbehaves as told."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from aiohttp import web
from kubernetes.aio.client import Configuration

from tidegate_operator.kube.objects import SERVICES

Object = dict[str, Any]
Stream = Callable[[web.Request, web.StreamResponse], Coroutine[Any, Any, None]]
"""What a watch says instead of what is true."""

_RESOURCES = {
    "kind": "APIResourceList",
    "groupVersion": SERVICES.api_version,
    "resources": [
        {
            "name": SERVICES.plural,
            "singularName": "inferenceservice",
            "kind": SERVICES.name,
            "namespaced": True,
            "verbs": ["get", "list", "patch", "watch"],
        }
    ],
}

_CORE = {
    "kind": "APIResourceList",
    "groupVersion": "v1",
    # kopf waits until it knows that there are namespaces, though it is to watch them all at once.
    "resources": [{"name": "namespaces", "singularName": "namespace", "kind": "Namespace", "namespaced": False}],
}


class ApiServer:
    """Objects with versions, told by lists and watches."""

    def __init__(self) -> None:
        self.version = 1
        self.items: dict[str, Object] = {}
        self.refuses: int | None = None
        """The status of every answer about InferenceServices, instead of what was asked for."""
        self.streams: list[Stream] = []
        """What the next watches say, one after another; then they tell the truth."""
        self.watches = 0
        """Watches that were asked for."""
        self._history: list[tuple[int, str, Object]] = []
        self._changed = asyncio.Condition()
        self._open: set[web.StreamResponse] = set()
        self._port = 0

    @property
    def configuration(self) -> Configuration:
        """A client's, for this server."""
        found = Configuration()
        found.host = f"http://127.0.0.1:{self._port}"
        return found

    async def put(self, name: str) -> None:
        """Create or change an object."""
        known = name in self.items
        self.version += 1
        metadata = {"name": name, "namespace": "ml", "uid": f"uid-{name}", "resourceVersion": str(self.version)}
        self.items[name] = {"apiVersion": SERVICES.api_version, "kind": SERVICES.name, "metadata": metadata, "spec": {}}
        await self._tell("MODIFIED" if known else "ADDED", self.items[name])

    async def until_watched(self, times: int) -> None:
        """Return once watches were asked for `times` times in all."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.watches >= times)

    async def cut(self) -> None:
        """Cut every connection of a watch."""
        for stream in list(self._open):
            if (transport := stream._req.transport if stream._req else None) is not None:
                transport.abort()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve during the block."""
        app = web.Application()
        app.router.add_get("/api", self._core)
        app.router.add_get("/api/v1", self._namespaces)
        app.router.add_get("/apis", self._groups)
        app.router.add_get(f"/apis/{SERVICES.api_version}", self._resources)
        app.router.add_get(SERVICES.collection(), self._collection)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()

    async def _tell(self, verb: str, item: Object) -> None:
        self._history.append((self.version, verb, item))
        async with self._changed:
            self._changed.notify_all()

    async def _core(self, _: web.Request) -> web.Response:
        return web.json_response({"kind": "APIVersions", "versions": ["v1"]})

    async def _namespaces(self, _: web.Request) -> web.Response:
        return web.json_response(_CORE)

    async def _groups(self, _: web.Request) -> web.Response:
        version = {"groupVersion": SERVICES.api_version, "version": SERVICES.version}
        group = {"name": SERVICES.group, "versions": [version], "preferredVersion": version}
        return web.json_response({"kind": "APIGroupList", "groups": [group]})

    async def _resources(self, _: web.Request) -> web.Response:
        return web.json_response(_RESOURCES)

    async def _collection(self, request: web.Request) -> web.StreamResponse:
        watches = request.query.get("watch") == "true"
        async with self._changed:
            self.watches += watches
            self._changed.notify_all()
        if self.refuses is not None:
            told = {"kind": "Status", "code": self.refuses, "message": "unwell"}
            return web.json_response(told, status=self.refuses)
        if not watches:
            items = list(self.items.values())
            return web.json_response(
                {"kind": "List", "metadata": {"resourceVersion": str(self.version)}, "items": items}
            )
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        stream.enable_chunked_encoding()
        await stream.prepare(request)
        self._open.add(stream)
        try:
            await (self.streams.pop(0) if self.streams else self._truth)(request, stream)
        finally:
            self._open.discard(stream)
        return stream

    async def _truth(self, request: web.Request, stream: web.StreamResponse) -> None:
        since, seconds = int(request.query["resourceVersion"]), float(request.query["timeoutSeconds"])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    for version, verb, item in list(self._history):
                        if version > since:
                            since = version
                            await stream.write(line({"type": verb, "object": item}))
                    async with self._changed:
                        await self._changed.wait()


def line(event: Object) -> bytes:
    """A line of a watch."""
    return json.dumps(event).encode() + b"\n"


def saying(*said: bytes) -> Stream:
    """A watch that says so, and ends."""

    async def say(request: web.Request, stream: web.StreamResponse) -> None:
        for part in said:
            await stream.write(part)

    return say


async def silent(request: web.Request, stream: web.StreamResponse) -> None:
    """A watch that says nothing more, and doesn't end."""
    await asyncio.Event().wait()


def an_error(code: int) -> bytes:
    """The event by which a watch tells of an error."""
    return line({"type": "ERROR", "object": {"kind": "Status", "code": code, "message": "too old resource version"}})
