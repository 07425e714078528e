"""The pod of a revision: an init container that fetches the model, and the container that serves it.

Rendered once, when the revision is first seen, and kept in its record: what runs is never rendered again, so that a
newer operator changes no running pod.
"""

import math

from tidegate_operator import naming
from tidegate_operator.api.model_spec import ModelSpec
from tidegate_operator.api.schema import seconds, size_in_bytes
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.desired import Manifest, accelerators, environment, placement
from tidegate_operator.desired.container import (
    DRAIN_SECONDS,
    MODELS,
    RUNTIME,
    TMP,
    container,
    mount,
    mounts,
    probe,
    resources,
)
from tidegate_operator.desired.own_image import own_container
from tidegate_operator.install import Install

UID = 10001

_NAMESPACE = "TIDEGATE_NAMESPACE"
_CLAIM = "/pvc"


def pod_template(service: str, revision: str, spec: InferenceServiceSpec, install: Install) -> Manifest:
    """The template of a revision's pods, fit for a namespace that enforces the `restricted` Pod Security Standard."""
    image = spec.runtime.image
    serving = own_container(service, revision, spec, image) if image else _runtime(service, revision, spec, install)
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": DRAIN_SECONDS + math.ceil(seconds(spec.runtime.timeout)) + 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": UID,
            "fsGroup": UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **({"initContainers": [_fetcher(revision, spec, spec.model, install)]} if spec.model else {}),
        "containers": [serving],
        "volumes": _volumes(spec, install),
        **placement.pod_fields(spec.placement, service, revision, install.image_pull_secrets),
        **accelerators.pod_fields(spec),
    }
    return {"metadata": {"labels": _labels(service, revision, spec)}, "spec": pod}


def pinned_digest(revision: str) -> Manifest:
    """The variable by which the fetcher is told what the revision's first pod has fetched, once that is known."""
    source = {"name": revision, "key": naming.DIGEST_KEY, "optional": True}
    return {"name": naming.DIGEST_VARIABLE, "valueFrom": {"configMapKeyRef": source}}


def _labels(service: str, revision: str, spec: InferenceServiceSpec) -> dict[str, str]:
    silent = spec.runtime.image is not None and not spec.runtime.image.metrics
    untold = {naming.METRICS_LABEL: naming.NO_METRICS} if silent else {}
    return {**naming.revision_labels(service, revision), **untold}


def _fetcher(revision: str, spec: InferenceServiceSpec, model: ModelSpec, install: Install) -> Manifest:
    arguments = ["fetch", model.uri, MODELS, "--max-bytes", str(install.max_model_bytes)]
    if model.sha256:
        arguments += ["--sha256", model.sha256]
    volumes = [mount("model", MODELS), mount("tmp", TMP)]
    if _claim(model):
        arguments += ["--pvc-root", _CLAIM]
        volumes.append(mount("claim", _CLAIM, read_only=True))
    return {
        **_bundled(naming.FETCHER, spec, install),
        "args": arguments,
        **({} if model.sha256 else {"env": [pinned_digest(revision)]}),
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "512Mi"},
        },
        "volumeMounts": volumes,
    }


def _runtime(service: str, revision: str, spec: InferenceServiceSpec, install: Install) -> Manifest:
    settings = {
        "NAME": service,
        "MODEL_VERSION": revision,
        "DEVICE": spec.runtime.device,
        "MAX_BATCH_SIZE": spec.runtime.batching.max_batch_size,
        "MAX_DELAY_SECONDS": seconds(spec.runtime.batching.max_delay),
        "QUEUE_SIZE": spec.runtime.limits.queue_size,
        "MAX_BODY_BYTES": size_in_bytes(spec.runtime.limits.max_body_bytes),
        "MAX_ELEMENT_BYTES": size_in_bytes(spec.runtime.limits.max_element_bytes),
        "REJECT_NON_FINITE": spec.runtime.limits.reject_non_finite,
        "TIMEOUT_SECONDS": seconds(spec.runtime.timeout),
        "DRAIN_SECONDS": DRAIN_SECONDS,
        "SHARE_URL": _share_url(revision, install),
    }
    # By the pod itself, so that the same spec makes the same pods in every namespace.
    namespace = {"name": _NAMESPACE, "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    return {
        **_bundled(RUNTIME, spec, install),
        "args": ["serve", MODELS],
        "env": [namespace, *environment.settings(settings), *map(environment.variable, spec.runtime.environment)],
        "ports": [
            {"name": "http", "containerPort": naming.DATA_PORT},
            {"name": "admin", "containerPort": naming.ADMIN_PORT},
        ],
        "readinessProbe": probe("/v2/health/ready", period=1, failures=2, timeout=2),
        "livenessProbe": probe("/v2/health/live", period=10, failures=3, timeout=5),
        "resources": resources(spec),
        "volumeMounts": mounts(spec),
    }


def _share_url(revision: str, install: Install) -> str:
    """Where the pod asks what share of its requests it copies, whether or not its service says anything of that now."""
    server = f"{naming.XDS_SERVICE}.{install.namespace}.svc.{install.cluster_domain}:{naming.XDS_PORT}"
    return f"http://{server}/v1/share/$({_NAMESPACE})/{revision}"


def _bundled(name: str, spec: InferenceServiceSpec, install: Install) -> Manifest:
    # Beside an image of the user's own the bundled one only fetches, which needs none of a device's libraries.
    device = "cpu" if spec.runtime.image else spec.runtime.device
    return container(name, install.runtime_image(device), install.image_pull_policy)


def _volumes(spec: InferenceServiceSpec, install: Install) -> list[Manifest]:
    volumes: list[Manifest] = []
    if spec.model:
        volumes.append({"name": "model", "emptyDir": {"sizeLimit": str(install.max_model_bytes)}})
    volumes.append({"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}})
    if size := spec.resources.shared_memory:
        # Its pages are charged to the container that writes them, so the limit of memory holds for them, too.
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": size}})
    if spec.model and (claim := _claim(spec.model)):
        volumes.append({"name": "claim", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
    return volumes


def _claim(model: ModelSpec) -> str | None:
    scheme, _, rest = model.uri.partition("://")
    return rest.partition("/")[0] if scheme == "pvc" else None
