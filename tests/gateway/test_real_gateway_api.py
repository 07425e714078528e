"""Routes on a real API server with the Gateway API's own CRDs; a Gateway's controller is played by the test."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_kube_config

from gatewayapi import definitions
from lab.kubectl import ROOT, Kubectl
from localcluster import binaries
from localcluster.controlplane import control_plane
from localcluster.progress import Progress
from tidegate_operator import naming
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.install import Install
from tidegate_operator.kube.apply import Applier
from tidegate_operator.kube.client import ApiServer
from tidegate_operator.kube.objects import GRPC_ROUTE, HTTP_ROUTE, SERVICES, Kind
from tidegate_operator.kube.store import Store
from tidegate_operator.rollout.state import RolloutState
from tidegate_operator.routing.gateway import Gateway
from tidegate_operator.routing.provider import Outlook, Subject

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

A, B = "churn-aaaaaaaa", "churn-bbbbbbbb"
SPEC: dict[str, Any] = {
    "model": {"uri": "https://models.example/churn.onnx"},
    "routing": {"provider": "Gateway", "grpc": True, "gateway": {"name": "public", "namespace": "gateways"}},
    "rollout": {"match": [{"header": {"x-model": "canary"}}, {"header": {"x-team": "fraud", "x-stage": "b"}}]},
}
INSTALL = Install(gateway_enabled=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """An API server of one's own with our CRD; nothing runs on it."""
    upstream = binaries.ensure(Progress())
    with control_plane(upstream, tmp_path_factory.mktemp("control-plane")) as kubeconfig:
        kubectl = Kubectl(upstream, kubeconfig)
        kubectl.run("create", "namespace", "ml")
        kubectl.run("apply", "--server-side", "-f", str(ROOT / "crds/tidegate.dev_inferenceservices.yaml"))
        kubectl.run("wait", "crd/inferenceservices.tidegate.dev", "--for=condition=Established", "--timeout=60s")
        yield kubectl


class Operating:
    """The controller's part of it: what it knows, asks and applies."""

    def __init__(self, api: ApiServer, live: Any) -> None:
        self.api = api
        self.store = Store()
        self.applier = Applier(api, self.store)
        self.gateway = Gateway(INSTALL, self.store, api)
        self.subject = Subject(live, InferenceServiceSpec.model_validate(live["spec"]))

    async def look(self) -> Outlook:
        return await self.gateway.outlook(self.subject, [A, B])

    async def apply(self, weight: int) -> int:
        """How many of the routes had to be sent."""
        state = RolloutState(datetime.now(UTC), phase="Progressing", stable=A, canary=B, weight=weight)
        uid = self.subject.live["metadata"]["uid"]
        sent = 0
        for route in self.gateway.manifests(self.subject, state, canary_ready=True):
            sent += not self.applier.stands(route, naming.MANAGER, uid)
            await self.applier.apply(route, naming.MANAGER, uid, datetime.now(UTC))
        return sent

    async def judge(self, kind: Kind, status: str = "True") -> None:
        """What a Gateway's controller says of the route as it is."""
        path = kind.path("ml", "churn")
        route = await self.api.get(path)
        conditions = [
            {
                "type": each,
                "status": status,
                "reason": "NoMatchingParent",
                "message": "no listener takes it",
                "observedGeneration": route["metadata"]["generation"],
                "lastTransitionTime": "2026-11-22T10:00:00Z",
            }
            for each in ("Accepted", "ResolvedRefs")
        ]
        (parent,) = route["spec"]["parentRefs"]
        answer = {"parentRef": parent, "controllerName": "example.net/gateway", "conditions": conditions}
        await self.api.replace(f"{path}/status", {**route, "status": {"parents": [answer]}})


@pytest.fixture
async def operating(server: Kubectl) -> AsyncIterator[Operating]:
    configuration = Configuration()
    await load_kube_config(config_file=str(server.kubeconfig), client_configuration=configuration)
    api = await ApiServer.open(configuration)
    service = {
        "apiVersion": naming.API_VERSION,
        "kind": naming.KIND,
        "metadata": {"name": "churn", "namespace": "ml"},
        "spec": SPEC,
    }
    try:
        yield Operating(api, await api.apply(SERVICES.path("ml", "churn"), service, "test"))
    finally:
        await api.close()


async def reason(operating: Operating) -> str | None:
    found = (await operating.look()).obstacle
    return found.reason if found else None


def serve_routes(server: Kubectl) -> None:
    """Have the API server know the kinds of routes."""
    for file in definitions.files(Progress()):
        server.run("apply", "--server-side", "-f", str(file))
    for plural in definitions.DIGESTS:
        server.run("wait", f"crd/{plural}.gateway.networking.k8s.io", "--for=condition=Established", "--timeout=60s")


async def test_routes_from_no_gateway_api_to_an_accepted_share(server: Kubectl, operating: Operating) -> None:
    assert await reason(operating) == "GatewayApiMissing"
    assert await operating.apply(10) == 0
    serve_routes(server)

    assert await reason(operating) == "RoutePending"
    assert await operating.apply(10) == 2
    assert await reason(operating) == "RoutePending"
    assert await operating.apply(10) == 0, "what the API server fills in is no difference"

    await operating.judge(HTTP_ROUTE)
    await operating.judge(GRPC_ROUTE, "False")
    refused = (await operating.look()).obstacle
    assert refused is not None
    assert (refused.reason, "no listener takes it" in refused.message) == ("RouteNotAccepted", True)
    await operating.judge(GRPC_ROUTE)
    assert await operating.look() == Outlook({A: True, B: True}, None, (await operating.look()).awaited)
    assert await operating.gateway.accepted("ml", "churn", {A: 90, B: 10}) is True
    assert await operating.apply(10) == 0

    assert await operating.apply(50) == 2
    assert await reason(operating) == "RoutePending", "nobody has answered for this generation"
    assert await operating.gateway.accepted("ml", "churn", {A: 50, B: 50}) is False
    for kind in (HTTP_ROUTE, GRPC_ROUTE):
        await operating.judge(kind)
    assert await reason(operating) is None
    assert await operating.gateway.accepted("ml", "churn", {A: 50, B: 50}) is True
    assert await operating.gateway.accepted("ml", "churn", {A: 90, B: 10}) is False


def test_the_routes_of_the_chart_itself_are_the_apis_to_the_letter(server: Kubectl) -> None:
    serve_routes(server)
    parents = [{"name": "public", "namespace": "gateways", "sectionName": name} for name in ("https", "grpc")]
    values = {
        "domain": "models.example.com",
        "httpRoute": {"create": True, "parentRefs": parents[:1]},
        "grpcRoute": {"create": True, "parentRefs": parents[1:]},
    }
    words = ("template", "tidegate", str(ROOT / "charts/tidegate"), "--namespace", "ml")
    told = ("--set-json", f"exposure={json.dumps(values)}", "--show-only", "templates/exposure.yaml")
    routes = server.run(*words, *told, program="helm")
    taken = server.run("apply", "--server-side", "--validate=strict", "-o", "name", "-f", "-", stdin=routes)
    group = "gateway.networking.k8s.io"
    assert sorted(taken.split()) == [f"{kind}.{group}/tidegate-router" for kind in ("grpcroute", "httproute")]
