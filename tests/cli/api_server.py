"""An API server at the HTTP seam: what the commands' few calls mean to one, with answers and faults as a test says."""

import asyncio
import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from typer.testing import CliRunner, Result

from tidegate_operator.cli.app import app

Object = dict[str, Any]
SERVICES = "/apis/tidegate.dev/v1alpha1/namespaces/ml/inferenceservices"


class ApiServer:
    """Objects by path, every patch of a status, and what happens on requests."""

    def __init__(self, kubeconfig: Path) -> None:
        self.objects: dict[str, Object] = {}
        self.patches: list[Object] = []
        self.tokens: list[str | None] = []
        self.faults: list[tuple[int, str]] = []
        """Answers to the next requests, whatever they ask for."""
        self.forbidden: set[str] = set()
        """Plural names of what may not be read."""
        self.before_patch: Callable[[], None] = lambda: None
        self.after_patch: Callable[[Object], None] = lambda request: None
        """The controller's part: what becomes of a request that was written."""
        self.lose_answer = False
        self.on_read: Callable[[], object] = lambda: None
        """What happens after a service was read."""
        self.kubeconfig = kubeconfig
        self._version = 100

    def put(self, live: Object) -> Object:
        """What the cluster has."""
        metadata = live["metadata"]
        plural = {"InferenceService": SERVICES}.get(live["kind"])
        if plural is None:
            group = "/api/v1" if live["kind"] == "Pod" else "/apis/apps/v1"
            plural = f"{group}/namespaces/{metadata['namespace']}/{live['kind'].lower()}s"
        return self._store(f"{plural}/{metadata['name']}", live)

    def edit(self, name: str, change: Callable[[Object], None]) -> None:
        """What someone else changes of a service."""
        after = copy.deepcopy(self.objects[f"{SERVICES}/{name}"])
        change(after)
        self._store(f"{SERVICES}/{name}", after)

    async def run(self, *arguments: str, text: str | None = None) -> Result:
        """The outcome of a command."""
        words = [*arguments, "--kubeconfig", str(self.kubeconfig)]
        return await asyncio.to_thread(CliRunner().invoke, app, words, input=text)

    async def handle(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization"))
        if self.faults:
            status, message = self.faults.pop(0)
            return _failure(status, message)
        if any(f"/{plural}" in request.path for plural in self.forbidden):
            return _failure(403, "not allowed")
        if request.method == "PATCH":
            return self._patch(request.path, await request.json(), request)
        if request.path in self.objects:
            answer = web.json_response(self.objects[request.path])
            self.on_read()
            return answer
        if request.path.rsplit("/", 1)[-1].endswith("s") and request.path.count("/") in (4, 5, 6):
            return self._list(request)
        return _failure(404, f'inferenceservices.tidegate.dev "{request.path.rsplit("/", 1)[-1]}" not found')

    def _list(self, request: web.Request) -> web.Response:
        wanted = dict(part.split("=") for part in request.query.get("labelSelector", "").split(",") if part)
        found = [
            {key: value for key, value in item.items() if key not in ("kind", "apiVersion")}
            for path, item in self.objects.items()
            if _collection(path, request.path) == request.path
            and wanted.items() <= item["metadata"].get("labels", {}).items()
        ]
        begin = int(request.query.get("continue", "0"))
        following = begin + 2 if begin + 2 < len(found) else None
        metadata = {"resourceVersion": "1", **({"continue": str(following)} if following else {})}
        return web.json_response({"metadata": metadata, "items": found[begin : begin + 2]})

    def _patch(self, path: str, patch: Object, request: web.Request) -> web.Response:
        assert request.content_type == "application/merge-patch+json"
        assert request.query["fieldManager"] == "kubectl-tidegate"
        assert path.endswith("/status")
        path = path.removesuffix("/status")
        self.before_patch()
        live = self.objects[path]
        if patch["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]:
            return _failure(409, "the object has been modified")
        self.patches.append(patch)
        after = copy.deepcopy(live)
        after["status"].setdefault("rollout", {})["request"] = patch["status"]["rollout"]["request"]
        answer = copy.deepcopy(self._store(path, after))
        self.after_patch(patch["status"]["rollout"]["request"])
        if self.lose_answer:
            return _failure(504, "the server was unable to return a response in the time allotted")
        return web.json_response(answer)

    def _store(self, path: str, live: Object) -> Object:
        self._version += 1
        after = copy.deepcopy(live)
        after["metadata"]["resourceVersion"] = str(self._version)
        self.objects[path] = after
        return after


def answering(server: ApiServer, *, accepted: bool = True, message: str = "done") -> Callable[[Object], None]:
    """A controller that answers each request at once."""

    def answer(request: Object) -> None:
        told = {**request, "accepted": accepted, "message": message, "time": "2026-11-22T10:00:00Z"}
        server.edit("churn", lambda live: live["status"]["rollout"].update(lastRequest=told))

    return answer


def kubeconfig_for(url: str, path: Path, **context: str) -> Path:
    """A kubeconfig with one cluster, whose context is in namespace ml."""
    named = {"cluster": "test", "user": "test", "namespace": "ml", **context}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": "t0ken"}}],
        "contexts": [{"name": "test", "context": named}, {"name": "other", "context": {**named, "namespace": "shop"}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def shown(result: Result) -> Any:
    """The JSON that a command printed."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def _collection(path: str, asked: str) -> str:
    """The path of the list that an object is in; of all namespaces, where that is `asked` for."""
    whole = path.rsplit("/", 1)[0]
    return whole if "/namespaces/" in asked else re.sub(r"/namespaces/[^/]+", "", whole)


def _failure(status: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "status": "Failure", "message": message}, status=status)
