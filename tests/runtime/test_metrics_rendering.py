from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tidegate_runtime import naming
from tidegate_runtime.metrics import Histogram, ModelMetrics
from tidegate_runtime.web.exposition import GrpcCollector, ModelCollector


def samples(metrics: ModelMetrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    registry = CollectorRegistry()
    registry.register(ModelCollector(lambda: [metrics]))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_documented_metric_is_there_before_the_first_request() -> None:
    names = {name for name, _ in samples(ModelMetrics("m", "1", "cpu"))}
    histograms = (naming.REQUEST_DURATION, naming.QUEUE_SECONDS, naming.BATCH_ROWS, naming.COMPUTE_SECONDS)
    gauges = {naming.QUEUE_DEPTH, naming.INFLIGHT, naming.MODEL_INFO, naming.UTILIZATION, naming.REFUSED}
    assert names == gauges | {name + part for name in histograms for part in ("_bucket", "_sum", "_count")}


def test_what_was_counted_is_rendered() -> None:
    metrics = ModelMetrics("m", "v2", "cpu")
    metrics.batched, metrics.reason = False, 'Softmax "y"'
    metrics.queue_depth, metrics.inflight = 3, 5
    for code in (200, 200, 429):
        metrics.answered(code)
    metrics.refuse("Deadline")
    for value in (0.0001, 0.00011, 100.0):
        metrics.request_duration.observe(value)
    got = samples(metrics)
    model, version = ("model", "m"), ("version", "v2")
    assert got[naming.QUEUE_DEPTH, (model, version)] == 3
    assert got[naming.INFLIGHT, (model, version)] == 5
    assert got[naming.REQUESTS, (("code", "200"), model, version)] == 2
    assert got[naming.REQUESTS, (("code", "429"), model, version)] == 1
    assert got[naming.REFUSED, (model, ("reason", "Deadline"), version)] == 1
    assert got[naming.REFUSED, (model, ("reason", "QueueFull"), version)] == 0
    assert got[naming.REQUEST_DURATION + "_bucket", (("le", "0.0001"), model, version)] == 1
    assert got[naming.REQUEST_DURATION + "_bucket", (("le", "0.000125"), model, version)] == 2
    assert got[naming.REQUEST_DURATION + "_bucket", (("le", "+Inf"), model, version)] == 3
    assert got[naming.REQUEST_DURATION + "_count", (model, version)] == 3
    labels = {"model": "m", "version": "v2", "device": "cpu", "batched": "false", "reason": 'Softmax "y"'}
    assert got[naming.MODEL_INFO, tuple(sorted(labels.items()))] == 1
    (info,) = GrpcCollector("grpcio", "not built").collect()
    assert [(sample.name, sample.labels, sample.value) for sample in info.samples] == [
        (naming.GRPC_INFO, {"transport": "grpcio", "reason": "not built"}, 1)
    ]


def test_duration_bounds_reach_from_100_microseconds_to_a_minute_in_steps_of_a_quarter() -> None:
    bounds = naming.DURATION_BOUNDS
    assert (len(bounds), bounds[0]) == (61, 0.0001)
    assert 60 < bounds[-1] < 70
    assert all(abs(high / low - 1.25) < 1e-12 for low, high in pairwise(bounds))


def test_a_value_on_a_bound_belongs_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]
    assert histogram.total == 7.5


def test_utilization_is_what_was_offered_over_the_last_ten_seconds() -> None:
    metrics = ModelMetrics("m", "1", "cpu")
    metrics.offer(4.0, 100.0)
    metrics.offer(1.0, 104.0)
    assert metrics.utilization(105.0) == pytest.approx(0.5)
    assert metrics.utilization(112.0) == pytest.approx(0.1)
    assert metrics.utilization(130.0) == 0.0


def test_waiting_is_counted_by_request_and_rows_by_batch() -> None:
    metrics = ModelMetrics("m", "1", "cpu")
    metrics.cut(3, [0.00005, 0.5])
    assert sum(metrics.queue_seconds.counts) == 2
    assert metrics.queue_seconds.total == pytest.approx(0.50005)
    assert (sum(metrics.batch_rows.counts), metrics.batch_rows.total) == (1, 3)
