"""The real xds server, fed by values instead of a watch: what routers and pods are told."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from hops.fleet import Pod
from tidegate_operator.process.serving import serving
from tidegate_operator.xds.catalogue import Catalogue
from tidegate_operator.xds.discovery import Discovery
from tidegate_operator.xds.metrics import XdsMetrics
from tidegate_operator.xds.web import discovery_app


@dataclass
class Plane:
    """Tells what it was told last."""

    catalogue: Catalogue
    discovery: Discovery
    version: int = 0

    def service(self, name: str, provider: str, stable: str, canary: str | None, weight: int) -> None:
        """The service has these revisions, and callers come by that provider."""
        self.version += 1
        status: dict[str, Any] = {"stable": {"revision": stable, "weight": 100 - weight}}
        if canary is not None:
            status["canary"] = {"revision": canary, "weight": weight, "readyReplicas": 1}
        if provider != "Router":
            status["routing"] = {"provider": provider}
        self.catalogue.see_service(
            {
                "metadata": {"namespace": "ml", "name": name, "uid": name, "resourceVersion": str(self.version)},
                "spec": {"routing": {"provider": provider, "grpc": True}},
                "status": status,
            }
        )
        self.discovery.publish()

    def endpoints(self, revision: str, pods: Sequence[Pod]) -> None:
        """The revision has these pods."""
        self.version += 1
        ports = {pod.port for pod in pods}, {pod.grpc_port for pod in pods}
        (port,), (grpc_port,) = ports
        self.catalogue.see_slice(
            {
                "metadata": {
                    "namespace": "ml",
                    "name": revision,
                    "resourceVersion": str(self.version),
                    "labels": {"tidegate.dev/revision": revision},
                },
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": port}, {"name": "grpc", "port": grpc_port}],
                "endpoints": [{"addresses": [pod.address], "conditions": {"ready": True}} for pod in pods],
            }
        )
        self.discovery.publish()


@contextlib.asynccontextmanager
async def plane(port: int, data_port: int) -> AsyncIterator[Plane]:
    """Serves on `port`; routers listen on `data_port`."""
    metrics = XdsMetrics()
    catalogue = Catalogue("cluster.test", port=data_port)

    async def fresh() -> None:
        discovery.publish()

    discovery = Discovery(catalogue, metrics, fresh)
    discovery.ready = True
    async with serving(discovery_app(discovery, metrics), "127.0.0.1", port):
        try:
            yield Plane(catalogue, discovery)
        finally:
            discovery.close()
