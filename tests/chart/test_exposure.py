"""How callers from outside the cluster reach the routers, as the chart renders it."""

from pathlib import Path

import pytest

from .rendering import NAMESPACE, named, of_kind, pod, render, template

pytestmark = pytest.mark.e2e

DOMAIN = ("--set", "exposure.domain=models.example.com")
INGRESS = ("--set", "exposure.ingress.create=true")
ROUTE = ("--set", "exposure.httpRoute.create=true")
GRPC = ("--set", "exposure.grpcRoute.create=true")


def parents(route: str, **parent: str) -> tuple[str, ...]:
    """Values that let a route of the chart belong to one Gateway, or a listener of it."""
    return tuple(
        word
        for name, value in parent.items()
        for word in ("--set-string", f"exposure.{route}.parentRefs[0].{name}={value}")
    )


def test_by_default_nothing_leads_to_the_routers_from_outside(helm: Path) -> None:
    objects = render(helm)
    assert not [found for kind in ("Ingress", "HTTPRoute", "GRPCRoute") for found in of_kind(objects, kind)]
    for process in ("controller", "xds"):
        (container,) = pod(objects, process)["containers"]
        assert not [entry for entry in container["env"] if "EXTERNAL" in entry["name"]]


@pytest.mark.parametrize(
    ("values", "exposed"),
    [
        ((), "false"),
        (DOMAIN, "true"),
        (("--set", "router.serviceType=LoadBalancer"), "true"),
        (("--set", "router.serviceType=NodePort"), "true"),
    ],
)
def test_who_tells_the_routers_their_routes_knows_whether_others_than_the_cluster_reach_them(
    helm: Path, values: tuple[str, ...], exposed: str
) -> None:
    (container,) = pod(render(helm, *values), "xds")["containers"]
    told = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert told["TIDEGATE_EXPOSED"] == exposed


def test_the_domain_is_told_to_who_routes_and_who_tells_of_it(helm: Path) -> None:
    objects = render(helm, *DOMAIN, "--set", "exposure.scheme=http")
    for process in ("controller", "xds"):
        (container,) = pod(objects, process)["containers"]
        told = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert told["TIDEGATE_EXTERNAL_DOMAIN"] == "models.example.com"
        assert told["TIDEGATE_EXTERNAL_SCHEME"] == "http"


def test_an_ingress_leads_its_hosts_to_the_routers(helm: Path) -> None:
    hosts = ("--set", "exposure.ingress.hosts={*.ml.models.example.com,*.vision.models.example.com}")
    tls = ("--set", "exposure.ingress.tls[0].secretName=models", "--set", "exposure.ingress.className=nginx")
    ingress = named(render(helm, *DOMAIN, *INGRESS, *hosts, *tls), "Ingress", "tidegate-router")
    backend = {"service": {"name": "tidegate-router", "port": {"name": "http"}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    assert ingress["spec"] == {
        "ingressClassName": "nginx",
        "tls": [{"secretName": "models"}],
        "rules": [
            {"host": "*.ml.models.example.com", "http": {"paths": [path]}},
            {"host": "*.vision.models.example.com", "http": {"paths": [path]}},
        ],
    }


def test_an_http_route_leads_all_hosts_below_the_domain_to_the_routers(helm: Path) -> None:
    route = named(render(helm, *DOMAIN, *ROUTE, *parents("httpRoute", name="public")), "HTTPRoute", "tidegate-router")
    assert route["spec"] == {
        "parentRefs": [{"name": "public"}],
        "hostnames": ["*.models.example.com"],
        "rules": [{"backendRefs": [{"name": "tidegate-router", "port": 80}]}],
    }


def test_a_grpc_route_leads_calls_for_the_same_hosts_to_the_port_that_says_it_speaks_http2(helm: Path) -> None:
    objects = render(helm, *DOMAIN, *GRPC, *parents("grpcRoute", name="public", namespace="gateways"))
    assert named(objects, "GRPCRoute", "tidegate-router")["spec"] == {
        "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "hostnames": ["*.models.example.com"],
        "rules": [{"backendRefs": [{"name": "tidegate-router", "port": 8081}]}],
    }
    ports = named(objects, "Service", "tidegate-router")["spec"]["ports"]
    # Port 80 says nothing: what doesn't know the word must go on with HTTP/1.1 there.
    assert {port["port"]: port.get("appProtocol") for port in ports} == {80: None, 8081: "kubernetes.io/h2c"}


@pytest.mark.parametrize(
    ("http", "grpc"),
    [
        ({"name": "public", "sectionName": "https"}, {"name": "public", "sectionName": "grpc"}),
        ({"name": "public", "port": "443"}, {"name": "public", "port": "8443"}),
        ({"name": "public"}, {"name": "calls"}),
        ({"name": "public"}, {"name": "public", "namespace": "gateways"}),
        ({"name": "public"}, {"name": "public", "kind": "ListenerSet"}),
    ],
)
def test_both_kinds_of_routes_may_belong_to_listeners_of_their_own(
    helm: Path, http: dict[str, str], grpc: dict[str, str]
) -> None:
    both = (*ROUTE, *parents("httpRoute", **http), *GRPC, *parents("grpcRoute", **grpc))
    objects = render(helm, *DOMAIN, *both)
    assert [named(objects, kind, "tidegate-router")["kind"] for kind in ("HTTPRoute", "GRPCRoute")]


@pytest.mark.parametrize(
    ("http", "grpc"),
    [
        ({"name": "public"}, {"name": "public"}),
        ({"name": "public", "sectionName": "https"}, {"name": "public", "sectionName": "https"}),
        # Without a name it is for all listeners.
        ({"name": "public"}, {"name": "public", "sectionName": "grpc"}),
        ({"name": "public", "namespace": NAMESPACE}, {"name": "public", "kind": "Gateway"}),
        ({"name": "public", "port": "443"}, {"name": "public", "port": "443"}),
    ],
)
def test_two_kinds_of_routes_for_the_same_names_at_one_listener_are_refused(
    helm: Path, http: dict[str, str], grpc: dict[str, str]
) -> None:
    both = (*ROUTE, *parents("httpRoute", **http), *GRPC, *parents("grpcRoute", **grpc))
    done = template(helm, *DOMAIN, *both)
    assert done.returncode != 0
    assert "exposure.grpcRoute.parentRefs: a listener of public takes no GRPCRoute beside an HTTPRoute" in done.stderr


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        (INGRESS, "exposure.domain: name the domain"),
        (ROUTE, "exposure.domain: name the domain"),
        (GRPC, "exposure.domain: name the domain"),
        ((*DOMAIN, *INGRESS), "exposure.ingress.hosts: name one for each namespace, such as *.ml.models.example.com"),
        (
            (*DOMAIN, *INGRESS, "--set", "exposure.ingress.hosts={*.example.com}"),
            "*.example.com isn't below exposure.domain, models.example.com",
        ),
        ((*DOMAIN, *ROUTE), "exposure.httpRoute.parentRefs: name the Gateway"),
        ((*DOMAIN, *GRPC), "exposure.grpcRoute.parentRefs: name the Gateway and its listener"),
        ((*DOMAIN, *INGRESS, "--set", "exposure.ingress.grpc=true"), "/exposure/ingress"),
        (("--set", "exposure.domain=Models.example"), "/exposure/domain"),
        (("--set", "exposure.scheme=ftp"), "/exposure/scheme"),
        (("--set", "exposure.host=a"), "host"),
    ],
)
def test_what_would_lead_nowhere_is_refused(helm: Path, values: tuple[str, ...], refused: str) -> None:
    done = template(helm, *values)
    assert done.returncode != 0
    assert refused in done.stderr
