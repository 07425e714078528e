"""The routes of the Gateway API that lead a Gateway's callers to a service, by fields of its Core alone."""

from collections.abc import Iterable, Mapping
from typing import Any

from tidegate_operator import naming
from tidegate_operator.api.gateway_spec import GatewaySpec
from tidegate_operator.api.match_spec import MatchSpec
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.desired import Manifest, Owner, metadata
from tidegate_operator.install import Install
from tidegate_operator.rollout.state import RolloutState

GROUP = "gateway.networking.k8s.io"
API_VERSION = f"{GROUP}/v1"
HTTP, GRPC = "HTTPRoute", "GRPCRoute"


def kinds(spec: InferenceServiceSpec) -> tuple[str, ...]:
    """The kinds of routes that `spec` needs."""
    return (HTTP, GRPC) if spec.routing.grpc else (HTTP,)


def routes(
    owner: Owner, spec: InferenceServiceSpec, state: RolloutState, install: Install, *, canary_ready: bool
) -> tuple[Manifest, ...]:
    """A route for each protocol that `spec` asks for.

    Of `rollout.match` the headers count, each exactly, and while the canary has a ready pod, since a Gateway knows no
    second choice. Every request tells its pod how it was chosen, as those of the bundled router do.
    """
    matches = spec.rollout.match if canary_ready else []
    return tuple(_route(kind, owner, spec, state, matches, install) for kind in kinds(spec))


def shares_of(route: Mapping[str, Any]) -> dict[str, int]:
    """Percent of requests by revision, as a route of ours says it; those without any left out."""
    rules = route["spec"].get("rules") or [{}]
    backends = rules[-1].get("backendRefs") or []
    return {backend["name"]: backend["weight"] for backend in backends if backend.get("weight")}


def _route(
    kind: str,
    owner: Owner,
    spec: InferenceServiceSpec,
    state: RolloutState,
    matches: Iterable[MatchSpec],
    install: Install,
) -> Manifest:
    port = naming.DATA_PORT if kind == HTTP else naming.GRPC_PORT
    matched = [_headers(match) for match in matches if match.header]
    rules = [_rule("weight", _shares(state, port))]
    if matched and state.canary:
        rules.insert(0, {"matches": matched, **_rule("match", [_backend(state.canary, port, 1)])})
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": metadata.of_service(owner),
        "spec": {
            "parentRefs": [_parent(spec.routing.gateway or GatewaySpec(), owner, install)],
            "hostnames": _hostnames(kind, owner, spec.routing.gateway or GatewaySpec(), install.cluster_domain),
            "rules": rules,
        },
    }


def _parent(asked: GatewaySpec, owner: Owner, install: Install) -> Manifest:
    namespace = asked.namespace or (owner["metadata"]["namespace"] if asked.name else install.gateway_namespace)
    section = asked.section_name or ("" if asked.name else install.gateway_section_name)
    return {
        "group": GROUP,
        "kind": "Gateway",
        "name": asked.name or install.gateway_name,
        "namespace": namespace or owner["metadata"]["namespace"],
        **({"sectionName": section} if section else {}),
    }


def _hostnames(kind: str, owner: Owner, asked: GatewaySpec, domain: str) -> list[str]:
    own = naming.hosts(owner["metadata"]["name"], owner["metadata"]["namespace"], domain)
    if kind == HTTP:
        return asked.hostnames or own
    return asked.grpc_hostnames or [f"grpc.{host}" for host in own]


def _rule(chosen_by: str, backends: list[Manifest]) -> Manifest:
    told = {"set": [{"name": naming.ROUTE_HEADER, "value": chosen_by}]}
    return {
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": told}],
        "backendRefs": backends,
    }


def _shares(state: RolloutState, port: int) -> list[Manifest]:
    shares = {state.stable: 100 - state.weight, state.canary: state.weight}
    return [_backend(revision, port, weight) for revision, weight in shares.items() if revision and weight]


def _backend(revision: str, port: int, weight: int) -> Manifest:
    return {"group": "", "kind": "Service", "name": revision, "port": port, "weight": weight}


def _headers(match: MatchSpec) -> Manifest:
    values = match.header or {}
    return {"headers": [{"type": "Exact", "name": name, "value": value} for name, value in values.items()]}
