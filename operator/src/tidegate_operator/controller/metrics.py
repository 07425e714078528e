"""The controller's own metrics; docs/api.md lists them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PASS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_QUEUE_BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120)


class ControllerMetrics:
    """Counts passes, errors, writes and events, and tells who leads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def named(name: str) -> str:
            return f"tidegate_controller_{name}"

        self.pass_seconds = Histogram(
            named("pass_seconds"), "Duration of a pass", buckets=_PASS_BOUNDS, registry=registry
        )
        self.passes = Counter(named("passes"), "Passes by outcome", ["outcome"], registry=registry)
        self.errors = Counter(named("errors"), "Passes that failed, by reason", ["reason"], registry=registry)
        self.queue_keys = Gauge(named("queue_keys"), "Services that are due", registry=registry)
        self.queue_seconds = Histogram(
            named("queue_seconds"), "Time from being due to the pass", buckets=_QUEUE_BOUNDS, registry=registry
        )
        self.writes = Counter(
            named("writes"), "Calls that write, by kind and verb", ["kind", "verb"], registry=registry
        )
        self.watch_events = Counter(named("watch_events"), "Events of watches, by kind", ["kind"], registry=registry)
        self.watch_silence = Gauge(
            named("watch_silence_seconds"), "Since a watch was heard of last", ["kind"], registry=registry
        )
        self.leader = Gauge(named("leader"), "1 while this replica leads", registry=registry)
