"""Who may reach Tidegate's own pods, by the rules that Kubernetes has for NetworkPolicies."""

from pathlib import Path

import pytest

from tidegate_operator.naming import revision_labels

from .rendering import NAMESPACE, PROCESSES, Object, named, of_kind, render

pytestmark = pytest.mark.e2e

STRANGER = {"app": "something"}
RUNTIME = revision_labels("churn", "churn-6f3c9d1a")


def labels(objects: list[Object], process: str) -> dict[str, str]:
    found: dict[str, str] = named(objects, "Deployment", f"tidegate-{process}")["spec"]["template"]["metadata"][
        "labels"
    ]
    return found


def chosen(selector: Object | None, found: dict[str, str]) -> bool:
    return selector is not None and selector.get("matchLabels", {}).items() <= found.items()


def is_peer(peer: Object, namespace: str, pod: dict[str, str]) -> bool:
    if "namespaceSelector" in peer:
        in_namespace = chosen(peer["namespaceSelector"], {"kubernetes.io/metadata.name": namespace})
        return in_namespace and chosen(peer.get("podSelector", {}), pod)
    return namespace == NAMESPACE and chosen(peer["podSelector"], pod)


def may_reach(objects: list[Object], process: str, port: int, namespace: str, pod: dict[str, str]) -> bool:
    """Whether a pod in a namespace may open a connection to a port of a process."""
    policies = [
        found["spec"]
        for found in of_kind(objects, "NetworkPolicy")
        if chosen(found["spec"]["podSelector"], labels(objects, process))
    ]
    if not policies:
        return True
    rules = [rule for policy in policies for rule in policy["ingress"]]
    return any(
        port in [entry["port"] for entry in rule["ports"]]
        and ("from" not in rule or any(is_peer(peer, namespace, pod) for peer in rule["from"]))
        for rule in rules
    )


@pytest.mark.parametrize(
    ("process", "port", "source", "reached"),
    [
        ("router", 8080, ("ml", "stranger"), True),
        ("router", 8082, (NAMESPACE, "controller"), True),
        ("router", 8082, ("ml", "stranger"), False),
        ("router", 9901, (NAMESPACE, "controller"), False),
        ("xds", 18000, (NAMESPACE, "router"), True),
        ("xds", 18000, (NAMESPACE, "stranger"), False),
        ("xds", 18000, ("ml", "router"), False),
        ("xds", 18000, ("ml", "stranger"), False),
        ("xds", 18000, ("ml", "runtime"), True),
        ("xds", 8082, ("ml", "stranger"), False),
        # The API server is no pod that a selector could find.
        ("metrics-adapter", 6443, ("kube-system", "stranger"), True),
        ("metrics-adapter", 8082, ("ml", "stranger"), False),
        ("controller", 8082, (NAMESPACE, "stranger"), True),
        ("controller", 8082, ("ml", "stranger"), False),
        ("controller", 8080, (NAMESPACE, "stranger"), False),
    ],
)
def test_who_reaches_what(
    rendered: list[Object], process: str, port: int, source: tuple[str, str], reached: bool
) -> None:
    namespace, name = source
    others = {"stranger": STRANGER, "runtime": RUNTIME}
    pod = others[name] if name in others else labels(rendered, name)
    assert may_reach(rendered, process, port, namespace, pod) is reached


def test_whoever_scrapes_metrics_can_be_let_in(helm: Path) -> None:
    peer = "networkPolicies.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=monitoring"
    objects = render(helm, "--set", peer)
    for process in PROCESSES:
        assert may_reach(objects, process, 8082, "monitoring", STRANGER)
        assert not may_reach(objects, process, 8082, "ml", STRANGER)
    assert not may_reach(objects, "xds", 18000, "monitoring", STRANGER)


def test_no_pod_outside_the_install_is_restricted(rendered: list[Object]) -> None:
    """Runtime pods answer the routers and the scrapes of controller and adapter, whichever namespace they are in."""
    for found in of_kind(rendered, "NetworkPolicy"):
        assert found["metadata"]["namespace"] == NAMESPACE
        assert found["spec"]["policyTypes"] == ["Ingress"]
        assert found["spec"]["podSelector"]["matchLabels"]


def test_they_can_be_left_out(helm: Path) -> None:
    assert not list(of_kind(render(helm, "--set", "networkPolicies.install=false"), "NetworkPolicy"))
