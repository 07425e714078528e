"""The virtual host of a service: who it is, and where its requests go. Pure."""

import json
from typing import Any

from tidegate_operator.xds import names
from tidegate_operator.xds.service import Match, RoutedService, Sticky

TIMEOUT_MARGIN_SECONDS = 5
"""What the router waits longer than the runtime, so that the runtime's own 504, which says why, comes first."""

REPEATABLE_BODY_BYTES = 4 * 1024 * 1024
"""What is kept of a body so that the request can be sent again.

Well above the 1 MiB after which Envoy stops reading from a caller while it still connects to a pod: so a body of any
size survives a pod that can't be reached, and one that is under way to a model costs no more memory than this.
"""

STREAMS = "/.*/(ModelStreamInfer|Watch|ServerReflectionInfo)"
"""The paths of the runtime's calls that are streams; Envoy refuses expressions of more than 100 instructions."""

STREAM_IDLE_SECONDS = 3600
"""How long such a call may be silent."""

Route = dict[str, Any]


def virtual_host(service: RoutedService, domain: str, external: str = "", *, exposed: bool = False) -> dict[str, Any]:
    """The virtual host of a service; one that has no revision yet answers 503.

    `domain` is the cluster's, `external` that of callers from outside, if they have one. `exposed` says whether there
    are such callers, by whatever name.
    """
    return {
        "name": names.virtual_host(service.namespace, service.name),
        "domains": names.hosts(service.namespace, service.name, domain, external),
        # Or callers could keep their requests from being copied, and out of the evidence.
        "request_headers_to_remove": [names.HOP_HEADER],
        "routes": [_told_weights(service, exposed), *_of_grpc(service), *_matched(service), _weighted(service)],
    }


def weights(service: RoutedService) -> dict[str, int]:
    """Percent of requests by revision, those without any left out; 100 in all, if there is a revision."""
    shares = {service.stable: 100 - service.canary_weight, service.canary: service.canary_weight}
    return {revision: weight for revision, weight in shares.items() if revision and weight}


def _told_weights(service: RoutedService, exposed: bool) -> Route:
    """The router's own answer to who asks by which weights it goes; so what is told is what is done.

    Callers from outside the cluster aren't told. Neither the name that they ask for tells them apart, which is theirs
    to choose, nor their address, which may have become a node's; what they can't know is the InferenceService's uid.
    """
    insider = {"name": names.UID_HEADER, "string_match": {"exact": service.uid}}
    return {
        "match": {"path": names.WEIGHTS_PATH, **({"headers": [insider]} if exposed else {})},
        "direct_response": {"status": 200, "body": {"inline_string": json.dumps(weights(service))}},
    }


def _of_grpc(service: RoutedService) -> list[Route]:
    """Routes for gRPC callers, by the same conditions and weights; a stream is one call however long it lasts."""
    if not service.grpc:
        text = f"{service.name}.{service.namespace} isn't reached by gRPC: set spec.routing.grpc to true"
        return [{"match": {"prefix": "/", "grpc": {}}, "direct_response": _refusal(404, text)}]
    if service.stable is None:
        return []
    found = [*_matched(service, names.GRPC), _weighted(service, names.GRPC)]
    return [*(_streaming(route) for route in found), *found]


def _streaming(route: Route) -> Route:
    """`route` for calls that are streams: the time-out, which begins with a request's end, would cut their answers."""
    match = {name: value for name, value in route["match"].items() if name != "prefix"}
    patience = {"timeout": "0s", "idle_timeout": f"{STREAM_IDLE_SECONDS}s"}
    return {
        **route,
        "match": {"safe_regex": {"regex": STREAMS}, **match},
        "route": {**route["route"], **patience},
    }


def _matched(service: RoutedService, wire: names.Wire = names.REST) -> list[Route]:
    """Routes for requests that go to the canary whatever its weight, while it has a ready pod.

    Before that, the routers may not know its cluster yet.
    """
    if not service.canary_ready:
        return []
    cluster = names.match_cluster(service.namespace, service.name, wire)
    return [_proxied(service, _conditions(match, wire), "match", {"cluster": cluster}) for match in service.matches]


def _every(wire: names.Wire) -> dict[str, Any]:
    """What all requests by `wire` have in common, of those that no earlier route took."""
    return {"prefix": "/"} if wire == names.REST else {"prefix": "/", "grpc": {}}


def _conditions(match: Match, wire: names.Wire) -> dict[str, Any]:
    found = _every(wire)
    if match.headers:
        found["headers"] = [{"name": name, "string_match": {"exact": value}} for name, value in match.headers]
    if match.cookies:
        found["cookies"] = [{"name": name, "string_match": {"exact": value}} for name, value in match.cookies]
    return found


def _weighted(service: RoutedService, wire: names.Wire = names.REST) -> Route:
    if service.stable is None:
        text = f"{service.name}.{service.namespace} has no revision to send requests to yet"
        return {"match": {"prefix": "/"}, "direct_response": _refusal(503, text)}
    return _proxied(service, _every(wire), "weight", _shares(service, wire))


def _refusal(status: int, text: str) -> dict[str, Any]:
    return {"status": status, "body": {"inline_string": text}}


def _proxied(service: RoutedService, match: dict[str, Any], chosen_by: str, target: dict[str, Any]) -> Route:
    patience = f"{service.timeout_seconds + TIMEOUT_MARGIN_SECONDS:g}s"
    return {
        "match": match,
        "request_body_buffer_limit": REPEATABLE_BODY_BYTES,
        # In place of what the caller may have sent under this name.
        "request_headers_to_add": [_header(names.ROUTE_HEADER, chosen_by)],
        "route": {
            **target,
            "timeout": patience,
            # The listener's own limit of 5 min would end a longer wait for an answer.
            "idle_timeout": patience,
            "retry_policy": _retry_policy(),
        },
    }


def _shares(service: RoutedService, wire: names.Wire) -> dict[str, Any]:
    """Named clusters with weights that sum to 100; each request draws on its own, or a caller's key for all of theirs.

    The canary comes last at any weight: whom a small one gave it, a larger one leaves there.
    """
    clusters = [
        {"name": names.revision_cluster(service.namespace, revision, wire), "weight": weight}
        for revision, weight in weights(service).items()
    ]
    if service.sticky is None:
        return {"weighted_clusters": {"clusters": clusters}}
    return {
        "hash_policy": [_key(service.sticky)],
        "weighted_clusters": {"clusters": clusters, "use_hash_policy": True},
    }


def _key(sticky: Sticky) -> dict[str, Any]:
    if sticky.header:
        return {"header": {"header_name": sticky.header}}
    return {"cookie": {"name": sticky.cookie}}


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _retry_policy() -> dict[str, Any]:
    """Only what never reached a model is tried again, elsewhere; a 5xx is an answer, and more load doesn't cure it."""
    return {
        "retry_on": "connect-failure,refused-stream,reset-before-request",
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.1s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 5,
    }
