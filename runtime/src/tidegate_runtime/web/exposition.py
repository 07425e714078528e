"""The model's plain numbers in Prometheus' form, made when somebody asks."""

import time
from collections.abc import Callable, Hashable, Iterator
from itertools import accumulate, groupby
from operator import attrgetter
from typing import Final, Protocol
from zlib import crc32

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from tidegate_runtime import naming
from tidegate_runtime.metrics import CostFigure, Histogram, ModelMetrics

MAX_SHAPES: Final = 16
MAX_COUNTS: Final = 16
"""Shapes of the cost table that are shown, and row counts of each: a page must not grow with what clients send."""

MAX_SHAPE_CHARACTERS: Final = 64


class ModelCollector(Collector):
    """Renders one model's metrics; the names and labels are those of docs/api.md."""

    def __init__(self, metrics: ModelMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is the scheduler's."""
        self._metrics = metrics
        self._clock = clock
        self._labels = {"model": metrics.model, "version": metrics.version}

    def collect(self) -> Iterator[Metric]:
        """All families of the model."""
        yield from self._gauges()
        yield from self._counters()
        yield from self._histograms()
        yield from self._costs()
        yield self._info()
        yield from self._carrier()

    def _gauges(self) -> Iterator[Metric]:
        metrics = self._metrics
        for name, meaning, value in (
            (naming.QUEUE_DEPTH, "Requests waiting, those in the engine not counted.", metrics.queue_depth),
            (naming.INFLIGHT, "Requests accepted and not yet answered.", metrics.inflight),
            (
                naming.UTILIZATION,
                "Engine seconds offered per second, refused requests included, over the last ten seconds.",
                metrics.utilization(self._clock()),
            ),
        ):
            family = GaugeMetricFamily(name, meaning, labels=[*self._labels])
            family.add_metric([*self._labels.values()], value)
            yield family

    def _counters(self) -> Iterator[Metric]:
        metrics = self._metrics
        requests = CounterMetricFamily(naming.REQUESTS, "Answers by HTTP status.", labels=[*self._labels, "code"])
        for code, count in sorted(metrics.codes.items()):
            requests.add_metric([*self._labels.values(), str(code)], count)
        yield requests
        refused = CounterMetricFamily(naming.REFUSED, "Requests refused for load.", labels=[*self._labels, "reason"])
        for reason, count in metrics.refused.items():
            refused.add_metric([*self._labels.values(), reason], count)
        yield refused

    def _histograms(self) -> Iterator[Metric]:
        metrics = self._metrics
        for name, meaning, histogram in (
            (
                naming.REQUEST_DURATION,
                "Last byte of the request to answer ready, of 200 answers.",
                metrics.request_duration,
            ),
            (naming.PARSE_SECONDS, "Last byte of the request to admission, of 200 answers.", metrics.parse_seconds),
            (naming.QUEUE_SECONDS, "From admission to the cut of the batch.", metrics.queue_seconds),
            (naming.ASSEMBLE_SECONDS, "Putting one batch's tensors together.", metrics.assemble_seconds),
            (naming.COMPUTE_SECONDS, "One engine run.", metrics.compute_seconds),
            (naming.ENCODE_SECONDS, "Outputs there to answer ready, of 200 answers.", metrics.encode_seconds),
            (naming.BATCH_ROWS, "Rows in a batch.", metrics.batch_rows),
        ):
            family = HistogramMetricFamily(name, meaning, labels=[*self._labels])
            family.add_metric([*self._labels.values()], _cumulative(histogram), histogram.total)
            yield family

    def _costs(self) -> Iterator[Metric]:
        labels = [*self._labels, "shape", "rows"]
        mean = GaugeMetricFamily(naming.RUN_COST_MEAN, "One engine run by the cost table, mean.", labels=labels)
        p99 = GaugeMetricFamily(naming.RUN_COST_P99, "One engine run by the cost table, p99.", labels=labels)
        for figure in _shown(self._metrics):
            values = [*self._labels.values(), shape_label(figure.shape), str(figure.rows)]
            mean.add_metric(values, figure.mean)
            p99.add_metric(values, figure.p99)
        yield mean
        yield p99

    def _info(self) -> Metric:
        metrics = self._metrics
        info = GaugeMetricFamily(
            naming.MODEL_INFO,
            "Whether requests are batched and, if not, why.",
            labels=[*self._labels, "device", "batched", "reason"],
        )
        batched = "true" if metrics.batched else "false"
        info.add_metric([*self._labels.values(), metrics.device, batched, metrics.reason], 1)
        return info

    def _carrier(self) -> Iterator[Metric]:
        if self._metrics.grpc_transport:
            info = GaugeMetricFamily(
                naming.GRPC_INFO,
                "What carries gRPC and, if it isn't what was asked for, why.",
                labels=["transport", "reason"],
            )
            info.add_metric([self._metrics.grpc_transport, self._metrics.grpc_reason], 1)
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


class Lossy(Protocol):
    """What sends traces, and loses some."""

    @property
    def lost(self) -> int:
        """Spans that never arrived."""


class TraceCollector(Collector):
    """Renders what became of traces."""

    def __init__(self, traces: Lossy) -> None:
        self._traces = traces

    def collect(self) -> Iterator[Metric]:
        """The one family."""
        yield CounterMetricFamily(naming.SPANS_DROPPED, "Spans that were not sent.", self._traces.lost)


def shape_label(shape: Hashable) -> str:
    """What tells a shape apart, on one line: `x:float32[16]`, of several inputs with commas between.

    Of a longer one the beginning, and a checksum of the whole in its place.
    """
    several = isinstance(shape, tuple) and shape and not isinstance(shape[0], str)
    inputs = shape if several and isinstance(shape, tuple) else (shape,)
    label = ",".join(map(_input_label, inputs))
    if len(label) > MAX_SHAPE_CHARACTERS:
        label = f"{label[: MAX_SHAPE_CHARACTERS - 9]}~{crc32(label.encode(errors='replace')):08x}"
    return label


def _input_label(shape: object) -> str:
    match shape:
        case (str(name), dtype, tuple(sizes)):
            return f"{name}:{dtype}[{','.join(map(str, sizes))}]"
    return str(shape)


def _shown(metrics: ModelMetrics) -> Iterator[CostFigure]:
    """The largest counts of the first shapes: those that warm-up ran come first."""
    for shown, (_, figures) in enumerate(groupby(metrics.costs(), attrgetter("shape"))):
        if shown == MAX_SHAPES:
            return
        yield from _spread([*figures])


def _spread(figures: list[CostFigure]) -> list[CostFigure]:
    """At most `MAX_COUNTS` of them, evenly, the first and the last included."""
    last = len(figures) - 1
    if last < MAX_COUNTS:
        return figures
    return [figures[step * last // (MAX_COUNTS - 1)] for step in range(MAX_COUNTS)]


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    return list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
