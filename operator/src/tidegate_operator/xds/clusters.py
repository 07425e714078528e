"""The Envoy clusters of a service: each revision's pods by EDS and by DNS, and the aggregates that routes name. Pure.

docs/routing.md says what each setting prevents.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tidegate_operator.xds import names
from tidegate_operator.xds.service import RoutedService

Resource = dict[str, Any]

_CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
_AGGREGATE = "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig"
_DNS = "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster"
_HTTP = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_UNBOUNDED = 1_000_000
_HTTP1: Resource = {
    # Below the keep-alive of any server in use (uvicorn's default is 5 s): otherwise a request can meet the pod's
    # closing of an idle connection, and is lost.
    "common_http_protocol_options": {"idle_timeout": "4s"},
    "explicit_http_config": {"http_protocol_options": {}},
}
STREAMS_PER_CONNECTION = 100
"""Calls at once on a connection to a pod, below what the runtime takes, 128: it says so in its first answer only, and
refuses what came before beyond that."""
_HTTP2: Resource = {
    # A pod says by GOAWAY that it closes an idle connection, so nothing is lost to that here.
    "common_http_protocol_options": {"idle_timeout": "60s"},
    "explicit_http_config": {
        "http2_protocol_options": {
            "max_concurrent_streams": STREAMS_PER_CONNECTION,
            "initial_stream_window_size": 1024 * 1024,
            "initial_connection_window_size": 16 * 1024 * 1024,
            # A stream may be silent for an hour: this finds out that its pod is gone with its node.
            "connection_keepalive": {"interval": "30s", "timeout": "10s"},
        }
    },
}
_ENDPOINTS_HOLD_SECONDS = 300

ENDPOINTS_SOURCE = {
    "resource_api_version": "V3",
    # Endpoints that don't come in time leave the revision to DNS; a router must not wait for one revision.
    "initial_fetch_timeout": "5s",
    "api_config_source": {
        "api_type": "REST",
        "transport_api_version": "V3",
        "cluster_names": [names.XDS_CLUSTER],
        # Envoy waits once to twice this after an answer; these are thousands of subscriptions.
        "refresh_delay": "1s",
        "request_timeout": f"{_ENDPOINTS_HOLD_SECONDS}s",
    },
}


def service_clusters(service: RoutedService, domain: str) -> dict[str, Resource]:
    """All clusters that a service needs, by name; revisions without requests keep theirs until they are gone."""
    found: list[Resource] = []
    for wire in service.wires:
        found += _of_wire(service, wire, domain)
    return {cluster["name"]: cluster for cluster in found}


def _of_wire(service: RoutedService, wire: names.Wire, domain: str) -> list[Resource]:
    found: list[Resource] = []
    live = [revision for revision in (service.stable, service.canary) if revision]
    for revision in dict.fromkeys([*live, *service.retiring]):
        fallback = service.stable if revision == service.canary and revision != service.stable else None
        found += revision_clusters(service.namespace, revision, fallback, domain, wire, service.health_paths)
    # While there is a canary in any case: routes that name it may be heard of later than that `match` is gone.
    if service.stable and (service.matches or service.canary):
        name = names.match_cluster(service.namespace, service.name, wire)
        order = dict.fromkeys(revision for revision in (service.canary, service.stable) if revision)
        chain = [each for revision in order for each in _own(service.namespace, revision, wire)]
        found.append(_aggregate(name, chain))
    return found


def revision_clusters(
    namespace: str,
    revision: str,
    fallback: str | None,
    domain: str,
    wire: names.Wire,
    health_paths: Mapping[str, str],
) -> list[Resource]:
    """The clusters of a revision by `wire`; requests go to `fallback`, a revision, while it has no healthy pod itself.

    They do so by a cluster of their own first, which is how many they were is known. `health_paths` are those of
    revisions whose pods have others than the bundled runtime.
    """
    chain = _own(namespace, revision, wire)
    checked = _Checked(namespace, revision, health_paths.get(revision))
    clusters = [_pods(checked, wire), _dns(checked, domain, wire)]
    if fallback:
        stable = _Checked(namespace, fallback, health_paths.get(fallback))
        clusters.append(_fallback(revision, stable, wire))
        chain += [names.fallback_cluster(namespace, revision, wire), *_own(namespace, fallback, wire)]
    return [*clusters, _aggregate(names.revision_cluster(namespace, revision, wire), chain)]


def _own(namespace: str, revision: str, wire: names.Wire) -> list[str]:
    return [names.pods_cluster(namespace, revision, wire), names.dns_cluster(namespace, revision, wire)]


def endpoint(address: str, port: int, revision: str, health_port: int | None = None) -> Resource:
    """An `LbEndpoint` that carries its revision, so that an answer can say truthfully who gave it.

    `health_port` is where the pod says whether it serves, if not where it does.
    """
    checked = {"health_check_config": {"port_value": health_port}} if health_port else {}
    return {
        "endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}, **checked},
        "metadata": {"filter_metadata": {names.METADATA: {"revision": revision}}},
    }


def load_assignment(name: str, endpoints: list[Resource]) -> Resource:
    """A `ClusterLoadAssignment`.

    The overprovisioning factor is so large that one healthy host carries everything: the next priority is for when
    there is none, not for a share of the requests as soon as 2 of 7 pods are down, which would bend the weights.
    """
    return {
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": endpoints}] if endpoints else [],
        "policy": {"overprovisioning_factor": 1_000_000},
    }


class _Checked(NamedTuple):
    """A revision whose pods are asked whether they serve."""

    namespace: str
    revision: str
    own_path: str | None
    """Where, if not where the bundled runtime tells it."""

    @property
    def health_path(self) -> str:
        return self.own_path or names.health_path(self.revision)


def _pods(pods: _Checked, wire: names.Wire) -> Resource:
    name = names.pods_cluster(pods.namespace, pods.revision, wire)
    return {
        **_common(name),
        **_leading_to_pods(pods, wire, interval_seconds=1),
        "type": "EDS",
        "eds_cluster_config": {"eds_config": ENDPOINTS_SOURCE},
    }


def _fallback(canary: str, stable: _Checked, wire: names.Wire) -> Resource:
    return {
        **_common(names.fallback_cluster(stable.namespace, canary, wire)),
        **_leading_to_pods(stable, wire, interval_seconds=5),
        "type": "EDS",
        "eds_cluster_config": {
            "eds_config": ENDPOINTS_SOURCE,
            "service_name": names.pods_cluster(stable.namespace, stable.revision, wire),
        },
    }


def _dns(pods: _Checked, domain: str, wire: names.Wire) -> Resource:
    name = names.dns_cluster(pods.namespace, pods.revision, wire)
    host = names.headless_host(pods.namespace, pods.revision, domain)
    health_port = None if wire == names.REST else names.REST.port
    return {
        **_common(name),
        **_leading_to_pods(pods, wire, interval_seconds=5),
        "cluster_type": {
            "name": "envoy.clusters.dns",
            "typed_config": {
                "@type": _DNS,
                # A second choice behind health checks of its own; 1,000 revisions are 60 look-ups a second.
                "dns_refresh_rate": "15s",
                "dns_jitter": "5s",
                "dns_failure_refresh_rate": {"base_interval": "5s", "max_interval": "20s"},
                "dns_lookup_family": "V4_PREFERRED",
            },
        },
        "wait_for_warm_on_init": False,
        "load_assignment": load_assignment(name, [endpoint(host, wire.port, pods.revision, health_port)]),
    }


def _aggregate(name: str, chain: list[str]) -> Resource:
    return {
        **_common(name),
        **_unlimited("max_retries"),
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {"@type": _AGGREGATE, "clusters": chain},
        },
    }


def _common(name: str) -> Resource:
    return {
        "@type": _CLUSTER,
        "name": name,
        "connect_timeout": "1s",
        "common_lb_config": {
            "healthy_panic_threshold": {"value": 0},
            # Envoy counts a pod as healthy at once, but by default lets its workers know up to a second later: whoever
            # asks it for that count, as the controller does, would take a service for ready that still answers 503.
            "update_merge_window": "0s",
        },
    }


def _unlimited(*what: str) -> Resource:
    """The runtime bounds its own queue and says 429; a limit here would be a second, wrong one.

    Envoy counts retries by the cluster that a route names, and all else by the one that a request is sent to.
    """
    return {"circuit_breakers": {"thresholds": [dict.fromkeys(what, _UNBOUNDED)]}}


def _leading_to_pods(pods: _Checked, wire: names.Wire, *, interval_seconds: int) -> Resource:
    return {
        **_unlimited("max_connections", "max_pending_requests", "max_requests"),
        "lb_policy": "LEAST_REQUEST",
        "health_checks": [_health_check(pods, f"{interval_seconds}s")],
        "outlier_detection": _outlier_detection(),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _HTTP,
                **(_HTTP1 if wire == names.REST else _HTTP2),
            }
        },
    }


def _health_check(pods: _Checked, interval: str) -> Resource:
    return {
        "interval": interval,
        # Envoy's default is 60 s until the first request, and a canary must be seen before it gets any.
        "no_traffic_interval": interval,
        # Slow to give up a pod that doesn't answer (a busy one), at once for one that answers 503 (a draining one): any
        # status but 200 counts immediately.
        "timeout": "2s",
        "unhealthy_threshold": 3,
        "healthy_threshold": 1,
        "interval_jitter_percent": 10,
        "http_health_check": {"path": pods.health_path, "host": f"{pods.revision}.{pods.namespace}"},
    }


def _outlier_detection() -> Resource:
    """Ejects hosts that can't be reached, and never for a status that they answered: 429 and 503 mean load.

    By its defaults Envoy ejects for no gateway's failures, and for no percentage of failures.
    """
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,
        "enforcing_consecutive_5xx": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": "5s",
        "max_ejection_time": "30s",
        "max_ejection_percent": 50,
    }
