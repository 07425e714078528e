"""Services at a Gateway of Envoy Gateway: its controller judges our routes, its proxies take requests by them."""

import contextlib
import math
from collections.abc import Callable, Iterator

import pytest

from lab.kubectl import Kubectl, Object
from lab.pods import Answers, Load, Pods
from lab.service import Service, condition
from lab.storm import BODY, PAUSE_SECONDS

from .names import rpc, until_there, web

pytestmark = [pytest.mark.envoygateway, pytest.mark.timeout(900)]

Build = Callable[..., Object]


@contextlib.contextmanager
def callers(pods: Pods, *urls: str) -> Iterator[tuple[Load, ...]]:
    """Callers of each address, with kept connections and with one for each request; none is to lose a request."""
    with contextlib.ExitStack() as stack:
        loads = [
            stack.enter_context(pods.load(url, BODY, concurrency=2, pause=PAUSE_SECONDS, keep_alive=keep_alive))
            for url in urls
            # A channel of gRPC is one connection.
            for keep_alive in ((True, False) if url.startswith("http") else (True,))
        ]
        yield tuple(loads)
    for load in loads:
        assert load.answers.failures == 0, load.answers.failed
        assert load.answers.codes.keys() == {"200"}


def shares(answers: Answers, revision: str, percent: int) -> bool:
    # The binomial 99.9999 % interval: 4.9 standard deviations.
    share = percent / 100
    return abs(answers.share(revision) - share) <= 4.9 * math.sqrt(share * (1 - share) / answers.total)


@pytest.fixture
def canary(ready: Service, version: Build, pods: Pods) -> Service:
    """A service whose second version has 10 % of the requests, and those that ask for it."""
    ready.apply(version(2, match=[{"header": {"x-model": "canary"}}]))
    ready.until_weight(10)
    status = ready.until(lambda status: status["rollout"]["phase"] == "AwaitingApproval", "to wait at 10 %")
    until_there(pods, ready, status["canary"]["revision"])
    return ready


@pytest.mark.parametrize("url", [web, rpc], ids=["REST", "gRPC"])
def test_callers_of_the_gateway_are_shared_by_the_canarys_weight_or_their_headers(
    url: Callable[[Service], str], canary: Service, pods: Pods
) -> None:
    second = canary.status["canary"]["revision"]
    answers = pods.send(url(canary), BODY, count=2000, concurrency=8)
    assert answers.codes == {"200": 2000}, answers.failed
    assert shares(answers, second, 10), answers.versions
    chosen = pods.send(url(canary), BODY, count=100, headers={"x-model": "canary"})
    assert chosen.versions == {second: 100}, chosen.failed
    other = pods.send(url(canary), BODY, count=300, headers={"x-model": "canaries"})
    assert shares(other, second, 10), other.versions


def test_a_version_takes_over_by_its_steps_without_a_lost_request(ready: Service, version: Build, pods: Pods) -> None:
    first = ready.status["stable"]["revision"]
    analysis = {"interval": "1s", "minRequests": 50, "maxP95Increase": "9999%"}
    steps = [{"weight": 10, "hold": "2s"}, {"weight": 50, "hold": "2s"}]
    with callers(pods, web(ready), rpc(ready)) as loads:
        ready.apply(version(2, steps=steps, approval="Automatic", analysis=analysis))
        status = ready.until(lambda status: status["stable"]["revision"] != first, "to have promoted", 180)
        ready.until(lambda status: "retiring" not in status, "to have removed the old stable's pods", 120)
        second = status["stable"]["revision"]
        for url in (web, rpc):
            assert pods.send(url(ready), BODY, count=200).versions == {second: 200}
    for load in loads:
        assert load.answers.versions.keys() == {first, second}


def test_an_abort_takes_all_requests_from_the_canary(canary: Service, pods: Pods) -> None:
    second, first = canary.status["canary"]["revision"], canary.status["stable"]["revision"]
    with callers(pods, web(canary), rpc(canary)):
        canary.request("Abort", second, "abort-1")
        assert canary.until_answered("abort-1")["accepted"] is True
        canary.until(lambda status: status["rollout"]["phase"] == "Aborted", "to be aborted")
        # Its pods go 30 s later: by then the Gateway's proxies have heard of it.
        canary.until(lambda status: "retiring" not in status, "to have removed the canary's pods", 120)
    for url in (web, rpc):
        assert pods.send(url(canary), BODY, count=500).versions == {first: 500}
        chosen = pods.send(url(canary), BODY, count=50, headers={"x-model": "canary"})
        assert chosen.versions == {first: 50}


def test_pods_come_and_go_without_a_lost_request(ready: Service, pods: Pods, kubectl: Kubectl) -> None:
    with callers(pods, web(ready), rpc(ready)):
        for _ in range(2):
            words = ("-n", ready.namespace, f"deployment/{ready.status['stable']['revision']}")
            kubectl.run("rollout", "restart", *words)
            kubectl.run("rollout", "status", *words, "--timeout=120s")


def test_services_of_a_service_that_is_deleted_stay_until_its_routes_are_gone(
    canary: Service, kubectl: Kubectl
) -> None:
    revisions = {canary.status[name]["revision"] for name in ("stable", "canary")}
    place = ("-n", canary.namespace)
    routes = [(*place, kind, canary.name) for kind in ("httproutes", "grpcroutes")]

    def owners(item: Object) -> set[str]:
        return {reference["kind"] for reference in item["metadata"]["ownerReferences"]}

    def hold(finalizers: str) -> None:
        for route in routes:
            kubectl.run("patch", *route, "--type=merge", "-p", f'{{"metadata": {{"finalizers": {finalizers}}}}}')

    hold('["example.com/held"]')
    try:
        canary.delete()
        for route in routes:
            kubectl.wait(lambda found: "deletionTimestamp" in found["metadata"], route, for_what="to be deleted")
        # The collector has been there when it has taken the owner that is gone off them.
        for revision in revisions:
            kubectl.wait(
                lambda found: owners(found) == {"HTTPRoute", "GRPCRoute"},
                (*place, "services", revision),
                for_what="to stay for the routes' sake",
            )
    finally:
        hold("null")
    for revision in revisions:
        kubectl.run("wait", *place, f"service/{revision}", "--for=delete", "--timeout=60s")


REFUSALS = {
    "a listener that there isn't": ({"sectionName": "none"}, "NoMatchingParent"),
    "a listener for others": ({"sectionName": "own"}, "NotAllowedByListeners"),
    "a listener of other names": ({"sectionName": "elsewhere"}, "NoMatchingListenerHostname"),
}


def test_what_the_gateway_says_of_the_routes_is_told_and_a_rollout_waits_for_it(
    ready: Service, version: Build, kubectl: Kubectl
) -> None:
    def at(parent: Object, number: int = 1) -> Object:
        spec = version(number)
        gateway = {"name": "public", "namespace": "envoy-gateway-system", **spec["routing"]["gateway"], **parent}
        return {**spec, "routing": {**spec["routing"], "gateway": gateway}}

    for parent, reason in REFUSALS.values():
        ready.apply(at(parent))
        status = ready.until_condition("TrafficRouted", "False", reason="RouteNotAccepted")
        told = condition(status, "TrafficRouted")
        assert told is not None
        assert reason in told["message"]
    ready.apply(at({"name": "nowhere"}))
    ready.until_condition("TrafficRouted", "Unknown", reason="RoutePending")
    first = ready.status["stable"]["revision"]
    ready.apply(at({"sectionName": "own"}, number=2))
    ready.until(
        lambda status: status.get("canary", {}).get("readyReplicas", 0) > 0, "to have a canary that could serve", 120
    )
    status = ready.until_condition("TrafficRouted", "False", reason="RouteNotAccepted")
    assert (status["canary"]["weight"], status["stable"]["revision"]) == (0, first)
    ready.apply(at({"sectionName": "all"}, number=2))
    ready.until_condition("TrafficRouted")
    ready.until_weight(10)


def test_a_service_that_goes_over_to_a_gateway_and_back_loses_no_request(
    service: Service, version: Build, pods: Pods
) -> None:
    service.apply(version(1, provider="Router"))
    service.until_condition("Ready")
    with callers(pods, service.url, service.grpc_url):
        service.apply(version(1))
        service.until(lambda status: (status.get("routing") or {}).get("provider") == "Gateway", "to be routed by it")
        until_there(pods, service)
        with callers(pods, web(service), rpc(service)):
            service.apply(version(1, provider="Router"))
            status = service.until(
                lambda status: (status.get("routing") or {}).get("provider") == "Router", "to be routed by the router"
            )
            # Who still has the Gateway's address in mind is answered.
            assert status["routing"]["leaving"] == "Gateway"
            for url in (web, rpc):
                assert pods.send(url(service), BODY, count=200).codes == {"200": 200}
