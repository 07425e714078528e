"""What an install with a Gateway may do, and what its controller is told of it."""

from pathlib import Path

import pytest

from .rendering import Object, named, pod, render

# helm comes with the cluster's binaries.
pytestmark = pytest.mark.e2e

GATEWAY = ["--set", "gateway.enabled=true,gateway.name=public,gateway.namespace=gateways,gateway.sectionName=https"]


def of_gateways(rendered: list[Object]) -> list[tuple[list[str], list[str]]]:
    rules = named(rendered, "ClusterRole", "tidegate-controller")["rules"]
    return [(r["resources"], r["verbs"]) for r in rules if "gateway.networking.k8s.io" in r["apiGroups"]]


def told(rendered: list[Object]) -> dict[str, str]:
    environment = pod(rendered, "controller")["containers"][0]["env"]
    return {entry["name"]: entry.get("value", "") for entry in environment if "GATEWAY" in entry["name"]}


def test_an_install_has_no_rights_to_routes_unless_it_says_so(helm: Path) -> None:
    rendered = render(helm)
    assert of_gateways(rendered) == []
    assert told(rendered)["TIDEGATE_GATEWAY_ENABLED"] == "false"


def test_an_install_with_a_gateway_may_write_routes_and_nothing_else_of_it(helm: Path) -> None:
    rendered = render(helm, *GATEWAY)
    assert of_gateways(rendered) == [(["httproutes", "grpcroutes"], ["get", "create", "patch", "delete"])]
    assert told(rendered) == {
        "TIDEGATE_GATEWAY_ENABLED": "true",
        "TIDEGATE_GATEWAY_NAME": "public",
        "TIDEGATE_GATEWAY_NAMESPACE": "gateways",
        "TIDEGATE_GATEWAY_SECTION_NAME": "https",
    }
