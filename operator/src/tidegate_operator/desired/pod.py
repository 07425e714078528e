"""The pod of a revision: an init container that fetches the model, and the runtime that serves it.

Rendered once, when the revision is first seen, and kept in its record: what runs is never rendered again, so that a
newer operator changes no running pod.
"""

import math

from tidegate_operator import naming
from tidegate_operator.api.schema import seconds, size_in_bytes
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.desired import Manifest, accelerators, environment, placement
from tidegate_operator.install import Install

UID = 10001
DRAIN_SECONDS = 10
"""A pod that ends still answers this long: the routers' health checks (1 s) and their DNS (5 s) have to notice."""

_NAMESPACE = "TIDEGATE_NAMESPACE"
_MODELS, _CLAIM, _TMP = "/models", "/pvc", "/tmp"


def pod_template(service: str, revision: str, spec: InferenceServiceSpec, install: Install) -> Manifest:
    """The template of a revision's pods, fit for a namespace that enforces the `restricted` Pod Security Standard."""
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
        "initContainers": [_fetcher(revision, spec, install)],
        "containers": [_runtime(service, revision, spec, install)],
        "volumes": _volumes(spec, install),
        **placement.pod_fields(spec.placement, service, revision, install.image_pull_secrets),
        **accelerators.pod_fields(spec),
    }
    return {"metadata": {"labels": naming.revision_labels(service, revision)}, "spec": pod}


def _fetcher(revision: str, spec: InferenceServiceSpec, install: Install) -> Manifest:
    arguments = ["fetch", spec.model.uri, _MODELS, "--max-bytes", str(install.max_model_bytes)]
    if spec.model.sha256:
        arguments += ["--sha256", spec.model.sha256]
    mounts = [_mount("model", _MODELS), _mount("tmp", _TMP)]
    if _claim(spec):
        arguments += ["--pvc-root", _CLAIM]
        mounts.append(_mount("claim", _CLAIM, read_only=True))
    return {
        **_container(naming.FETCHER, arguments, spec, install),
        **({} if spec.model.sha256 else {"env": [pinned_digest(revision)]}),
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "512Mi"},
        },
        "volumeMounts": mounts,
    }


def pinned_digest(revision: str) -> Manifest:
    """The variable by which the fetcher is told what the revision's first pod has fetched, once that is known."""
    source = {"name": revision, "key": naming.DIGEST_KEY, "optional": True}
    return {"name": naming.DIGEST_VARIABLE, "valueFrom": {"configMapKeyRef": source}}


def _runtime(service: str, revision: str, spec: InferenceServiceSpec, install: Install) -> Manifest:
    settings = {
        "NAME": service,
        "MODEL_VERSION": revision,
        "DEVICE": spec.runtime.device,
        "MAX_BATCH_SIZE": spec.runtime.batching.max_batch_size,
        "MAX_DELAY_SECONDS": seconds(spec.runtime.batching.max_delay),
        "QUEUE_SIZE": spec.runtime.limits.queue_size,
        "MAX_BODY_BYTES": size_in_bytes(spec.runtime.limits.max_body_bytes),
        "TIMEOUT_SECONDS": seconds(spec.runtime.timeout),
        "DRAIN_SECONDS": DRAIN_SECONDS,
        "SHARE_URL": _share_url(revision, install),
    }
    # By the pod itself, so that the same spec makes the same pods in every namespace.
    namespace = {"name": _NAMESPACE, "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    return {
        **_container("runtime", ["serve", _MODELS], spec, install),
        "env": [namespace, *environment.settings(settings), *map(environment.variable, spec.runtime.environment)],
        "ports": [
            {"name": "http", "containerPort": naming.DATA_PORT},
            {"name": "admin", "containerPort": naming.ADMIN_PORT},
        ],
        "readinessProbe": _probe("/v2/health/ready", period=1, failures=2, timeout=2),
        "livenessProbe": _probe("/v2/health/live", period=10, failures=3, timeout=5),
        "resources": _resources(spec),
        "volumeMounts": [_mount("model", _MODELS, read_only=True), _mount("tmp", _TMP)],
    }


def _share_url(revision: str, install: Install) -> str:
    """Where the pod asks what share of its requests it copies, whether or not its service says anything of that now."""
    server = f"{naming.XDS_SERVICE}.{install.namespace}.svc.{install.cluster_domain}:{naming.XDS_PORT}"
    return f"http://{server}/v1/share/$({_NAMESPACE})/{revision}"


def _container(name: str, arguments: list[str], spec: InferenceServiceSpec, install: Install) -> Manifest:
    return {
        "name": name,
        "image": install.runtime_image(spec.runtime.device),
        "imagePullPolicy": install.image_pull_policy,
        "args": arguments,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _resources(spec: InferenceServiceSpec) -> Manifest:
    requests = spec.resources.requests
    limits = {"memory": requests.memory, **accelerators.limits(spec)}
    return {
        "requests": {"cpu": requests.cpu, **limits},
        "limits": limits,
        **accelerators.container_resources(spec),
    }


def _probe(path: str, *, period: int, failures: int, timeout: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": timeout,
    }


def _volumes(spec: InferenceServiceSpec, install: Install) -> list[Manifest]:
    volumes: list[Manifest] = [
        {"name": "model", "emptyDir": {"sizeLimit": str(install.max_model_bytes)}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
    ]
    if claim := _claim(spec):
        volumes.append({"name": "claim", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
    return volumes


def _claim(spec: InferenceServiceSpec) -> str | None:
    scheme, _, rest = spec.model.uri.partition("://")
    return rest.partition("/")[0] if scheme == "pvc" else None


def _mount(volume: str, path: str, *, read_only: bool = False) -> Manifest:
    return {"name": volume, "mountPath": path, **({"readOnly": True} if read_only else {})}
