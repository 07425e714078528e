"""What became of requests that were handed over, in Prometheus' form; the names and labels are those of docs/api.md."""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidegate_runtime import naming
from tidegate_runtime.handover.figures import HandoverFigures
from tidegate_runtime.share.document import Handover

_MODEL: Final = ("model", "version")


class Handed(Protocol):
    """What hands requests over."""

    @property
    def handover(self) -> Handover | None:
        """What is handed over now."""

    @property
    def reachable(self) -> int | None:
        """How many pods take requests; None as long as none has been asked."""

    def figures(self) -> Sequence[HandoverFigures]:
        """What is counted."""


class HandoverCollector(Collector):
    """Renders what became of requests that were handed over."""

    def __init__(self, handed: Handed) -> None:
        self._handed = handed

    def collect(self) -> Iterator[Metric]:
        """All families. That nothing is handed over is told, too: a release that can't doesn't."""
        percent = GaugeMetricFamily(
            naming.HANDOVER_PERCENT, "Requests that are handed over, in percent.", labels=["canary"]
        )
        pods = GaugeMetricFamily(naming.HANDOVER_PODS, "Pods that take such requests.", labels=["canary"])
        handover = self._handed.handover
        canary = handover.revision if handover is not None else ""
        percent.add_metric([canary], handover.percent if handover is not None else 0)
        reachable = self._handed.reachable
        if reachable is not None:
            pods.add_metric([canary], reachable)
        requests = CounterMetricFamily(
            naming.HANDOVER_REQUESTS,
            "Requests handed over, by what became of them.",
            labels=[*_MODEL, "canary", "by", "outcome"],
        )
        fallbacks = CounterMetricFamily(
            naming.HANDOVER_FALLBACKS, "Requests answered here in the canary's stead.", labels=[*_MODEL, "code"]
        )
        for each in self._handed.figures():
            for (reason, outcome), count in each.outcomes.items():
                requests.add_metric([each.model, each.version, each.canary, reason.value, outcome.value], count)
            for code, count in each.fallbacks.items():
                fallbacks.add_metric([each.model, each.version, str(code)], count)
        yield from (percent, pods, requests, fallbacks)
