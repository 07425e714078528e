"""The Services by which callers reach a service: one under its name, and where nothing is between, one to its pods."""

from tidegate_operator import naming
from tidegate_operator.desired import Manifest, Owner, metadata
from tidegate_operator.rollout.state import RolloutState


def entrance(owner: Owner, host: str) -> Manifest:
    """The Service under the service's own name, which is another name for `host`, whatever leads callers there.

    Its type never changes: a Service that had an address and lost it takes the requests under way there with it.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata.of_service(owner),
        "spec": {
            "type": "ExternalName",
            "externalName": host,
            "ports": [{"name": "http", "port": 80}],
        },
    }


def pods_service(owner: Owner, state: RolloutState, *, grpc: bool) -> Manifest:
    """The Service that leads to the pods themselves: of one revision, or while a canary has a part of all of them."""
    service = owner["metadata"]["name"]
    return _to_pods(owner, naming.pods_service(service), _selector(service, state), grpc)


def direct_service(owner: Owner, stable: str | None, *, grpc: bool) -> Manifest:
    """The Service that leads to the pods of the stable revision alone, which hand a canary's share over themselves."""
    service = owner["metadata"]["name"]
    selector = naming.pod_selector(service, stable or "")
    return _to_pods(owner, naming.direct_service(service), selector, grpc)


def _to_pods(owner: Owner, name: str, selector: dict[str, str], grpc: bool) -> Manifest:
    ports: list[Manifest] = [{"name": "http", "port": 80, "targetPort": "http"}]
    if grpc:
        ports.append({"name": "grpc", "port": naming.GRPC_PORT, "targetPort": naming.GRPC_PORT})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**metadata.of_service(owner), "name": name},
        "spec": {"type": "ClusterIP", "selector": selector, "ports": ports},
    }


def _selector(service: str, state: RolloutState) -> dict[str, str]:
    """A selector knows no "or": one that names no revision leads to those that retire as well, if there are any."""
    if state.canary and 0 < state.weight < 100:
        return {naming.SERVICE_LABEL: service}
    chosen = state.canary if state.canary and state.weight else state.stable
    return naming.pod_selector(service, chosen or "")
