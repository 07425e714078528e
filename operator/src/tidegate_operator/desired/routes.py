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

    Of `rollout.match` what asks for headers alone counts, each exactly, and while the canary has a ready pod, since a
    Gateway knows no second choice. Every request tells its pod how it was chosen, as those of the bundled router do.
    """
    matches = spec.rollout.match if canary_ready else []
    return tuple(_route(kind, owner, spec, state, matches, install) for kind in kinds(spec))


def named(spec: InferenceServiceSpec, install: Install) -> str:
    """The Gateway that `spec` asks for, or the install's; empty where it asks for none."""
    if spec.routing.provider != "Gateway":
        return ""
    return (spec.routing.gateway or GatewaySpec()).name or install.gateway_name


def place(kind: str, owner: Owner, spec: InferenceServiceSpec, install: Install) -> Manifest:
    """The part of a route's `spec` that says at which Gateway it is, and under which names."""
    asked = spec.routing.gateway or GatewaySpec()
    return {
        "parentRefs": [_parent(asked, owner, install)],
        "hostnames": _hostnames(kind, owner, asked, install.cluster_domain),
    }


def kept(route: Manifest, known: Mapping[str, Any]) -> Manifest:
    """`route` where `known` is, the same as the cluster has it."""
    found = {field: known["spec"][field] for field in ("parentRefs", "hostnames") if field in known["spec"]}
    return {**route, "spec": {**route["spec"], **found}}


def outlived(service: Manifest, routes: Iterable[Mapping[str, Any]]) -> Manifest:
    """`service`, which the garbage collector is to keep until these routes are gone, with their owner or before.

    It takes an owner's dependents in any order; a Gateway that loses a Service before its route may hold up the routes
    of others meanwhile, as Envoy Gateway does. Nothing is removed for a route: the InferenceService owns it as well.
    """
    references = [
        {
            "apiVersion": API_VERSION,
            "kind": route["kind"],
            "name": route["metadata"]["name"],
            "uid": route["metadata"]["uid"],
            "controller": False,
            "blockOwnerDeletion": False,
        }
        for route in routes
    ]
    owners = [*service["metadata"]["ownerReferences"], *references]
    return {**service, "metadata": {**service["metadata"], "ownerReferences": owners}}


def shares_of(route: Mapping[str, Any]) -> dict[str, int]:
    """Percent of requests by revision, as a route of ours says it; those without any left out."""
    for rule in route["spec"].get("rules") or []:
        if not _asks_for_headers(rule):
            backends = rule.get("backendRefs") or []
            return {backend["name"]: backend["weight"] for backend in backends if backend.get("weight")}
    return {}


def _route(
    kind: str,
    owner: Owner,
    spec: InferenceServiceSpec,
    state: RolloutState,
    matches: Iterable[MatchSpec],
    install: Install,
) -> Manifest:
    port = naming.DATA_PORT if kind == HTTP else naming.GRPC_PORT
    matched = [_headers(match) for match in matches if not match.cookie]
    rules = [_rule("weight", _shares(state, port))]
    if matched and state.canary:
        # Last, though it is asked first, since headers are more specific: a controller that names what it makes of a
        # rule by the rule's place would name that of all other requests anew with each rollout.
        rules.append({"matches": matched, **_rule("match", [_backend(state.canary, port, 1)])})
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": metadata.of_service(owner),
        "spec": {**place(kind, owner, spec, install), "rules": rules},
    }


def _asks_for_headers(rule: Mapping[str, Any]) -> bool:
    return any(match.get("headers") for match in rule.get("matches") or [])


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
