"""The controller's own metrics; docs/api.md lists them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class ControllerMetrics:
    """Counts passes and tells who leads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pass_seconds = Histogram("tidegate_controller_pass_seconds", "Duration of a pass", registry=registry)
        self.passes = Counter("tidegate_controller_passes", "Passes by outcome", ["outcome"], registry=registry)
        self.queue_keys = Gauge("tidegate_controller_queue_keys", "Services that are due", registry=registry)
        self.leader = Gauge("tidegate_controller_leader", "1 while this replica leads", registry=registry)
