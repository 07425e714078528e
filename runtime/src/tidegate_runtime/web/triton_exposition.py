"""The same numbers under Triton's names, for dashboards and autoscalers that are there already.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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


_COUNTERS: Final[Mapping[tuple[str, str], Callable[[ModelMetrics], float]]] = {
    ("nv_inference_request_success", "Requests answered."): lambda metrics: metrics.codes.get(200, 0),
    ("nv_inference_count", "Rows run."): lambda metrics: metrics.batch_rows.total,
    ("nv_inference_exec_count", "Batches run."): lambda metrics: sum(metrics.batch_rows.counts),
    ("nv_inference_request_duration_us", "Requests, end to end."): lambda metrics: _us(metrics.request_duration.total),
    ("nv_inference_queue_duration_us", "Requests waiting."): lambda metrics: _us(metrics.queue_seconds.total),
    ("nv_inference_compute_input_duration_us", "Putting inputs together."): (
        lambda metrics: _us(metrics.request_assemble_seconds)
    ),
    ("nv_inference_compute_infer_duration_us", "Engine runs."): lambda metrics: _us(metrics.request_compute_seconds),
    ("nv_inference_compute_output_duration_us", "Making answers."): lambda metrics: _us(metrics.encode_seconds.total),
}


class TritonCollector(Collector):
    """Renders models' counters as Triton does: durations in whole microseconds, a batch's for each request."""

    def __init__(self, models: Callable[[], Sequence[ModelMetrics]]) -> None:
        """`models` are asked for at each scrape."""
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """All families, each with every model's samples."""
        models = self._models()
        for (name, meaning), value in _COUNTERS.items():
            family = _Counter(name, meaning)
            for metrics in models:
                family.add(_labels(metrics), value(metrics))
            yield family
        yield _failures(models)
        pending = GaugeMetricFamily(
            "nv_inference_pending_request_count", "Requests waiting.", labels=["model", "version"]
        )
        for metrics in models:
            pending.add_metric([metrics.model, metrics.version], metrics.queue_depth)
        yield pending


def _failures(models: Sequence[ModelMetrics]) -> Metric:
    family = _Counter("nv_inference_request_failure", "Requests not answered, by reason.")
    for metrics in models:
        counts = dict.fromkeys(REASONS, 0)
        for code, count in metrics.codes.items():
            if code != 200:
                counts[_REASON_OF.get(code, "OTHER")] += count
        for reason, count in counts.items():
            family.add({**_labels(metrics), "reason": reason}, count)
    return family


def _labels(metrics: ModelMetrics) -> dict[str, str]:
    return {"model": metrics.model, "version": metrics.version}


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
