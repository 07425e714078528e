"""The model's plain numbers in Prometheus' form, made when somebody asks."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from tidegate_runtime import naming
from tidegate_runtime.metrics import Histogram, ModelMetrics


class ModelCollector(Collector):
    """Renders one model's metrics; the names and labels are those of docs/api.md."""

    def __init__(self, metrics: ModelMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is the scheduler's."""
        self._metrics = metrics
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """All families of the model."""
        metrics, label = self._metrics, [self._metrics.model]
        yield _gauge(
            naming.QUEUE_DEPTH, "Requests waiting, those in the engine not counted.", label, metrics.queue_depth
        )
        yield _gauge(naming.INFLIGHT, "Requests accepted and not yet answered.", label, metrics.inflight)
        requests = CounterMetricFamily(naming.REQUESTS, "Answers by HTTP status.", labels=["model", "code"])
        for code, count in sorted(metrics.codes.items()):
            requests.add_metric([metrics.model, str(code)], count)
        yield requests
        refused = CounterMetricFamily(naming.REFUSED, "Requests refused for load.", labels=["model", "reason"])
        for reason, count in metrics.refused.items():
            refused.add_metric([metrics.model, reason], count)
        yield refused
        yield _gauge(
            naming.UTILIZATION,
            "Engine seconds offered per second, refused requests included, over the last ten seconds.",
            label,
            metrics.utilization(self._clock()),
        )
        for name, help_text, histogram in (
            (
                naming.REQUEST_DURATION,
                "Last byte of the request to answer ready, of 200 answers.",
                metrics.request_duration,
            ),
            (naming.QUEUE_SECONDS, "From admission to the cut of the batch.", metrics.queue_seconds),
            (naming.BATCH_ROWS, "Rows in a batch.", metrics.batch_rows),
            (naming.COMPUTE_SECONDS, "One engine run.", metrics.compute_seconds),
        ):
            family = HistogramMetricFamily(name, help_text, labels=["model"])
            family.add_metric(label, _cumulative(histogram), histogram.total)
            yield family
        info = GaugeMetricFamily(
            naming.MODEL_INFO,
            "Whether requests are batched and, if not, why.",
            labels=["model", "version", "device", "batched", "reason"],
        )
        batched = "true" if metrics.batched else "false"
        info.add_metric([metrics.model, metrics.version, metrics.device, batched, metrics.reason], 1)
        yield info
        if metrics.grpc_transport:
            info = GaugeMetricFamily(
                naming.GRPC_INFO,
                "What carries gRPC and, if it isn't what was asked for, why.",
                labels=["transport", "reason"],
            )
            info.add_metric([metrics.grpc_transport, metrics.grpc_reason], 1)
            yield info


class EngineCollector(Collector):
    """How often the engine's process was started again."""

    def __init__(self, restarts: Callable[[], int]) -> None:
        self._restarts = restarts

    def collect(self) -> Iterator[Metric]:
        """The one counter."""
        yield CounterMetricFamily(
            naming.ENGINE_RESTARTS, "Processes started in place of one that had ended.", self._restarts()
        )


def _gauge(name: str, help_text: str, label: Sequence[str], value: float) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=["model"])
    family.add_metric(label, value)
    return family


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    return list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
