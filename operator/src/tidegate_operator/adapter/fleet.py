"""Everything the adapter knows at this moment: the pods and their windows, and the InferenceServices. No I/O."""

from collections.abc import Iterable, Mapping
from typing import Any

from tidegate_operator.adapter.exposition import Reading
from tidegate_operator.adapter.inventory import Pod, Service, pod_of, service_of
from tidegate_operator.adapter.scaling_signal import LATENCY_SECONDS, Replica
from tidegate_operator.adapter.windows import PodWindow


class Fleet:
    """Pods by uid and InferenceServices by namespace and name, kept by the watch and the scraper."""

    def __init__(self) -> None:
        self._pods: dict[str, Pod] = {}
        self._windows: dict[str, PodWindow] = {}
        self._services: dict[tuple[str, str], Service] = {}

    def see_pod(self, body: Mapping[str, Any], *, deleted: bool) -> None:
        """Take in an event of the watch on pods."""
        uid = body["metadata"]["uid"]
        pod = None if deleted else pod_of(body)
        if pod is None:
            self._pods.pop(uid, None)
            self._windows.pop(uid, None)
            return
        self._pods[uid] = pod
        self._windows.setdefault(uid, PodWindow(LATENCY_SECONDS))

    def see_service(self, body: Mapping[str, Any], *, deleted: bool) -> None:
        """Take in an event of the watch on InferenceServices."""
        service = service_of(body)
        if deleted:
            self._services.pop((service.namespace, service.name), None)
        else:
            self._services[service.namespace, service.name] = service

    def record(self, uid: str, reading: Reading, now: float) -> None:
        """Add what a pod answered at `now`, unless it went meanwhile."""
        if window := self._windows.get(uid):
            window.record(reading, now)

    def pods(self) -> list[Pod]:
        """All pods that haven't ended."""
        return list(self._pods.values())

    def pods_in(self, namespace: str) -> Iterable[Pod]:
        """The pods of a namespace."""
        return (pod for pod in self._pods.values() if pod.namespace == namespace)

    def services_in(self, namespace: str) -> Iterable[Service]:
        """The InferenceServices of a namespace."""
        return (service for service in self._services.values() if service.namespace == namespace)

    def window(self, pod: Pod) -> PodWindow:
        """What was read from a pod."""
        return self._windows[pod.uid]

    def replicas(self, pods: Iterable[Pod]) -> list[Replica]:
        """The pods as `scaling_signal.p95` takes them."""
        return [Replica(self.window(pod), pod.ready_since, pod.unready_since) for pod in pods]

    def lacks(self, pods: Iterable[Mapping[str, Any]], services: Iterable[Mapping[str, Any]]) -> list[str]:
        """The names of listed API objects that the watch hasn't told of yet."""
        missing_pods = [pod for pod in pods if pod_of(pod) is not None and pod["metadata"]["uid"] not in self._pods]
        missing_services = [
            service
            for service in services
            if (service["metadata"]["namespace"], service["metadata"]["name"]) not in self._services
        ]
        return [
            f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in missing_pods + missing_services
        ]
