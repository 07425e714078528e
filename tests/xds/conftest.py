"""Values as the API server gives them, small HTTP servers as pods, and callers who count what they get."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tidegate_operator.xds import names

DEADLINE_SECONDS = 15.0


async def eventually(holds: Callable[[], Any], what: str) -> None:
    """Poll a condition, sync or async, until it holds."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                held = holds()
                if await held if asyncio.iscoroutine(held) else held:
                    return
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"not within {DEADLINE_SECONDS:g} s: {what}")


class Pod:
    """A pod of a revision: ready or not, and answering with its revision's name."""

    def __init__(self, revision: str, address: str = "127.0.0.1") -> None:
        self.revision = revision
        self.address = address
        self.port = 0
        self.ready = True
        self.served = 0
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()
        self.hangs_up = False
        self.seen: list[web.Request] = []
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> "Pod":
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/v2/models/{model}/versions/{version}/ready", self._health)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.address, port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.ready else 503)

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        await self.gate.wait()
        if self.hangs_up and request.transport:
            # As the kernel does for a process that is killed.
            request.transport.abort()
        self.served += 1
        self.seen.append(request)
        return web.json_response({"revision": self.revision, "bytes": len(body)}, status=self.status)


def inference_service(
    version: int,
    name: str = "churn",
    *,
    stable: str | None = None,
    canary: tuple[str, int] | None = None,
    retiring: list[str] | None = None,
    timeout: str = "30s",
    ready: int = 0,
    rollout: dict[str, Any] | None = None,
    grpc: bool = False,
    provider: str = "Router",
    routing: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """`ready` pods of the canary, `rollout`, `routing.grpc` and `provider` of the spec, `routing` of the status."""
    status: dict[str, Any] = {}
    if stable:
        status["stable"] = {"revision": stable, "weight": 100 - (canary[1] if canary else 0), "timeout": timeout}
    if canary:
        status["canary"] = {
            "revision": canary[0],
            "weight": canary[1],
            "readyReplicas": ready,
            "timeout": timeout,
        }
    if routing:
        status["routing"] = routing
    if retiring:
        status["retiring"] = [{"revision": each, "until": "2026-11-22T10:00:00Z"} for each in retiring]
    return {
        "metadata": {"namespace": "ml", "name": name, "uid": f"uid-of-{name}", "resourceVersion": str(version)},
        "spec": {
            "model": {"uri": "https://models/x"},
            "rollout": rollout or {},
            "routing": {"provider": provider, "grpc": grpc},
        },
        "status": status,
    }


def endpoint_slice(
    version: int, revision: str, pods: Any, grpc_port: int | None = None, **metadata: Any
) -> dict[str, Any]:
    """One slice per pod's port would be needed in Kubernetes too: here every pod has a port of its own."""
    ports = {pod.port for pod in pods}
    assert len(ports) <= 1, "pods of one slice share a port: give them addresses of their own"
    return {
        "metadata": {
            "namespace": "ml",
            "name": f"{revision}-slice",
            "resourceVersion": str(version),
            "labels": {names.REVISION_LABEL: revision},
            **metadata,
        },
        "addressType": "IPv4",
        "ports": [
            *({"name": "http", "port": port} for port in ports),
            *([{"name": "grpc", "port": grpc_port}] if grpc_port else []),
        ],
        "endpoints": [{"addresses": [pod.address], "conditions": {"ready": True}} for pod in pods],
    }


class Load:
    """Callers who never stop; what they got, by status and by the revision that answered."""

    def __init__(self, session: aiohttp.ClientSession, url: str, host: str) -> None:
        self.statuses: Counter[int | str] = Counter()
        self.revisions: Counter[str] = Counter()
        self.last: dict[str, float] = {}
        """When each of them answered last, by the loop's clock."""
        self._session = session
        self._url = f"{url}/v2/models/churn/infer"
        self._headers = {"Host": host}
        self._tasks: list[asyncio.Task[None]] = []

    async def once(self, body: bytes = b"{}", headers: dict[str, str] | None = None) -> tuple[int, str | None]:
        named = {**self._headers, **(headers or {})}
        async with self._session.post(self._url, data=body, headers=named) as response:
            revision = response.headers.get(names.REVISION_HEADER)
            answer = await response.json()
        assert response.status != 200 or answer["revision"] == revision
        return response.status, revision

    async def send(self, count: int, workers: int = 16) -> Counter[str]:
        """Revisions that answered `count` requests; any other status than 200 fails."""
        revisions: Counter[str] = Counter()
        left = iter(range(count))

        async def work() -> None:
            for _ in left:
                status, revision = await self.once()
                assert (status, bool(revision)) == (200, True)
                revisions[str(revision)] += 1

        await asyncio.gather(*(work() for _ in range(workers)))
        return revisions

    @contextlib.asynccontextmanager
    async def constant(self, workers: int = 8) -> AsyncIterator["Load"]:
        """Requests without a pause while the block runs."""
        self._tasks = [asyncio.create_task(self._forever()) for _ in range(workers)]
        try:
            await eventually(lambda: sum(self.statuses.values()) >= workers, "first answers")
            yield self
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def more(self, count: int) -> None:
        """Return once `count` more requests are answered."""
        before = sum(self.statuses.values())
        await eventually(lambda: sum(self.statuses.values()) >= before + count, f"{count} more answers")

    async def _forever(self) -> None:
        while True:
            try:
                status, revision = await self.once()
            except aiohttp.ClientError as error:
                self.statuses[type(error).__name__] += 1
            else:
                self.statuses[status] += 1
                self.revisions[str(revision)] += 1
                self.last[str(revision)] = asyncio.get_running_loop().time()


@pytest.fixture
def builders() -> Any:
    """Values as the API server gives them."""

    class Builders:
        service = staticmethod(inference_service)
        slice = staticmethod(endpoint_slice)

    return Builders


@pytest.fixture
def until() -> Callable[[Callable[[], Any], str], Any]:
    return eventually


@pytest.fixture
def pod_type() -> Any:
    return Pod


@pytest.fixture
def load_type() -> Any:
    return Load
