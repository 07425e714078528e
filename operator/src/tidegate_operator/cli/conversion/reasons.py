"""Why fields of KServe's InferenceService have no counterpart."""

from collections.abc import Iterable, Iterator
from typing import Final

from tidegate_operator.cli.conversion.fields import Path, written
from tidegate_operator.cli.conversion.report import Gravity, Note

_SERVER = "the API server writes it"
_CONTAINER = "pods hold the bundled runtime's container; one of your own goes into spec.runtime.image, by hand"
_POD = "no field reaches into the pod; spec.resources and spec.runtime say what it needs"
_ANNOTATIONS: Final[Path] = ("metadata", "annotations")
_METADATA = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink")

_TABLE: Final[tuple[tuple[Path, str, Gravity], ...]] = (
    (("status",), "the controller writes it", "noted"),
    *((("metadata", name), _SERVER, "noted") for name in _METADATA),
    (("metadata", "ownerReferences"), "it would be deleted with an owner that KServe's object has", "lost"),
    (("metadata", "finalizers"), "nothing would take it off again", "lost"),
    (
        ("metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"),
        "kubectl writes it",
        "noted",
    ),
    (_ANNOTATIONS, "it means something to KServe alone", "lost"),
    (("spec", "transformer"), "requests come to the model as they are: transform them in the client", "essential"),
    (("spec", "explainer"), "there are no explainers", "lost"),
    (
        ("spec", "canary"),
        "apply the stable predictor first; then change spec.model to the canary's, which makes it a canary",
        "lost",
    ),
    (("spec", "predictor", "workerSpec"), "a model runs in one pod", "essential"),
    (("spec", "predictor", "containers"), _CONTAINER, "essential"),
    (("spec", "predictor", "initContainers"), _POD, "lost"),
    (("spec", "predictor", "logger"), "requests aren't logged", "lost"),
    (
        ("spec", "predictor", "containerConcurrency"),
        "a pod takes what its queue holds: see spec.runtime.limits.queueSize",
        "lost",
    ),
    (("spec", "predictor", "scaleMetricType"), "targets are absolute", "lost"),
    (("spec", "predictor", "autoScaling", "metrics"), "see spec.scaling.metrics: QueueDepth and P95", "lost"),
    (("spec", "predictor", "deploymentStrategy"), "spec.rollout says how a revision takes over", "lost"),
    (("spec", "predictor", "labels"), "pods carry Tidegate's labels alone", "lost"),
    (("spec", "predictor", "annotations"), "pods carry no annotations", "lost"),
    (
        ("spec", "predictor", "serviceAccountName"),
        "pods run without an account's rights: give a model that needs credentials to spec.model",
        "lost",
    ),
    (("spec", "predictor", "batcher", "timeout"), "see spec.runtime.timeout", "lost"),
    (("spec", "predictor", "*", "runtime"), "there is one runtime", "lost"),
    (("spec", "predictor", "*", "runtimeVersion"), "the install chooses the runtime's image", "lost"),
    (("spec", "predictor", "*", "modelFormat", "version"), "the model's file tells its version", "noted"),
    (("spec", "predictor", "*", "modelFormat", "autoSelect"), "there is one runtime", "noted"),
    *(
        (("spec", "predictor", "*", name), _CONTAINER, "lost")
        for name in ("args", "command", "env", "envFrom", "image", "imagePullPolicy", "name", "ports", "volumeMounts")
    ),
    *(
        (("spec", "predictor", "*", name), "probes are the runtime's own", "lost")
        for name in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
    ),
    *(
        (("spec", "predictor", name), _POD, "lost")
        for name in (
            "affinity",
            "volumes",
            "imagePullSecrets",
            "securityContext",
            "schedulerName",
            "topologySpreadConstraints",
        )
    ),
)
_OTHERWISE: Final = "there is no such field"


def unclaimed(left: Iterable[Path]) -> Iterator[Note]:
    """A note for each field that is `left`, or for the field above it that has a reason for all below."""
    told: set[str] = set()
    for path in left:
        known = next((entry for entry in _TABLE if _matches(entry[0], path)), None)
        field = written(path[: len(known[0])] if known and known[0] != _ANNOTATIONS else path)
        if field not in told:
            told.add(field)
            yield Note(field, known[1], known[2]) if known else Note(field, _OTHERWISE)


def _matches(pattern: Path, path: Path) -> bool:
    return len(pattern) <= len(path) and all(
        wanted in ("*", found) for wanted, found in zip(pattern, path, strict=False)
    )
