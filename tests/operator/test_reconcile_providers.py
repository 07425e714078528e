"""Services by each way of routing, and what a service goes through on its way from one to another."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from tidegate_operator.desired.routes import shares_of
from tidegate_operator.install import Install
from tidegate_operator.kube.objects import GRPC_ROUTE, HTTP_ROUTE, POD, SERVICE, Kind
from tidegate_operator.naming import revision_labels
from tidegate_operator.revisions import revision_of
from tidegate_operator.routing.moving import LEAVE, SETTLE

from .builders import Object, a_pod, a_service, a_spec
from .operated_cluster import OperatedCluster

Serving = Callable[..., Awaitable[OperatedCluster]]

NEW_MODEL = {"uri": "https://models.example/churn-2.onnx"}
STEPS = {"steps": [{"weight": 50, "hold": "1m"}], "analysis": {"onNoData": "Pass"}, "scaleDownDelay": "5m"}
ROUTER, PODS = "tidegate-router.tidegate-system.svc.cluster.local", "churn-pods.ml.svc.cluster.local"
API = "/apis/gateway.networking.k8s.io/v1"


def host(found: OperatedCluster) -> str:
    """What the service's own name stands for."""
    name: str = found.cluster.of_kind("Service")["churn"]["spec"]["externalName"]
    return name


def selector(found: OperatedCluster) -> Object:
    chosen: Object = found.cluster.of_kind("Service")["churn-pods"]["spec"]["selector"]
    return chosen


async def later(found: OperatedCluster, delay: timedelta) -> None:
    found.now += delay
    await found.settle()


def endpoints(found: OperatedCluster, *, ready: bool = True) -> None:
    """Kubernetes has heard of the pods behind the service for them."""
    found.cluster.put(
        {
            "kind": "EndpointSlice",
            "metadata": {
                "name": "churn-pods-x",
                "namespace": "ml",
                "labels": {"kubernetes.io/service-name": "churn-pods"},
            },
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}],
        }
    )


async def test_a_service_without_a_proxy_leads_to_its_pods_and_says_that_weights_are_approximate(
    serving: Serving,
) -> None:
    found = await serving(routing={"provider": "Service", "grpc": True})
    stable = found.revision("stable")
    assert host(found) == PODS
    assert selector(found) == {"tidegate.dev/service": "churn", "tidegate.dev/revision": stable}
    ports = found.cluster.of_kind("Service")["churn-pods"]["spec"]["ports"]
    assert [(port["port"], port["targetPort"]) for port in ports] == [(80, "http"), (8081, 8081)]
    assert found.condition("TrafficRouted") == ("True", "Routed")
    assert found.status["routing"]["weights"] == "Approximate"
    assert "share follows" in found.status["routing"]["message"]


async def test_its_selector_is_as_wide_as_a_canarys_weight_and_no_wider(serving: Serving) -> None:
    found = await serving(routing={"provider": "Service"}, rollout=STEPS)
    stable = found.revision("stable")
    found.failing.add(revision_of("churn", a_spec(model=NEW_MODEL)).name)
    found.change(model=NEW_MODEL)
    await found.settle()
    assert selector(found)["tidegate.dev/revision"] == stable, "a canary without weight gets none"
    found.failing.clear()
    await found.settle()
    assert found.status["canary"]["weight"] == 50
    assert selector(found) == {"tidegate.dev/service": "churn"}
    found.ask("Abort", found.revision("canary"))
    await found.settle()
    assert selector(found)["tidegate.dev/revision"] == stable


async def test_a_canary_waits_while_a_third_revision_has_pods_that_a_selector_would_lead_to(serving: Serving) -> None:
    found = await serving(routing={"provider": "Service"}, rollout=STEPS)
    old = a_pod("churn-00000000")
    old["metadata"]["labels"] = revision_labels("churn", "churn-00000000")
    found.cluster.put(old)
    found.change(model=NEW_MODEL)
    await found.settle()
    assert found.status["canary"]["weight"] == 0
    assert "churn-00000000 are gone" in found.status["rollout"]["message"]
    found.cluster.remove(POD.path("ml", old["metadata"]["name"]))
    await found.settle()
    assert found.status["canary"]["weight"] == 50


async def test_a_service_leaves_the_router_only_for_a_way_that_is_seen_to_work(serving: Serving) -> None:
    found = await serving()
    found.change(routing={"provider": "Service"})
    await found.settle()
    assert SERVICE.path("ml", "churn-pods") in found.cluster.objects, "the new way is built"
    await later(found, 2 * SETTLE)
    assert host(found) == ROUTER, "nothing is behind it yet"
    endpoints(found, ready=False)
    await later(found, 2 * SETTLE)
    assert host(found) == ROUTER, "nothing is ready behind it yet"
    endpoints(found)
    await later(found, SETTLE / 5)
    assert (host(found), found.status["routing"]["coming"]) == (ROUTER, "Service")
    await later(found, SETTLE)
    assert host(found) == PODS
    assert found.status["routing"]["leaving"] == "Router"
    await later(found, LEAVE)
    assert found.status["routing"].keys() == {"provider", "weights", "message"}


async def test_a_service_that_is_back_at_the_router_keeps_its_own_service_until_nobody_uses_it(
    serving: Serving,
) -> None:
    found = await serving(routing={"provider": "Service"})
    found.routers.answer = False
    found.change(routing={"provider": "Router"})
    await later(found, 2 * SETTLE)
    await later(found, 2 * SETTLE)
    assert host(found) == PODS, "no router sees its pods"
    found.routers.answer = True
    await found.settle()
    await later(found, SETTLE)
    assert host(found) == ROUTER
    assert "churn-pods" in found.cluster.of_kind("Service")
    await later(found, LEAVE)
    await found.settle()
    assert "churn-pods" not in found.cluster.of_kind("Service")
    assert "routing" not in found.status


@pytest.fixture
def gated(operated: OperatedCluster) -> OperatedCluster:
    """An install that may write routes."""
    operated.install = Install(gateway_enabled=True, gateway_name="public", gateway_namespace="gateways")
    operated.operator = operated.new_operator()
    return operated


def serve_gateway_api(found: OperatedCluster, *kinds: str) -> None:
    resources = [{"kind": kind} for kind in kinds or ("HTTPRoute", "GRPCRoute")]
    metadata = {"name": "gateway", "resourceVersion": "1"}
    version = API.removeprefix("/apis/")
    listed = {"kind": "APIResourceList", "groupVersion": version, "metadata": metadata, "resources": resources}
    found.cluster.objects[API] = listed


def judge(found: OperatedCluster, status: str = "True", kind: Kind = HTTP_ROUTE, **message: str) -> None:
    """A Gateway's controller answers for the route as it is."""

    def answer(route: Object) -> None:
        (parent,) = route["spec"]["parentRefs"]
        generation = route["metadata"]["generation"]
        condition = {"status": status, "observedGeneration": generation, "reason": "Why", **message}
        conditions = [{"type": each, **condition} for each in ("Accepted", "ResolvedRefs")]
        route["status"] = {"parents": [{"parentRef": parent, "conditions": conditions}]}

    found.cluster.edit(kind.path("ml", "churn"), answer)


def shares(found: OperatedCluster) -> dict[str, int]:
    return shares_of(found.cluster.objects[HTTP_ROUTE.path("ml", "churn")])


async def gateway_service(found: OperatedCluster, **spec: Any) -> None:
    found.cluster.put(a_service({"routing": {"provider": "Gateway"}, **spec}))
    await found.settle()


async def test_a_cluster_without_the_gateway_api_is_told_in_a_condition(gated: OperatedCluster) -> None:
    await gateway_service(gated)
    assert gated.condition("TrafficRouted") == ("False", "GatewayApiMissing")
    assert gated.condition("Stalled") == ("True", "GatewayApiMissing")
    assert gated.status["rollout"]["phase"] == "Initial"
    serve_gateway_api(gated)
    await gated.settle()
    assert gated.condition("TrafficRouted") == ("Unknown", "RoutePending")
    judge(gated)
    await gated.settle()
    assert gated.condition("Ready") == ("True", "Serving")


async def test_an_install_without_the_right_to_routes_refuses_the_spec(operated: OperatedCluster) -> None:
    operated.cluster.put(a_service({"routing": {"provider": "Gateway"}}))
    await operated.settle()
    assert operated.condition("Ready") == ("False", "InvalidSpec")


async def test_services_of_revisions_stay_until_the_routes_that_lead_there_are_gone(gated: OperatedCluster) -> None:
    serve_gateway_api(gated)
    await gateway_service(gated, routing={"provider": "Gateway", "grpc": True})
    judge(gated)
    judge(gated, kind=GRPC_ROUTE)
    await gated.settle()

    def owners() -> list[str]:
        service = gated.cluster.objects[SERVICE.path("ml", gated.revision("stable"))]
        return [reference["kind"] for reference in service["metadata"]["ownerReferences"]]

    assert owners() == ["InferenceService", "HTTPRoute", "GRPCRoute"]
    gated.change(routing={"provider": "Router"})
    await gated.settle()
    await later(gated, timedelta(seconds=1))
    await later(gated, SETTLE)
    await later(gated, LEAVE)
    await gated.settle()
    assert owners() == ["InferenceService"]


async def test_a_step_goes_on_only_while_the_route_is_accepted_as_it_is(gated: OperatedCluster) -> None:
    serve_gateway_api(gated)
    steps = [{"weight": 10, "hold": "1m"}, {"weight": 50, "hold": "1m"}]
    await gateway_service(gated, rollout={**STEPS, "steps": steps})
    judge(gated)
    await gated.settle()
    stable = gated.revision("stable")
    judge(gated, "False", message="no such listener")
    gated.change(model=NEW_MODEL)
    await gated.settle()
    assert gated.status["canary"]["weight"] == 0
    assert gated.condition("TrafficRouted") == ("False", "RouteNotAccepted")
    judge(gated)
    await gated.settle()
    canary = gated.revision("canary")
    assert shares(gated) == {stable: 90, canary: 10}
    # Nobody has answered for the route with these weights yet.
    await later(gated, timedelta(minutes=2))
    assert gated.status["canary"]["weight"] == 10
    judge(gated)
    await gated.settle()
    assert shares(gated) == {stable: 50, canary: 50}
    judge(gated, "False")
    gated.ask("Abort", canary)
    await gated.settle()
    assert shares(gated) == {stable: 100}, "an abort waits for nobody"


async def test_callers_in_the_cluster_come_by_the_router_and_a_route_goes_when_it_is_not_used_any_more(
    gated: OperatedCluster,
) -> None:
    serve_gateway_api(gated)
    await gateway_service(gated, routing={"provider": "Gateway", "grpc": True})
    judge(gated)
    judge(gated, kind=GRPC_ROUTE)
    await gated.settle()
    assert host(gated) == ROUTER
    # A controller that begins anew knows of no route but by looking.
    gated.operator = gated.new_operator()
    gated.change(routing={"provider": "Router"})
    await gated.settle()
    await later(gated, timedelta(seconds=1))
    await later(gated, SETTLE)
    assert gated.status["routing"]["leaving"] == "Gateway"
    assert HTTP_ROUTE.path("ml", "churn") in gated.cluster.objects
    gated.operator = gated.new_operator()
    await later(gated, LEAVE)
    await gated.settle()
    assert not {HTTP_ROUTE.path("ml", "churn"), GRPC_ROUTE.path("ml", "churn")} & set(gated.cluster.objects)
    assert "routing" not in gated.status
    assert gated.condition("Ready") == ("True", "Serving")


OWN = {"name": "own", "namespace": "edge", "hostnames": ["churn.example"], "grpcHostnames": ["rpc.churn.example"]}


def place(found: OperatedCluster, kind: Kind) -> tuple[str, list[str]]:
    """At which Gateway a route is, and under which names."""
    spec = found.cluster.objects[kind.path("ml", "churn")]["spec"]
    (parent,) = spec["parentRefs"]
    return f"{parent['namespace']}/{parent['name']}", spec["hostnames"]


@pytest.mark.parametrize("default", ["public", ""], ids=["another", "none"])
async def test_a_service_that_leaves_a_gateway_of_its_own_stays_there_though_the_installs_is(
    default: str, gated: OperatedCluster
) -> None:
    gated.install = gated.install.model_copy(update={"gateway_name": default})
    gated.operator = gated.new_operator()
    serve_gateway_api(gated)
    await gateway_service(gated, routing={"provider": "Gateway", "grpc": True, "gateway": OWN}, rollout=STEPS)
    judge(gated)
    judge(gated, kind=GRPC_ROUTE)
    await gated.settle()
    gated.change(routing={"provider": "Router", "grpc": True})
    await gated.settle()
    await later(gated, timedelta(seconds=1))
    await later(gated, SETTLE)
    assert gated.status["routing"]["leaving"] == "Gateway"
    # Weights still follow a rollout, also where a controller begins anew.
    gated.operator = gated.new_operator()
    gated.change(model=NEW_MODEL)
    await gated.settle()
    assert shares(gated) == {gated.revision("stable"): 50, gated.revision("canary"): 50}
    assert place(gated, HTTP_ROUTE) == ("edge/own", ["churn.example"])
    assert place(gated, GRPC_ROUTE) == ("edge/own", ["rpc.churn.example"])
    # Who deleted them gets none at the install's Gateway instead.
    for kind in (HTTP_ROUTE, GRPC_ROUTE):
        gated.cluster.remove(kind.path("ml", "churn"))
    await later(gated, timedelta(seconds=1))
    assert HTTP_ROUTE.path("ml", "churn") not in gated.cluster.objects


async def test_routes_stay_where_they_are_when_the_install_names_no_gateway_any_more(gated: OperatedCluster) -> None:
    serve_gateway_api(gated)
    await gateway_service(gated)
    judge(gated)
    await gated.settle()
    before = place(gated, HTTP_ROUTE)
    gated.install = gated.install.model_copy(update={"gateway_name": "", "gateway_namespace": ""})
    gated.operator = gated.new_operator()
    await gated.settle()
    assert (
        place(gated, HTTP_ROUTE)
        == before
        == ("gateways/public", ["churn.ml", "churn.ml.svc", "churn.ml.svc.cluster.local"])
    )
    assert gated.condition("Ready") == ("False", "InvalidSpec")
    assert gated.condition("TrafficRouted") == ("True", "Routed")


@pytest.mark.parametrize("change", [{"sectionName": "none"}, {"hostnames": ["other.example"]}], ids=str)
async def test_what_was_accepted_where_the_spec_had_it_before_is_not_told_of_the_spec_as_it_is(
    change: Object, gated: OperatedCluster
) -> None:
    serve_gateway_api(gated)
    await gateway_service(gated, routing={"provider": "Gateway", "gateway": OWN})
    judge(gated)
    await gated.settle()
    seen: list[tuple[int, str]] = []

    def note(item: Object) -> None:
        (told,) = (each for each in item["status"]["conditions"] if each["type"] == "TrafficRouted")
        seen.append((told["observedGeneration"], told["reason"]))

    gated.change(routing={"provider": "Gateway", "gateway": {**OWN, **change}})
    generation = gated.service["metadata"]["generation"]
    # One pass: what it tells is what whoever waits for this generation sees first.
    await gated.operator.look()
    outcome = await gated.operator.reconcile(gated.now)
    note(gated.service)
    assert outcome.due == timedelta(seconds=1)
    judge(gated, "False")
    await gated.settle()
    note(gated.service)
    judge(gated)
    await gated.settle()
    note(gated.service)
    assert seen == [(generation, reason) for reason in ("RoutePending", "RouteNotAccepted", "Routed")]
