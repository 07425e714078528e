"""The names that dashboards made for Triton read."""

from collections.abc import Callable
from typing import Any

import httpx2
import onnx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.web.triton_exposition import TritonCollector


def rendered() -> dict[tuple[str, str], float]:
    """Of two batches, of 3 requests with 5 rows and of one: values by name and reason."""
    metrics = ModelMetrics("m", "3", "cpu")
    metrics.queue_depth = 4
    for code in (200, 200, 200, 400, 429, 503, 504, 499, 500, 501):
        metrics.answered(code)
    metrics.cut(5, [0.25, 0.25, 0.5])
    metrics.cut(1, [0.0])
    metrics.assembled(0.125, 3)
    metrics.assembled(0.0, 1)
    metrics.ran(5, 3, 2.0, 4.0)
    metrics.ran(1, 1, 1.0, 5.0)
    for _ in range(3):
        metrics.served(received=1.0, parsed=1.5, delivered=3.0, written=3.25)
    registry = CollectorRegistry()
    registry.register(TritonCollector(lambda: [metrics]))
    samples = [s for f in text_string_to_metric_families(generate_latest(registry).decode()) for s in f.samples]
    assert all((s.labels["model"], s.labels["version"]) == ("m", "3") for s in samples)
    return {(s.name, s.labels.get("reason", "")): s.value for s in samples}


@pytest.mark.parametrize(
    ("name", "reason", "value"),
    [
        ("nv_inference_request_success", "", 3),
        ("nv_inference_request_failure", "REJECTED", 3),
        ("nv_inference_request_failure", "CANCELED", 1),
        ("nv_inference_request_failure", "BACKEND", 1),
        ("nv_inference_request_failure", "OTHER", 2),
        ("nv_inference_count", "", 6),
        ("nv_inference_exec_count", "", 2),
        ("nv_inference_pending_request_count", "", 4),
        ("nv_inference_request_duration_us", "", 6_750_000),
        ("nv_inference_queue_duration_us", "", 1_000_000),
        ("nv_inference_compute_input_duration_us", "", 375_000),
        ("nv_inference_compute_infer_duration_us", "", 7_000_000),
        ("nv_inference_compute_output_duration_us", "", 750_000),
    ],
)
def test_each_number_is_there_under_tritons_name(name: str, reason: str, value: float) -> None:
    assert rendered()[name, reason] == value


def test_there_is_nothing_else() -> None:
    assert len(rendered()) == 13


def test_each_family_is_there_once_with_every_models_samples() -> None:
    models = [ModelMetrics("a", "1", "cpu"), ModelMetrics("a", "2", "cpu"), ModelMetrics("b", "1", "cpu")]
    families = [*TritonCollector(lambda: models).collect()]
    assert len({family.name for family in families}) == len(families)
    for family in families:
        told = {(sample.labels["model"], sample.labels["version"]) for sample in family.samples}
        assert told == {("a", "1"), ("a", "2"), ("b", "1")}


@pytest.mark.integration
def test_the_option_adds_them_to_the_page(serve: Callable[..., Any], double: onnx.ModelProto) -> None:
    body = {"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", "data": [1] * 8}]}
    with serve(double, "--triton-metrics") as process:
        assert httpx2.post(process.url("/v2/models/m/infer"), json=body).status_code == 200
        page = httpx2.get(process.admin_url("/metrics")).text
    labels = 'model="m",version="1"'
    assert f"nv_inference_request_success{{{labels}}} 1.0" in page
    assert f"nv_inference_count{{{labels}}} 2.0" in page
    assert f'tidegate_requests_total{{code="200",{labels}}} 1.0' in page
    assert 'tidegate_run_cost_mean_seconds{model="m",rows="1",shape="x:float32[4]",version="1"}' in page
    assert f"tidegate_prediction_margin{{{labels}}} 1.03" in page
    assert "tidegate_spans_dropped" not in page
