"""The adapter's own metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class AdapterMetrics:
    """Recorders of what the adapter does, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._scrapes = Counter(
            "tidegate_adapter_scrapes_total",
            "Pages asked of pods, by outcome: ok, timeout, unreachable, refused (not 200), malformed",
            ["outcome"],
            registry=registry,
        )
        self._pods = Gauge("tidegate_adapter_pods", "Pods that are scraped", registry=registry)
        self._registered = Gauge(
            "tidegate_adapter_registered",
            "1 where the cluster's custom.metrics.k8s.io is this install's, 0 where it isn't",
            registry=registry,
        )

    def scraped(self, outcome: str) -> None:
        """Count one page asked for."""
        self._scrapes.labels(outcome).inc()

    def pods_known(self, count: int) -> None:
        """Tell how many pods are scraped."""
        self._pods.set(count)

    def registered(self, ours: bool) -> None:
        """Tell whether the APIServices are ours."""
        self._registered.set(1 if ours else 0)
