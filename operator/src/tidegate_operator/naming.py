"""Every name, label, port and path that the operator gives or relies on; docs/api.md is the same list for people."""

from collections.abc import Mapping
from typing import Any

GROUP = "tidegate.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "InferenceService"
PLURAL = "inferenceservices"

MANAGER = "tidegate-controller"
REPLICAS_MANAGER = "tidegate-replicas"
PLUGIN_MANAGER = "kubectl-tidegate"
LEASE = "tidegate-controller"

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
COMPONENT_LABEL = "app.kubernetes.io/component"
MANAGED_BY = "tidegate"
COMPONENT = "runtime"
SERVICE_LABEL = f"{GROUP}/service"
REVISION_LABEL = f"{GROUP}/revision"
APPLIED_ANNOTATION = f"{GROUP}/applied"
METRICS_LABEL = f"{GROUP}/metrics"
NO_METRICS = "none"
"""The value of that label on pods of an image that tells none of our metrics."""
MANAGED_SELECTOR = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
CHILDREN_SELECTOR = f"{MANAGED_SELECTOR},{COMPONENT_LABEL}={COMPONENT}"

FETCHER = "fetch-model"
DIGEST_VARIABLE = "TIDEGATE_FETCH_SHA256"
DIGEST_KEY = "sha256"
"""Of the ConfigMap that has a revision's name, and of what its fetcher says as it ends: the model's SHA-256."""
TIMEOUT_VARIABLE = "TIDEGATE_TIMEOUT_SECONDS"
HEALTH_VARIABLE = "TIDEGATE_HEALTH_PATH"
"""Of a container of the user's own: where it tells that it serves. The bundled runtime's has no such variable."""

DATA_PORT = 8080
GRPC_PORT = 8081
ADMIN_PORT = 8082
ROUTER_SERVICE = "tidegate-router"
WEIGHTS_PATH = "/.well-known/tidegate/weights"
"""Where a router says by which weights it shares the requests of a service, at the service's own address."""
UID_HEADER = "x-tidegate-uid"
"""By which who asks for that shows to know the InferenceService: its `metadata.uid`, where others than those within the
cluster may ask."""
ROUTE_HEADER = "x-tidegate-route"
"""How the router chose the revision of a request that it sends to a pod: `weight` or `match`."""
HOP_HEADER = "x-tidegate-hop"
"""On what one pod sends to another, which copies it to nobody; never a caller's to say."""
XDS_SERVICE = "tidegate-xds"
XDS_PORT = 18000

REQUESTS_METRIC = "tidegate_requests_total"
EVIDENCE_METRIC = "tidegate_evidence_seconds"
COPIES_METRIC = "tidegate_shadow_requests_total"
SHARE_METRIC = "tidegate_share_answers_total"
"""There on every page of a pod that asks what share of its requests it copies."""
HANDOVER_PERCENT_METRIC = "tidegate_handover_percent"
"""There on every page of a pod that can hand requests over to a canary."""
HANDOVER_REACHABLE_METRIC = "tidegate_handover_reachable_pods"
HANDOVER_REQUESTS_METRIC = "tidegate_handover_requests_total"
HANDOVER_FALLBACKS_METRIC = "tidegate_handover_fallbacks_total"
QUEUE_DEPTH_METRIC = "tidegate_queue_depth"
P95_METRIC = "tidegate_p95_milliseconds"
"""Not in seconds, against Prometheus' custom: an HPA reads thousandths of the unit, too coarse for a target of 5 ms."""


def revision_name(service: str, digest: str) -> str:
    """The name of a revision and of its objects, from the service's name and the revision's hash."""
    return f"{service}-{digest}"


def digest_of(revision: str) -> str:
    """The hash in a revision's name."""
    return revision.rsplit("-", 1)[1]


def service_of(revision: str) -> str:
    """The service in a revision's name."""
    return revision.rsplit("-", 1)[0]


def service_labels(service: str) -> dict[str, str]:
    """The labels of an object that belongs to the service as a whole."""
    return {MANAGED_BY_LABEL: MANAGED_BY, COMPONENT_LABEL: COMPONENT, SERVICE_LABEL: service}


def revision_labels(service: str, revision: str) -> dict[str, str]:
    """The labels of a revision's objects and pods."""
    return {**service_labels(service), REVISION_LABEL: revision}


def pod_selector(service: str, revision: str) -> dict[str, str]:
    """The labels that tell a revision's pods from all others."""
    return {SERVICE_LABEL: service, REVISION_LABEL: revision}


def tells_metrics(labels: Mapping[str, str]) -> bool:
    """Whether a pod with these labels has a page of our metrics."""
    return labels.get(METRICS_LABEL) != NO_METRICS


def pods_service(service: str) -> str:
    """The name of the Service that leads to a service's pods, with nothing between."""
    return f"{service}-pods"


def direct_service(service: str) -> str:
    """The name of the Service that leads to the pods of a service's stable revision alone."""
    return f"{service}-direct"


def hosts(service: str, namespace: str, domain: str) -> list[str]:
    """The names that a service has in the cluster, without those that depend on who asks."""
    return [f"{service}.{namespace}", f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.{domain}"]


def router_host(namespace: str, domain: str) -> str:
    """The name of the routers of the install in `namespace`."""
    return f"{ROUTER_SERVICE}.{namespace}.svc.{domain}"


def url(service: str, namespace: str, domain: str) -> str:
    """Where a service answers."""
    return f"http://{service}.{namespace}.svc.{domain}"


def external_host(service: str, namespace: str, domain: str) -> str:
    """The name by which callers from outside the cluster reach a service, where there is a domain for them."""
    return f"{service}.{namespace}.{domain}"


def preview_url(revision: str, namespace: str, domain: str) -> str:
    """Where a revision's own pods answer, whatever its share of requests is."""
    return f"http://{revision}.{namespace}.svc.{domain}:{DATA_PORT}"


def owner_reference(owner: Mapping[str, Any]) -> dict[str, Any]:
    """The reference by which the garbage collector removes a child with its InferenceService."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }
