from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tidegate_runtime import naming
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.histogram import ASIDE, Histogram
from tidegate_runtime.metrics import CostFigure, ModelMetrics
from tidegate_runtime.web.evidence_exposition import EvidenceCollector
from tidegate_runtime.web.exposition import (
    MAX_COUNTS,
    MAX_SHAPE_CHARACTERS,
    MAX_SHAPES,
    FrontEndCollector,
    GrpcCollector,
    ModelCollector,
    shape_label,
)
from tidegate_runtime.workers.usage import Account

STAGES = (
    naming.PARSE_SECONDS,
    naming.QUEUE_SECONDS,
    naming.ASSEMBLE_SECONDS,
    naming.COMPUTE_SECONDS,
    naming.ENCODE_SECONDS,
)

BOUNDS = ("0.0001", "0.000125", "+Inf")


def samples(
    metrics: ModelMetrics, collector: type[ModelCollector | EvidenceCollector] = ModelCollector
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    registry = CollectorRegistry()
    registry.register(collector(lambda: [metrics]))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_documented_metric_is_there_before_the_first_request() -> None:
    names = {name for name, _ in samples(ModelMetrics("m", "1", "cpu"))}
    histograms = (naming.REQUEST_DURATION, naming.BATCH_ROWS, *STAGES)
    gauges = {naming.QUEUE_DEPTH, naming.INFLIGHT, naming.MODEL_INFO, naming.UTILIZATION, naming.REFUSED}
    gauges |= {naming.OUT_OF_MEMORY, naming.PREDICTION_MARGIN, naming.ANSWERS_TOGETHER, naming.REQUESTS_UNQUEUED}
    assert names == gauges | {name + part for name in histograms for part in ("_bucket", "_sum", "_count")}


def test_the_buckets_that_a_canary_is_judged_by_are_on_a_page_of_their_own() -> None:
    metrics = ModelMetrics("m", "1", "cpu")
    metrics.answered(200)
    metrics.evidence_seconds.observe(0.0001)
    got = samples(metrics, EvidenceCollector)
    model, version = ("model", "m"), ("version", "1")
    assert got[naming.EVIDENCE_SECONDS + "_bucket", (("le", "0.0001"), model, version)] == 1
    assert got[naming.REQUESTS, (("code", "200"), model, version)] == 1
    parts = {naming.EVIDENCE_SECONDS + part for part in ("_bucket", "_sum", "_count")}
    assert {name for name, _ in got} == parts | {naming.REQUESTS}


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
    (info,) = GrpcCollector(lambda: ("grpcio", "not built")).collect()
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


@given(st.lists(st.one_of(st.floats(0, 4), st.sampled_from([0.5, 1.0, 2.0]))))
def test_values_observed_together_are_counted_as_one_by_one(values: list[float]) -> None:
    together, alone = Histogram((0.5, 1.0, 2.0)), Histogram((0.5, 1.0, 2.0))
    together.observe_all(values)
    for value in values:
        alone.observe(value)
    assert together.counts == alone.counts
    assert together.total == pytest.approx(alone.total)


def test_values_that_come_alone_are_laid_aside_and_counted_when_somebody_looks() -> None:
    histogram = Histogram((1.0, 2.0))
    for _ in range(ASIDE + 10):
        histogram.observe(1.5)
    assert (histogram.counts, histogram.total) == ([0, ASIDE + 10, 0], 1.5 * (ASIDE + 10))


def test_requests_that_are_served_alone_are_laid_aside_and_counted_when_somebody_looks() -> None:
    metrics = ModelMetrics("m", "1", "cpu")
    for _ in range(ASIDE + 10):
        metrics.served(1.0, 1.25, 2.0, 2.5)
    for histogram, each in (
        (metrics.request_duration, 1.5),
        (metrics.parse_seconds, 0.25),
        (metrics.encode_seconds, 0.5),
    ):
        assert (sum(histogram.counts), histogram.total) == (ASIDE + 10, each * (ASIDE + 10))


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


def test_a_refusals_time_is_told_by_its_code() -> None:
    metrics = ModelMetrics("m", "1", "cpu")
    metrics.answered(200)
    metrics.served(received=0.0, parsed=0.25, delivered=0.5, written=1.0)
    metrics.answered(429, 0.0001)
    metrics.answered_all(429, [0.00011, 0.5])
    metrics.answered(504, 30.0)
    metrics.answered(499)
    got = samples(metrics)
    model, version = ("model", "m"), ("version", "1")
    refused, late = (("code", "429"), model, version), (("code", "504"), model, version)
    below = {le: got[naming.FAILED_DURATION + "_bucket", (refused[0], ("le", le), model, version)] for le in BOUNDS}
    assert below == {"0.0001": 1, "0.000125": 2, "+Inf": 3}
    assert got[naming.FAILED_DURATION + "_sum", refused] == pytest.approx(0.50021)
    assert (got[naming.FAILED_DURATION + "_sum", late], got[naming.FAILED_DURATION + "_count", late]) == (30.0, 1)
    codes = {dict(labels)["code"] for name, labels in got if name.startswith(naming.FAILED_DURATION)}
    assert codes == {"429", "504"}, "of a good answer and one of an unknown time there is none"
    assert got[naming.REQUESTS, refused] == 3
    assert got[naming.REQUEST_DURATION + "_count", (model, version)] == 1
    assert metrics.failed_seconds == pytest.approx(30.50021)


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_a_histogram_with_model_and_version(stage: str) -> None:
    metrics = ModelMetrics("m", "v2", "cpu")
    metrics.served(received=10.0, parsed=10.25, delivered=12.0, written=12.5)
    metrics.cut(4, [0.25])
    metrics.assembled(0.125, 4)
    metrics.ran(4, 4, 1.0, 20.0)
    seconds = dict(zip(STAGES, (0.25, 0.25, 0.125, 1.0, 0.5), strict=True))
    got = samples(metrics)
    labels = (("model", "m"), ("version", "v2"))
    assert got[f"{stage}_sum", labels] == seconds[stage]
    assert got[f"{stage}_count", labels] == 1
    assert got[f"{naming.REQUEST_DURATION}_sum", labels] == 2.5


@given(st.lists(st.floats(0, 1000), max_size=50))
def test_every_value_is_counted_once_between_the_bounds_around_it(values: list[float]) -> None:
    metrics = ModelMetrics("m", "1", "cpu")
    for value in values:
        metrics.request_duration.observe(value)
    got = samples(metrics)
    for bound in (*naming.DURATION_BOUNDS, float("inf")):
        le = ("le", "+Inf" if bound == float("inf") else repr(bound))
        below = got[naming.REQUEST_DURATION + "_bucket", (le, ("model", "m"), ("version", "1"))]
        assert below == sum(value <= bound for value in values)
    assert got[naming.REQUEST_DURATION + "_sum", (("model", "m"), ("version", "1"))] == pytest.approx(sum(values))


@given(st.floats(0, 100), st.floats(0, 100))
def test_a_served_request_is_counted_as_observing_its_stages_would(parse: float, encode: float) -> None:
    metrics, alone = ModelMetrics("m", "1", "cpu"), Histogram(naming.DURATION_BOUNDS)
    metrics.served(0.0, parse, 0.0, encode)
    alone.observe(parse)
    assert (metrics.parse_seconds.counts, metrics.parse_seconds.total) == (alone.counts, alone.total)
    alone = Histogram(naming.DURATION_BOUNDS)
    alone.observe(encode)
    assert metrics.encode_seconds.counts == metrics.request_duration.counts == alone.counts


@pytest.mark.parametrize("count", [1, ASIDE + 10])
def test_runs_past_the_queue_are_counted_as_those_of_requests_that_did_not_wait(count: int) -> None:
    passed, queued = ModelMetrics("m", "1", "cpu"), ModelMetrics("m", "1", "cpu")
    for place in range(count):
        rows, requests, seconds, now = 1 + place % 3, 1 + place % 2, 2.0**-place, float(place)
        passed.passed(rows, requests, seconds, now)
        queued.cut(rows, [0.0] * requests)
        queued.assembled(0.0, requests)
        queued.ran(rows, requests, seconds, now)
        queued.unqueued += requests
    assert samples(passed) == samples(queued)


@pytest.mark.parametrize("leads", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_requests_answered_together_are_counted_as_one_by_one(count: int, leads: bool) -> None:
    together, alone = ModelMetrics("m", "1", "cpu"), ModelMetrics("m", "1", "cpu")
    times = [(0.25 * place, 1.0) for place in range(count)]
    together.served_all(times, 2.0, 2.5, leads=leads)
    for place, (received, parsed) in enumerate(times):
        alone.served(received, parsed, 2.0, 2.5, leads=leads and not place)
        alone.answered(200)
    assert together.together == (count if count > 1 else 0)
    together.together = 0
    assert samples(together) == samples(alone)
    assert together.evidence_seconds.total == alone.evidence_seconds.total == (2.5 if leads else 0.0)


@pytest.mark.parametrize(
    ("key", "label"),
    [
        (("x", np.dtype("float32"), (16,)), "x:float32[16]"),
        (("x", np.dtype("float32"), ()), "x:float32[]"),
        ((("a", np.dtype("int64"), (2, 3)), ("b", np.dtype("bool"), (1,))), "a:int64[2,3],b:bool[1]"),
        ("a key of one's own", "a key of one's own"),
        (7, "7"),
    ],
)
def test_a_shape_reads_as_names_types_and_sizes(key: Any, label: str) -> None:
    assert shape_label(key) == label


def test_long_shapes_are_cut_and_stay_apart() -> None:
    labels = {shape_label(("x" * 100, np.dtype("float32"), (size,))) for size in range(20)}
    assert len(labels) == 20
    assert {len(label) for label in labels} == {MAX_SHAPE_CHARACTERS}


def test_the_cost_table_is_shown_by_shape_and_rows_with_names_escaped() -> None:
    metrics = ModelMetrics("m", "1", "cpu")
    metrics.costs = lambda: [CostFigure(('a"\\\n', np.dtype("float32"), (4,)), 8, 0.5, 0.75)]
    labels = (("model", "m"), ("rows", "8"), ("shape", 'a"\\\n:float32[4]'), ("version", "1"))
    got = samples(metrics)
    assert (got[naming.RUN_COST_MEAN, labels], got[naming.RUN_COST_P99, labels]) == (0.5, 0.75)


def test_the_costs_of_all_models_are_in_one_family_each() -> None:
    models = [ModelMetrics("a", "1", "cpu"), ModelMetrics("b", "1", "cpu")]
    for metrics in models:
        metrics.costs = lambda: [CostFigure(("x", np.dtype("float32"), (4,)), 8, 0.5, 0.75)]
    families = [*ModelCollector(lambda: models).collect()]
    assert len({family.name for family in families}) == len(families)
    for family in families:
        if family.name in {naming.RUN_COST_MEAN, naming.RUN_COST_P99, *STAGES}:
            assert {sample.labels["model"] for sample in family.samples} == {"a", "b"}


def test_the_page_does_not_grow_with_what_clients_send() -> None:
    metrics = ModelMetrics("m", "1", "cpu")
    table = CostTable(64)
    for shape in range(40):
        for rows in range(1, 61):
            for _ in range(3):
                table.shape(("x", np.dtype("float32"), (shape,)), shape + 1).observe(rows, 0.001 * rows)
    metrics.costs = table.figures
    shown = [dict(labels) for name, labels in samples(metrics) if name == naming.RUN_COST_MEAN]
    assert len(shown) == MAX_SHAPES * MAX_COUNTS
    assert {int(labels["rows"]) for labels in shown} >= {1, 60}


class TwoPlaces:
    """Of which the second has no process at the moment."""

    restarts = 3
    running = 1

    def usage(self) -> list[Account]:
        return [Account(0, 1.5, 4096), Account(1, 2.25, None)]


def test_front_ends_are_told_by_their_places_and_of_memory_only_what_there_is() -> None:
    got = {
        (sample.name, sample.labels.get("front_end")): sample.value
        for family in FrontEndCollector(TwoPlaces()).collect()
        for sample in family.samples
    }
    assert got == {
        (naming.FRONT_ENDS, None): 1,
        (naming.FRONT_END_RESTARTS, None): 3,
        (naming.FRONT_END_CPU, "0"): 1.5,
        (naming.FRONT_END_CPU, "1"): 2.25,
        (naming.FRONT_END_MEMORY, "0"): 4096,
    }
