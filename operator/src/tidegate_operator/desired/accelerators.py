"""The accelerators of a runtime pod: extended resources, or devices that a ResourceClaim brings."""

from tidegate_operator.api.resources_spec import NVIDIA_GPU
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.desired import Manifest

_CLAIM = "gpu"


def limits(spec: InferenceServiceSpec) -> dict[str, str]:
    """The extended resources of the runtime's container, which Kubernetes wants equal in requests and limits."""
    gpu = spec.resources.gpu
    if gpu is None:
        return {NVIDIA_GPU: "1"} if spec.runtime.device == "cuda" else {}
    return {} if gpu.claim_template else {gpu.resource: str(gpu.count)}


def held(pod: Manifest) -> int:
    """How many a pod holds by its `spec`, those of a ResourceClaim aside, which say nowhere how many they are."""
    asked = (container.get("resources", {}).get("limits", {}) for container in pod["containers"])
    return sum(int(count) for limits in asked for resource, count in limits.items() if "/" in resource)


def pod_fields(spec: InferenceServiceSpec) -> Manifest:
    """What the pod's spec says of devices that are claimed: `resourceClaims`, or nothing."""
    template = _claim_template(spec)
    return {"resourceClaims": [{"name": _CLAIM, "resourceClaimTemplateName": template}]} if template else {}


def container_resources(spec: InferenceServiceSpec) -> Manifest:
    """What the `resources` of the runtime's container say of them: `claims`, or nothing."""
    return {"claims": [{"name": _CLAIM}]} if _claim_template(spec) else {}


def _claim_template(spec: InferenceServiceSpec) -> str | None:
    return spec.resources.gpu.claim_template if spec.resources.gpu else None
