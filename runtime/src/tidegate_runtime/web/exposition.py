"""The models' plain numbers in Prometheus' form, made when somebody asks."""

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from operator import attrgetter
from typing import Final, Protocol
from zlib import crc32

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from tidegate_runtime import naming
from tidegate_runtime.histogram import Histogram
from tidegate_runtime.metrics import CostFigure, ModelMetrics
from tidegate_runtime.workers.usage import Account

MAX_SHAPES: Final = 16
MAX_COUNTS: Final = 16
"""Shapes of the cost table that are shown, and row counts of each: a page must not grow with what clients send."""

MAX_SHAPE_CHARACTERS: Final = 64

_MODEL: Final = ("model", "version")
_FRONT_END: Final = ("front_end",)


class ModelCollector(Collector):
    """Renders models' metrics; the names and labels are those of docs/api.md."""

    def __init__(
        self, models: Callable[[], Sequence[ModelMetrics]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`models` are asked for at each scrape. `clock` is the schedulers'."""
        self._models = models
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """All families, each with every model's samples."""
        models = self._models()
        yield from self._gauges(models)
        yield from _counters(models)
        yield from _histograms(models)
        yield from _costs(models)
        info = GaugeMetricFamily(
            naming.MODEL_INFO,
            "Whether requests are batched and, if not, why.",
            labels=[*_MODEL, "device", "batched", "reason"],
        )
        for metrics in models:
            batched = "true" if metrics.batched else "false"
            info.add_metric([*_model(metrics), metrics.device, batched, metrics.reason], 1)
        yield info
        yield _graphs(models)

    def _gauges(self, models: Sequence[ModelMetrics]) -> Iterator[Metric]:
        now = self._clock()
        depth = GaugeMetricFamily(
            naming.QUEUE_DEPTH, "Requests waiting, those in the engine not counted.", labels=_MODEL
        )
        inflight = GaugeMetricFamily(naming.INFLIGHT, "Requests accepted and not yet answered.", labels=_MODEL)
        utilization = GaugeMetricFamily(
            naming.UTILIZATION,
            "Engine seconds offered per second, refused requests included, over the last ten seconds.",
            labels=_MODEL,
        )
        margin = GaugeMetricFamily(
            naming.PREDICTION_MARGIN,
            "What predicted times to an answer are multiplied by before a request is let in, by how many were late.",
            labels=_MODEL,
        )
        for metrics in models:
            margin.add_metric(_model(metrics), metrics.margin())
            depth.add_metric(_model(metrics), metrics.queue_depth)
            inflight.add_metric(_model(metrics), metrics.inflight)
            utilization.add_metric(_model(metrics), metrics.utilization(now))
        yield from (depth, inflight, utilization, margin)


class GrpcCollector(Collector):
    """What carries gRPC; nothing where gRPC is off."""

    def __init__(self, told: Callable[[], tuple[str, str]]) -> None:
        """`told` is asked for the transport, "" where there is none, and the reason."""
        self._told = told

    def collect(self) -> Iterator[Metric]:
        """The one gauge."""
        info = GaugeMetricFamily(
            naming.GRPC_INFO,
            "What carries gRPC and, if it isn't what was asked for, why.",
            labels=["transport", "reason"],
        )
        transport, reason = self._told()
        if transport:
            info.add_metric([transport, reason], 1)
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


class Several(Protocol):
    """Processes that read requests."""

    restarts: int

    @property
    def running(self) -> int:
        """How many listen."""

    def usage(self) -> Iterable[Account]:
        """What each has used."""


class FrontEndCollector(Collector):
    """How many front ends there are, what they use, and how often one was started again."""

    def __init__(self, front_ends: Several) -> None:
        self._front_ends = front_ends

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield GaugeMetricFamily(naming.FRONT_ENDS, "Front ends that listen.", self._front_ends.running)
        yield CounterMetricFamily(
            naming.FRONT_END_RESTARTS,
            "Front ends started in place of one that had ended.",
            self._front_ends.restarts,
        )
        cpu = CounterMetricFamily(
            naming.FRONT_END_CPU, "CPU seconds of a front end and of those before it in its place.", labels=_FRONT_END
        )
        memory = GaugeMetricFamily(
            naming.FRONT_END_MEMORY, "Resident memory of a front end, what it shares included.", labels=_FRONT_END
        )
        for place, cpu_seconds, resident_bytes in self._front_ends.usage():
            cpu.add_metric([str(place)], cpu_seconds)
            if resident_bytes is not None:
                memory.add_metric([str(place)], resident_bytes)
        yield from (cpu, memory)


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


def _graphs(models: Sequence[ModelMetrics]) -> Metric:
    graphs = GaugeMetricFamily(
        naming.CUDA_GRAPHS, "Batch sizes run as CUDA graphs and, if others aren't, why.", labels=[*_MODEL, "reason"]
    )
    for metrics in models:
        if metrics.device != "cpu":
            graphs.add_metric([*_model(metrics), metrics.graphs_reason], metrics.graphs)
    return graphs


def _counters(models: Sequence[ModelMetrics]) -> Iterator[Metric]:
    refused = CounterMetricFamily(naming.REFUSED, "Requests refused for load.", labels=[*_MODEL, "reason"])
    memory = CounterMetricFamily(naming.OUT_OF_MEMORY, "Batches too large for the device's memory.", labels=[*_MODEL])
    together = CounterMetricFamily(naming.ANSWERS_TOGETHER, "Answers 200 written with others.", labels=[*_MODEL])
    unqueued = CounterMetricFamily(naming.REQUESTS_UNQUEUED, "Requests that ran as they came.", labels=[*_MODEL])
    for metrics in models:
        together.add_metric(_model(metrics), metrics.together)
        unqueued.add_metric(_model(metrics), metrics.unqueued)
        memory.add_metric(_model(metrics), metrics.out_of_memory)
        for reason, count in metrics.refused.items():
            refused.add_metric([*_model(metrics), reason], count)
    yield from (requests_family(models), refused, memory, together, unqueued)


def requests_family(models: Sequence[ModelMetrics]) -> Metric:
    """Answers by their status."""
    requests = CounterMetricFamily(naming.REQUESTS, "Answers by HTTP status.", labels=[*_MODEL, "code"])
    for metrics in models:
        for code, count in sorted(metrics.codes.items()):
            requests.add_metric([*_model(metrics), str(code)], count)
    return requests


def _histograms(models: Sequence[ModelMetrics]) -> Iterator[Metric]:
    of: Mapping[tuple[str, str], Callable[[ModelMetrics], Histogram]] = {
        (naming.REQUEST_DURATION, "Last byte of the request to answer ready, of 200 answers."): (
            lambda metrics: metrics.request_duration
        ),
        (naming.PARSE_SECONDS, "Last byte of the request to admission, of 200 answers."): (
            lambda metrics: metrics.parse_seconds
        ),
        (naming.QUEUE_SECONDS, "From admission to the cut of the batch."): lambda metrics: metrics.queue_seconds,
        (naming.ASSEMBLE_SECONDS, "Putting one batch's tensors together."): lambda metrics: metrics.assemble_seconds,
        (naming.COMPUTE_SECONDS, "One engine run."): lambda metrics: metrics.compute_seconds,
        (naming.ENCODE_SECONDS, "Outputs there to answer ready, of 200 answers."): (
            lambda metrics: metrics.encode_seconds
        ),
        (naming.BATCH_ROWS, "Rows in a batch."): lambda metrics: metrics.batch_rows,
    }
    for (name, help_text), histogram in of.items():
        yield histogram_family(name, help_text, models, histogram)
    failed = HistogramMetricFamily(
        naming.FAILED_DURATION,
        "Last byte of the request to answer ready, of all answers but 200.",
        labels=[*_MODEL, "code"],
    )
    for metrics in models:
        for code, one in sorted(metrics.failed_duration.items()):
            failed.add_metric([*_model(metrics), str(code)], cumulative(one), one.total)
    yield failed


def histogram_family(
    name: str, help_text: str, models: Sequence[ModelMetrics], of: Callable[[ModelMetrics], Histogram]
) -> Metric:
    """One histogram of each model."""
    family = HistogramMetricFamily(name, help_text, labels=_MODEL)
    for metrics in models:
        family.add_metric(_model(metrics), cumulative(of(metrics)), of(metrics).total)
    return family


def _costs(models: Sequence[ModelMetrics]) -> Iterator[Metric]:
    labels = [*_MODEL, "shape", "rows"]
    mean = GaugeMetricFamily(naming.RUN_COST_MEAN, "One engine run by the cost table, mean.", labels=labels)
    p99 = GaugeMetricFamily(naming.RUN_COST_P99, "One engine run by the cost table, p99.", labels=labels)
    for metrics in models:
        for figure in _shown(metrics):
            values = [*_model(metrics), shape_label(figure.shape), str(figure.rows)]
            mean.add_metric(values, figure.mean)
            p99.add_metric(values, figure.p99)
    yield from (mean, p99)


def _model(metrics: ModelMetrics) -> list[str]:
    return [metrics.model, metrics.version]


def cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    """Upper bounds as Prometheus writes them, and how much was up to each."""
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    return list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
