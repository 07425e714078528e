"""What a canary is judged by, on a page of its own: 305 buckets that nobody else needs, and what became of requests."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from tidegate_runtime import naming
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.web.exposition import histogram_family, requests_family


class EvidenceCollector(Collector):
    """Renders times, and answers by status."""

    def __init__(self, models: Callable[[], Sequence[ModelMetrics]]) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Both families."""
        models = self._models()
        yield requests_family(models)
        yield histogram_family(
            naming.EVIDENCE_SECONDS,
            "Last byte of the request to answer ready, of each batch's leader.",
            models,
            lambda metrics: metrics.evidence_seconds,
        )
