"""What the runtime counts of its requests' times is what the operator judges a canary by."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest

from tidegate_operator import naming as operator
from tidegate_operator.evidence.betting import ALPHA, DELTA, STAKES
from tidegate_operator.evidence.buckets import BOUNDS_SECONDS
from tidegate_operator.evidence.copies import Reason as CopiesReason
from tidegate_operator.evidence.judge import Reason
from tidegate_operator.evidence.page import copies_of, times_of
from tidegate_operator.evidence.readings import Copies
from tidegate_runtime import naming as runtime
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.naming import ShadowOutcome
from tidegate_runtime.shadow.figures import ShadowFigures
from tidegate_runtime.web.exposition import ModelCollector
from tidegate_runtime.web.shadow_exposition import ShadowCollector

from .api_page import section

PAGE = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text()


def test_both_sides_have_the_same_buckets() -> None:
    assert runtime.EVIDENCE_BOUNDS == BOUNDS_SECONDS
    assert runtime.EVIDENCE_SECONDS == operator.EVIDENCE_METRIC


def test_the_operator_reads_what_the_runtime_shows() -> None:
    metrics = ModelMetrics("churn", "churn-6f3c9d1a", "cpu")
    for seconds in (0.00005, 0.02, 0.02, 1.0, 500.0):
        metrics.witnessed(seconds)
    registry = CollectorRegistry()
    registry.register(ModelCollector(lambda: [metrics]))
    times = times_of(generate_latest(registry).decode())
    assert times is not None
    assert times.counts == tuple(metrics.evidence_seconds.counts)
    assert sum(times.counts) == 5


def test_the_operator_reads_what_the_runtime_shows_of_copies() -> None:
    figures = ShadowFigures("churn", "churn-6f3c9d1a", "churn-a81e0213")
    for count, outcome in enumerate(ShadowOutcome, 1):
        for _ in range(count):
            figures.count(outcome)
    copying = SimpleNamespace(shadow=None, figures=lambda: [figures])
    registry = CollectorRegistry()
    registry.register(ShadowCollector(copying, {"news": 0}))
    page = generate_latest(registry).decode()
    # As they are declared: compared, diverged, moved, failed, timeout, dropped.
    assert copies_of(page) == {"churn-a81e0213": Copies(alike=1, diverged=2, moved=3, failed=4 + 5, dropped=6)}
    copying.figures = list
    registry = CollectorRegistry()
    registry.register(ShadowCollector(copying, {"news": 0}))
    assert copies_of(generate_latest(registry).decode()) == {}, "it can copy, and hasn't yet"
    assert runtime.SHADOW_REQUESTS == operator.COPIES_METRIC
    assert runtime.SHARE_ANSWERS == operator.SHARE_METRIC
    assert runtime.HOP_HEADER == operator.HOP_HEADER


def test_the_page_of_names_tells_the_bounds() -> None:
    text = section("Runtime (`:8082/metrics`)")
    ((first, ratio, last),) = re.findall(r"evidence_seconds`: ([0-9.]+) s · ([0-9.]+)\^\(k/4\), k = 0 … (\d+)", text)
    assert tuple(float(first) * float(ratio) ** (k / 4) for k in range(int(last) + 1)) == BOUNDS_SECONDS


def test_the_page_of_the_rule_tells_its_numbers_and_reasons() -> None:
    ((first, ratio, last),) = re.findall(r"f = ([0-9.]+) · ([0-9.]+)\^k, k = 0 … (\d+)", PAGE)
    assert tuple(float(first) * float(ratio) ** k for k in range(int(last) + 1)) == STAKES
    assert f"α = {ALPHA}" in PAGE
    assert f"δ = {DELTA}" in PAGE
    assert set(re.findall(r"^\| `([A-Z]\w+)` \|", PAGE, re.M)) == {*get_args(Reason), *get_args(CopiesReason)}
