"""The virtual host of a service: who it is, and where its requests go. Pure."""

from typing import Any

from tidegate_operator.xds import names
from tidegate_operator.xds.service import RoutedService

TIMEOUT_MARGIN_SECONDS = 5
"""What the router waits longer than the runtime, so that the runtime's own 504, which says why, comes first."""

REPEATABLE_BODY_BYTES = 4 * 1024 * 1024
"""What is kept of a body so that the request can be sent again.

Well above the 1 MiB after which Envoy stops reading from a caller while it still connects to a pod: so a body of any
size survives a pod that can't be reached, and one that is under way to a model costs no more memory than this.
"""


def virtual_host(service: RoutedService, domain: str) -> dict[str, Any]:
    """The virtual host of a service; one that has no revision yet answers 503."""
    return {
        "name": names.virtual_host(service.namespace, service.name),
        "domains": names.hosts(service.namespace, service.name, domain),
        "routes": [{"match": {"prefix": "/"}, "request_body_buffer_limit": REPEATABLE_BODY_BYTES, **_action(service)}],
    }


def _action(service: RoutedService) -> dict[str, Any]:
    if service.stable is None:
        text = f"{service.name}.{service.namespace} has no revision to send requests to yet"
        return {"direct_response": {"status": 503, "body": {"inline_string": text}}}
    patience = f"{service.timeout_seconds + TIMEOUT_MARGIN_SECONDS:g}s"
    return {
        "route": {
            "weighted_clusters": {"clusters": _shares(service)},
            "timeout": patience,
            # The listener's own limit of 5 min would end a longer wait for an answer.
            "idle_timeout": patience,
            "retry_policy": _retry_policy(),
        }
    }


def _shares(service: RoutedService) -> list[dict[str, Any]]:
    """Named clusters with weights that sum to 100; each request draws on its own."""
    weights = {service.stable: 100 - service.canary_weight, service.canary: service.canary_weight}
    return [
        {"name": names.revision_cluster(service.namespace, revision), "weight": weight}
        for revision, weight in weights.items()
        if revision and weight
    ]


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
