"""The objects of one revision: its record, Deployment, headless Service, disruption budget and autoscaler."""

import json
from collections.abc import Mapping
from typing import Any

from tidegate_operator import naming
from tidegate_operator.api.scaling_spec import MetricSpec, ScalingSpec
from tidegate_operator.api.schema import seconds
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.desired import Manifest, Owner, metadata
from tidegate_operator.desired.pod import pinned_digest, pod_template
from tidegate_operator.install import Install
from tidegate_operator.revisions import Revision
from tidegate_operator.rollout.capacity import Bounds

DEFAULT_QUEUE_DEPTH = 8
"""Requests waiting per pod that a service without metrics of its own is scaled to."""


def record(owner: Owner, revision: Revision, spec: InferenceServiceSpec, install: Install, number: int) -> Manifest:
    """The revision's record: what it was made from and the pod template rendered for it, re-applied verbatim since.

    `number` grows from revision to revision of a service.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata.of_revision(owner, revision.name),
        "revision": number,
        "data": {
            "content": revision.content,
            "template": _as_told(pod_template(revision.service, revision.name, spec, install)),
        },
    }


def _as_told(template: Manifest) -> Manifest:
    """`template` in the order in which the API server tells it from then on: the same pods are the same bytes."""
    told: Manifest = json.loads(json.dumps(template, sort_keys=True))
    return told


def pin(owner: Owner, revision: str, sha256: str) -> Manifest:
    """What the model of `revision` has to be from now on: what its first pod has fetched."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata.of_revision(owner, revision),
        "immutable": True,
        "data": {naming.DIGEST_KEY: sha256},
    }


def is_pinned(template: Manifest, revision: str) -> bool:
    """Whether pods by `template` are held to what the first one has fetched."""
    variable = pinned_digest(revision)
    return any(variable in container.get("env", []) for container in template["spec"].get("initContainers", []))


def deployment(owner: Owner, revision: str, recorded: Mapping[str, Any]) -> Manifest:
    """The Deployment of `revision` with the template that its record holds.

    It never names `replicas`: that field belongs to the HPA, or to `replicas` below.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata.of_revision(owner, revision),
        "spec": {
            "selector": {"matchLabels": naming.pod_selector(owner["metadata"]["name"], revision)},
            "template": recorded["data"]["template"],
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "revisionHistoryLimit": 2,
        },
    }


def replicas(owner: Owner, revision: str, count: int) -> Manifest:
    """The one field of a Deployment that has a field manager of its own, applied only while no HPA owns it.

    An apply that drops a field resets it to its default (5 → 1), so the manager that declares the rest must never have
    declared this one.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": revision, "namespace": owner["metadata"]["namespace"]},
        "spec": {"replicas": count},
    }


def headless_service(owner: Owner, revision: str, *, grpc: bool = False) -> Manifest:
    """The Service whose EndpointSlices and DNS name lead to the revision's pods, and with `grpc` to their port for it.

    That port goes by its number: the pods' template doesn't name it, and a template that did would be another.
    """
    ports: list[Manifest] = [{"name": "http", "port": naming.DATA_PORT, "targetPort": "http"}]
    if grpc:
        ports.append({"name": "grpc", "port": naming.GRPC_PORT, "targetPort": naming.GRPC_PORT})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata.of_revision(owner, revision),
        "spec": {
            "clusterIP": "None",
            "selector": naming.pod_selector(owner["metadata"]["name"], revision),
            "ports": ports,
        },
    }


def disruption_budget(owner: Owner, revision: str) -> Manifest:
    """One pod at a time may be evicted; pods that don't work may always be."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata.of_revision(owner, revision),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": naming.pod_selector(owner["metadata"]["name"], revision)},
        },
    }


def autoscaler(owner: Owner, revision: str, scaling: ScalingSpec, bounds: Bounds) -> Manifest:
    """The HPA of `revision` between `bounds`, on the metrics of `scaling`."""
    service = owner["metadata"]["name"]
    behavior = {"behavior": scaling.behavior.dump()} if scaling.behavior else {}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata.of_revision(owner, revision),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": revision},
            "minReplicas": bounds.low,
            "maxReplicas": bounds.high,
            "metrics": [_metric(service, revision, metric) for metric in metrics_of(scaling)],
            **behavior,
        },
    }


def metrics_of(scaling: ScalingSpec) -> list[MetricSpec]:
    """The metrics that `scaling` names, or those that follow from its SLO where it names none."""
    if scaling.metrics:
        return scaling.metrics
    derived = [MetricSpec(type="QueueDepth", target=DEFAULT_QUEUE_DEPTH)]
    if scaling.slo:
        derived.append(MetricSpec(type="P95", target=scaling.slo.p95))
    return derived


def _metric(service: str, revision: str, metric: MetricSpec) -> Manifest:
    if metric.type == "QueueDepth":
        return {
            "type": "Pods",
            "pods": {
                "metric": {"name": naming.QUEUE_DEPTH_METRIC},
                "target": {"type": "AverageValue", "averageValue": str(metric.target)},
            },
        }
    return {
        "type": "Object",
        "object": {
            "describedObject": {"apiVersion": naming.API_VERSION, "kind": naming.KIND, "name": service},
            "metric": {
                "name": naming.P95_METRIC,
                "selector": {"matchLabels": {naming.REVISION_LABEL: revision}},
            },
            "target": {"type": "Value", "value": _milliseconds(str(metric.target))},
        },
    }


def _milliseconds(duration: str) -> str:
    return str(round(seconds(duration) * 1000))
