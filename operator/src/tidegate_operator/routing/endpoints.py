"""Whether a Service of the cluster's own leads to pods, by its EndpointSlices."""

from tidegate_operator.api.routing_spec import ProviderName
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.objects import ENDPOINT_SLICE
from tidegate_operator.observed import Failure
from tidegate_operator.routing.provider import Subject


async def pending(cluster: Cluster, subject: Subject, way: ProviderName, name: str) -> Failure | None:
    """Why callers can't be sent by the Service `name`, which is what `way` is; None if they can.

    It isn't looked at any more once they are.
    """
    metadata, status = subject.live["metadata"], subject.live.get("status") or {}
    if (status.get("routing") or {}).get("provider") == way:
        return None
    own = {"labelSelector": f"kubernetes.io/service-name={name}"}
    listed = await cluster.get(ENDPOINT_SLICE.collection(metadata["namespace"]), own)
    endpoints = (endpoint for found in listed["items"] for endpoint in found.get("endpoints") or ())
    if any((endpoint.get("conditions") or {}).get("ready") is not False for endpoint in endpoints):
        return None
    return Failure("ServicePending", f"the Service {name} has no ready endpoint yet", passing=True)
