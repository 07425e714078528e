"""What the runtime counts of its requests' times is what the operator judges a canary by."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from tidegate_operator import naming as operator
from tidegate_operator.evidence.betting import ALPHA, DELTA, STAKES
from tidegate_operator.evidence.buckets import BOUNDS_SECONDS
from tidegate_operator.evidence.copies import Reason as CopiesReason
from tidegate_operator.evidence.handover import Counts, counts_of, share_of
from tidegate_operator.evidence.handover import Share as HandedShare
from tidegate_operator.evidence.judge import Reason
from tidegate_operator.evidence.page import copies_of, times_of
from tidegate_operator.evidence.queries import Reason as QueriesReason
from tidegate_operator.evidence.readings import Calls, Copies
from tidegate_runtime import naming as runtime
from tidegate_runtime.handover.figures import HandoverFigures
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.naming import HandoverOutcome, HandoverReason, ShadowOutcome
from tidegate_runtime.shadow.figures import ShadowFigures
from tidegate_runtime.share.document import Handover
from tidegate_runtime.web.evidence_exposition import EvidenceCollector
from tidegate_runtime.web.exposition import ModelCollector
from tidegate_runtime.web.handover_exposition import HandoverCollector
from tidegate_runtime.web.shadow_exposition import ShadowCollector

from .api_page import section

PAGE = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text()


def test_both_sides_have_the_same_buckets() -> None:
    assert runtime.EVIDENCE_BOUNDS == BOUNDS_SECONDS
    assert runtime.EVIDENCE_SECONDS == operator.EVIDENCE_METRIC


def test_the_operator_reads_what_the_runtime_shows() -> None:
    metrics = ModelMetrics("churn", "churn-6f3c9d1a", "cpu")
    for seconds in (0.00005, 0.02, 0.02, 1.0, 500.0):
        metrics.evidence_seconds.observe(seconds)
    registry = CollectorRegistry()
    registry.register(EvidenceCollector(lambda: [metrics]))
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


def test_the_operator_reads_what_the_runtime_shows_of_requests_that_are_handed_over() -> None:
    canary, metrics = "churn-a81e0213", ModelMetrics("churn", "churn-6f3c9d1a", "cpu")
    figures = HandoverFigures("churn", "churn-6f3c9d1a", canary)
    for count, outcome in enumerate(HandoverOutcome, 1):
        for _ in range(count):
            figures.count(HandoverReason.WEIGHT, outcome)
            figures.count(HandoverReason.MATCH, outcome)
    # Of twelve requests that it answered, a refusal for load among them, it answered three in the canary's stead.
    for code, answers, fallbacks in ((200, 7, 2), (400, 2, 1), (429, 3, 0)):
        for number in range(answers):
            metrics.answered(code)
            if number < fallbacks:
                figures.fell_back(code)
    handing = SimpleNamespace(handover=Handover(12.5, canary), reachable=2, figures=lambda: [figures])
    page = shown(HandoverCollector(handing), ModelCollector(lambda: [metrics]))
    assert share_of(page) == HandedShare({canary: 12.5}, {canary: 2})
    # As they are declared: answered, failed, timeout, unreachable, overloaded.
    assert counts_of(page) == Counts(Calls(6, 1), {canary: Calls(1 + 2 + 3 + 4, 2 + 3 + 4)})
    none = SimpleNamespace(handover=None, reachable=0, figures=list)
    share = share_of(shown(HandoverCollector(none)))
    assert share is not None, "it can, and has nothing to hand over"
    assert (share.percents, share.reaches(canary)) == ({}, None)


def shown(*collectors: Collector) -> str:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry).decode()


def test_the_names_of_those_figures_are_the_same() -> None:
    assert [
        operator.HANDOVER_PERCENT_METRIC,
        operator.HANDOVER_REACHABLE_METRIC,
        operator.HANDOVER_REQUESTS_METRIC,
        operator.HANDOVER_FALLBACKS_METRIC,
    ] == [runtime.HANDOVER_PERCENT, runtime.HANDOVER_PODS, runtime.HANDOVER_REQUESTS, runtime.HANDOVER_FALLBACKS]


def test_the_page_of_names_tells_the_bounds() -> None:
    text = section("Evidence (`:8082/metrics/evidence`)")
    ((first, ratio, last),) = re.findall(r"bounds: ([0-9.]+) s · ([0-9.]+)\^\(k/4\), k = 0 … (\d+)", text)
    assert tuple(float(first) * float(ratio) ** (k / 4) for k in range(int(last) + 1)) == BOUNDS_SECONDS


def test_the_page_of_the_rule_tells_its_numbers_and_reasons() -> None:
    ((first, ratio, last),) = re.findall(r"f = ([0-9.]+) · ([0-9.]+)\^k, k = 0 … (\d+)", PAGE)
    assert tuple(float(first) * float(ratio) ** k for k in range(int(last) + 1)) == STAKES
    assert f"α = {ALPHA}" in PAGE
    assert f"δ = {DELTA}" in PAGE
    assert set(re.findall(r"^\| `([A-Z]\w+)` \|", PAGE, re.M)) == {
        *get_args(Reason),
        *get_args(CopiesReason),
        *get_args(QueriesReason),
    }
