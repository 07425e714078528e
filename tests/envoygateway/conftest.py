"""A cluster with Envoy Gateway and the chart, a Gateway, and a service of its own for each test."""

import itertools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envoygateway import release
from lab import diagnosis, install
from lab.kubectl import ROOT, Kubectl, Object
from lab.pods import Pods
from lab.service import Service
from lab.storm import specification
from localcluster.progress import Progress

from .names import GATEWAY, hostname, until_there

NAMESPACE = f"tidegate-gateway-{uuid.uuid4().hex[:6]}"
VALUES = f"gateway: {{enabled: true, name: {GATEWAY}, namespace: {release.NAMESPACE}, sectionName: all}}\n"

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def gateway(kubectl: Kubectl) -> Iterator[None]:
    """Envoy Gateway with one Gateway, whose listener `all` takes all routes; what the others take, their names say."""
    release.claim(kubectl)
    try:
        release.install(kubectl, install.router_image(), Progress())
        _open(kubectl)
        yield
    finally:
        release.remove(kubectl)


def _open(kubectl: Kubectl) -> None:
    everywhere = {"name": "all", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
    listeners = [
        everywhere,
        {**everywhere, "name": "own", "port": 81, "allowedRoutes": {"namespaces": {"from": "Same"}}},
        {**everywhere, "name": "elsewhere", "port": 82, "hostname": "*.elsewhere.example"},
    ]
    kubectl.apply(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": GATEWAY, "namespace": release.NAMESPACE},
            "spec": {"gatewayClassName": release.CLASS, "listeners": listeners},
        }
    )
    words = ("-n", release.NAMESPACE, f"gateway/{GATEWAY}")
    kubectl.run("wait", *words, "--for=condition=Programmed", "--timeout=120s")


@pytest.fixture(scope="session")
def pods(kubectl: Kubectl, gateway: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    values = tmp_path_factory.mktemp("values") / "gateway.yaml"
    values.write_text(VALUES)
    install.chart(kubectl, ROOT / "charts/tidegate/ci/small-values.yaml", values)
    install.namespace(kubectl, NAMESPACE)
    pods = Pods(kubectl, NAMESPACE, install.runtime_image())
    pods.create()
    yield pods
    kubectl.run("delete", "isv", "--all", "-n", NAMESPACE)
    kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def service(kubectl: Kubectl, pods: Pods, request: pytest.FixtureRequest) -> Iterator[Service]:
    """One that isn't made yet; the names by which a Gateway has it stand for the Gateway."""
    service = Service(kubectl, NAMESPACE, f"doubling-{next(_numbers)}")
    names = [hostname(service, protocol).partition(".")[0] for protocol in ("web", "rpc")]
    aliases: list[Object] = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": release.HOST},
        }
        for name in names
    ]
    kubectl.apply(*aliases)
    yield service
    if getattr(request.node, "failed", False):
        folder = Path("artifacts") / "envoygateway" / request.node.name
        diagnosis.keep(kubectl, (NAMESPACE, install.NAMESPACE, release.NAMESPACE), folder)
        (folder / "routes.yaml").write_text(kubectl.run("get", "gateways,httproutes,grpcroutes", "-A", "-o", "yaml"))
    service.delete()


@pytest.fixture
def version(pods: Pods, service: Service) -> Callable[..., Object]:
    def build(number: int, provider: str = "Gateway", **rollout: Any) -> Object:
        """The spec of a version, which waits at 10 % for approval, reached by `provider`."""
        names = {"hostnames": [hostname(service, "web")], "grpcHostnames": [hostname(service, "rpc")]}
        gateway = {"gateway": names} if provider == "Gateway" else {}
        steps = {"steps": [{"weight": 10, "hold": "1s"}], "approval": "Manual", "scaleDownDelay": "1s"}
        return {
            **specification(pods, number),
            "routing": {"provider": provider, "grpc": True, **gateway},
            "rollout": {**steps, **rollout},
        }

    return build


@pytest.fixture
def ready(service: Service, version: Callable[..., Object], pods: Pods) -> Service:
    """A service whose first version serves by the Gateway."""
    service.apply(version(1))
    service.until_condition("Ready")
    until_there(pods, service)
    return service
