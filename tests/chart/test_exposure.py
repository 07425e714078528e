"""How callers from outside the cluster reach the routers, as the chart renders it."""

from pathlib import Path

import pytest

from .rendering import named, of_kind, pod, render, template

pytestmark = pytest.mark.e2e

DOMAIN = ("--set", "exposure.domain=models.example.com")
INGRESS = ("--set", "exposure.ingress.create=true")
ROUTE = ("--set", "exposure.httpRoute.create=true")


def test_by_default_nothing_leads_to_the_routers_from_outside(helm: Path) -> None:
    objects = render(helm)
    assert not [*of_kind(objects, "Ingress"), *of_kind(objects, "HTTPRoute")]
    for process in ("controller", "xds"):
        (container,) = pod(objects, process)["containers"]
        assert not [entry for entry in container["env"] if "EXTERNAL" in entry["name"]]


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
    parents = ("--set", "exposure.httpRoute.parentRefs[0].name=public")
    route = named(render(helm, *DOMAIN, *ROUTE, *parents), "HTTPRoute", "tidegate-router")
    assert route["spec"] == {
        "parentRefs": [{"name": "public"}],
        "hostnames": ["*.models.example.com"],
        "rules": [{"backendRefs": [{"name": "tidegate-router", "port": 80}]}],
    }


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        (INGRESS, "exposure.domain: name the domain"),
        (ROUTE, "exposure.domain: name the domain"),
        ((*DOMAIN, *INGRESS), "exposure.ingress.hosts: name one for each namespace, such as *.ml.models.example.com"),
        (
            (*DOMAIN, *INGRESS, "--set", "exposure.ingress.hosts={*.example.com}"),
            "*.example.com isn't below exposure.domain, models.example.com",
        ),
        ((*DOMAIN, *ROUTE), "exposure.httpRoute.parentRefs: name the Gateway"),
        (("--set", "exposure.domain=Models.example"), "/exposure/domain"),
        (("--set", "exposure.scheme=ftp"), "/exposure/scheme"),
        (("--set", "exposure.host=a"), "host"),
    ],
)
def test_what_would_lead_nowhere_is_refused(helm: Path, values: tuple[str, ...], refused: str) -> None:
    done = template(helm, *values)
    assert done.returncode != 0
    assert refused in done.stderr
