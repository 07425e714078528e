"""What the `xds` command reports about itself; docs/api.md lists it."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class XdsMetrics:
    """Recorder on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "tidegate_xds_requests_total", "Answers to routers", ["type", "answer"], registry=self.registry
        )
        self._resource_version = Gauge(
            "tidegate_xds_resource_version", "Latest resourceVersion seen", ["type"], registry=self.registry
        )

    def answered(self, kind: str, answer: str) -> None:
        """A router got an answer: sent, unchanged, rejected (it came back for what it had been sent) or unready."""
        self._requests.labels(kind, answer).inc()

    def published(self, services_version: int, slices_version: int) -> None:
        """What was seen up to these resource versions is shown to routers."""
        for kind in ("listeners", "clusters", "routes"):
            self._resource_version.labels(kind).set(services_version)
        self._resource_version.labels("endpoints").set(slices_version)
