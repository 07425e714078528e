"""The same numbers under Triton's names, for dashboards and autoscalers that are there already.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidegate_runtime.metrics import ModelMetrics

REASONS: Final = ("REJECTED", "CANCELED", "BACKEND", "OTHER")

_REASON_OF: Final = {429: "REJECTED", 503: "REJECTED", 504: "REJECTED", 499: "CANCELED", 500: "BACKEND"}
"""Triton's reason by the status that an answer is counted under; the rest is OTHER."""


class _Counter(CounterMetricFamily):
    """A counter whose samples have the family's own name: Triton's names don't end in `_total`."""

    def add(self, labels: dict[str, str], value: float) -> None:
        self.add_sample(self.name, labels, value)


class TritonCollector(Collector):
    """Renders one model's counters as Triton does: durations in whole microseconds, a batch's for each request."""

    def __init__(self, metrics: ModelMetrics) -> None:
        self._metrics = metrics
        self._labels = {"model": metrics.model, "version": metrics.version}

    def collect(self) -> Iterator[Metric]:
        """All families of the model."""
        metrics = self._metrics
        yield self._counter("nv_inference_request_success", "Requests answered.", metrics.codes.get(200, 0))
        yield self._failures()
        for name, meaning, value in (
            ("nv_inference_count", "Rows run.", metrics.batch_rows.total),
            ("nv_inference_exec_count", "Batches run.", sum(metrics.batch_rows.counts)),
            ("nv_inference_request_duration_us", "Requests, end to end.", _us(metrics.request_duration.total)),
            ("nv_inference_queue_duration_us", "Requests waiting.", _us(metrics.queue_seconds.total)),
            ("nv_inference_compute_input_duration_us", "Putting inputs together.", _us(metrics.waited_for_assembly)),
            ("nv_inference_compute_infer_duration_us", "Engine runs.", _us(metrics.waited_for_compute)),
            ("nv_inference_compute_output_duration_us", "Making answers.", _us(metrics.encode_seconds.total)),
        ):
            yield self._counter(name, meaning, value)
        pending = GaugeMetricFamily("nv_inference_pending_request_count", "Requests waiting.", labels=[*self._labels])
        pending.add_metric([*self._labels.values()], metrics.queue_depth)
        yield pending

    def _counter(self, name: str, meaning: str, value: float) -> Metric:
        family = _Counter(name, meaning)
        family.add(self._labels, value)
        return family

    def _failures(self) -> Metric:
        counts = dict.fromkeys(REASONS, 0)
        for code, count in self._metrics.codes.items():
            if code != 200:
                counts[_REASON_OF.get(code, "OTHER")] += count
        family = _Counter("nv_inference_request_failure", "Requests not answered, by reason.")
        for reason, count in counts.items():
            family.add({**self._labels, "reason": reason}, count)
        return family


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
