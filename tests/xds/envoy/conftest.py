"""A real Envoy with the chart's bootstrap, and the real xds server fed by values instead of a watch."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hops.envoy import Envoy
from localcluster.ports import free_ports
from tidegate_operator import naming
from tidegate_operator.install import Install
from tidegate_operator.kube.store import Store
from tidegate_operator.process.serving import serving
from tidegate_operator.routing import router as routing
from tidegate_operator.xds.catalogue import Catalogue
from tidegate_operator.xds.discovery import Discovery
from tidegate_operator.xds.metrics import XdsMetrics
from tidegate_operator.xds.web import discovery_app


class XdsServer:
    """One replica of the `xds` command, fed by values instead of a watch."""

    def __init__(self, data_port: int, builders: Any) -> None:
        self.metrics = XdsMetrics()
        self.catalogue = Catalogue("cluster.test", port=data_port, external="models.example.com", exposed=True)
        self.listings: list[Callable[[], None]] = []
        self.behind = asyncio.Event()
        self.discovery = Discovery(self.catalogue, self.metrics, self._fresh)
        self.discovery.ready = True
        self._builders = builders
        self._stack = contextlib.AsyncExitStack()

    async def _fresh(self) -> None:
        self.behind.set()
        if not self.listings:
            await asyncio.Event().wait()
        self.listings.pop(0)()
        self.discovery.publish()

    async def start(self, port: int) -> None:
        app = discovery_app(self.discovery, self.metrics)
        await self._stack.enter_async_context(serving(app, "127.0.0.1", port))
        self._stack.callback(self.discovery.close)

    async def stop(self) -> None:
        await self._stack.aclose()

    def answers(self, kind: str, answer: str) -> float:
        labels = {"type": kind, "answer": answer}
        return self.metrics.registry.get_sample_value("tidegate_xds_requests_total", labels) or 0

    def service(self, version: int, name: str = "churn", **status: Any) -> None:
        """The status says `stable="a"`, `canary=("b", 10)`, `retiring=["c"]`; `ready` pods of the canary."""
        self.catalogue.see_service(self._builders.service(version, name, **status))
        self.discovery.noticed()

    def endpoints(self, version: int, revision: str, *pods: Any, grpc_port: int | None = None) -> None:
        self.catalogue.see_slice(self._builders.slice(version, revision, pods, grpc_port))
        self.discovery.noticed()


class Mesh:
    """All of it together; `router`, `xds` and `pods` can be stopped and started."""

    def __init__(self, folder: Path, builders: Any, pod_type: Any, load_type: Any, until: Any) -> None:
        self.router = Envoy(folder, free_ports(4))
        self.xds = XdsServer(self.router.data_port, builders)
        self._builders = builders
        self._pod_type = pod_type
        self._load_type = load_type
        self._until = until
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        self._pods: list[Any] = []
        self._servers = [self.xds]

    async def start(self) -> None:
        await self.xds.start(self.router.xds_port)
        self.router.start()
        await self._until(self.is_ready, "the router is ready")

    async def close(self) -> None:
        await self.session.close()
        self.router.stop()
        for server in self._servers:
            await server.stop()
        for pod in self._pods:
            await pod.stop()

    async def replica(self) -> XdsServer:
        """Another replica of xds; it takes over the port when the first one is stopped."""
        server = XdsServer(self.router.data_port, self._builders)
        self._servers.append(server)
        return server

    async def pod(self, revision: str, address: str = "127.0.0.1", port: int = 0) -> Any:
        pod = await self._pod_type(revision, address).start(port)
        self._pods.append(pod)
        return pod

    async def pods(self, revision: str, count: int) -> list[Any]:
        """Pods of one revision: one port, addresses of their own."""
        (port,) = free_ports(1)
        pods = [self._pod_type(revision, f"127.0.0.{10 + number}") for number in range(count)]
        self._pods += pods
        return [await pod.start(port) for pod in pods]

    def load(self, host: str = "churn.ml") -> Any:
        return self._load_type(self.session, self.router.url, host)

    async def is_ready(self) -> Any:
        try:
            async with self.session.get(f"{self.router.public}/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def stat(self, name: str) -> int:
        query = {"format": "json", "filter": f"^{name}$"}
        async with self.session.get(f"{self.router.public}/stats", params=query) as response:
            stats = (await response.json())["stats"]
        return sum(stat["value"] for stat in stats if "value" in stat)

    async def healthy(self, revision: str) -> int:
        return await self.stat(f"cluster.ml/{revision}/pods.membership_healthy")

    async def sees(self, revision: str, healthy: int) -> None:
        async def holds() -> bool:
            return await self.healthy(revision) == healthy

        await self._until(holds, f"{healthy} healthy pods of {revision}")


@pytest.fixture
async def mesh(tmp_path: Path, builders: Any, pod_type: Any, load_type: Any, until: Any) -> AsyncIterator[Mesh]:
    mesh = Mesh(tmp_path, builders, pod_type, load_type, until)
    try:
        yield mesh
    finally:
        await mesh.close()


@pytest.fixture
async def controller(mesh: Mesh, builders: Any, monkeypatch: pytest.MonkeyPatch) -> routing.Router:
    """What the controller knows routers by, looking anew each time."""
    monkeypatch.setattr(naming, "ADMIN_PORT", mesh.router.public_port)
    monkeypatch.setattr(naming, "DATA_PORT", mesh.router.data_port)
    monkeypatch.setattr(routing, "FRESH_SECONDS", -1)
    install, store = Install(), Store()
    store.put({"kind": naming.KIND, **builders.service(1)})
    store.put(
        {
            "kind": "EndpointSlice",
            "metadata": {"name": "router", "namespace": install.namespace, "resourceVersion": "1"},
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        }
    )
    return routing.Router(install, store, mesh.session)
