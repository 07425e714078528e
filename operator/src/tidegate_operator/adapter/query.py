"""The values that a request to `custom.metrics.k8s.io` asks for. Pure; time is a parameter."""

from collections.abc import Iterable
from dataclasses import dataclass

from tidegate_operator.adapter import scaling_signal
from tidegate_operator.adapter.fleet import Fleet
from tidegate_operator.adapter.inventory import Pod, Service
from tidegate_operator.adapter.label_selectors import Selector, matches
from tidegate_operator.naming import API_VERSION, KIND

ALL = "*"
"""The name that stands for every object matching the label selector."""


@dataclass(frozen=True, slots=True)
class Value:
    """One metric of one object, over the `window` seconds that ended at the time it was asked for."""

    api_version: str
    kind: str
    namespace: str
    name: str
    value: float
    window: float


def pod_values(fleet: Fleet, namespace: str, name: str, metric: str, selector: Selector, now: float) -> list[Value]:
    """A gauge of the named pod, or of all that match; pods that can't be reached are left out."""
    values = []
    for pod in fleet.pods_in(namespace):
        if name not in (ALL, pod.name) or not matches(selector, pod.labels):
            continue
        mean = scaling_signal.load(fleet.window(pod), metric, now)
        if mean is not None:
            values.append(Value("v1", "Pod", namespace, pod.name, mean, scaling_signal.LOAD_SECONDS))
    return values


def service_values(
    fleet: Fleet, namespace: str, name: str, selector: Selector, metric_selector: Selector, now: float
) -> list[Value]:
    """The p95 in ms of the named InferenceService, or of all that match; those without a reachable pod are left out.

    `metric_selector` picks pods by their labels, so one on `tidegate.dev/revision` gives the p95 of that revision, and
    none gives that of the whole service.
    """
    values = []
    for service in fleet.services_in(namespace):
        if name not in (ALL, service.name) or (name == ALL and not matches(selector, service.labels)):
            continue
        replicas = fleet.replicas(_pods_of(service, fleet.pods_in(namespace), metric_selector))
        seconds = scaling_signal.p95(replicas, service.p95_target, now)
        if seconds is not None:
            values.append(
                Value(API_VERSION, KIND, namespace, service.name, seconds * 1000, scaling_signal.LATENCY_SECONDS)
            )
    return values


def _pods_of(service: Service, pods: Iterable[Pod], metric_selector: Selector) -> list[Pod]:
    return [pod for pod in pods if pod.service == service.name and matches(metric_selector, pod.labels)]
