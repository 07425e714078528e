"""What front ends count, and the sums. Pure.

A front end counts answers, their stages and what it refused by itself; queues, batches and runs are counted in the hub.
"""

import pickle
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from tidegate_runtime.histogram import Histogram
from tidegate_runtime.metrics import ModelMetrics

_HISTOGRAMS = ("request_duration", "parse_seconds", "encode_seconds", "evidence_seconds")

Counts = Mapping[tuple[str, str], Mapping[str, Any]]
"""By model and version."""


def encode(counted: Iterable[ModelMetrics], spans_lost: int = 0) -> bytes:
    """What a front end has counted since it began."""
    told = {"models": [_counts(metrics) for metrics in counted], "spans_lost": spans_lost}
    return orjson.dumps(told, option=orjson.OPT_NON_STR_KEYS)


def decode(content: bytes) -> tuple[Counts, int]:
    """What `encode` was given."""
    told = orjson.loads(content)
    return {(each["model"], each["version"]): each for each in told["models"]}, told["spans_lost"]


def encode_totals(counted: Sequence[ModelMetrics]) -> bytes:
    """What `gather` found, for a front end. Detaches it from its schedulers."""
    for metrics in counted:
        metrics.detach()
    return pickle.dumps(counted)


def decode_totals(content: bytes) -> Sequence[ModelMetrics]:
    """What `encode_totals` was given; it comes from the process that started this one, nobody else."""
    counted: Sequence[ModelMetrics] = pickle.loads(content)
    return counted


def add(total: ModelMetrics, counts: Mapping[str, Any]) -> None:
    """Adds a front end's counts of one version."""
    for code, count in counts["codes"].items():
        total.codes[int(code)] = total.codes.get(int(code), 0) + count
    for reason, count in counts["refused"].items():
        total.refused[reason] = total.refused.get(reason, 0) + count
    total.together += counts["together"]
    for code, told in counts["failed_duration"].items():
        total.failed(int(code)).add(*told)
    for name in _HISTOGRAMS:
        getattr(total, name).add(*counts[name])


def total(metrics: ModelMetrics, every: Iterable[Counts]) -> ModelMetrics:
    """The sum of the hub's counts of one version and of the front ends' for it; `metrics` isn't changed."""
    summed = metrics.apart()
    for counts in every:
        told = counts.get((metrics.model, metrics.version))
        if told is not None:
            add(summed, told)
    return summed


def merged(one: Counts, other: Counts) -> Counts:
    """Both: what front ends that are gone have counted."""
    sums = dict(one)
    for key, told in other.items():
        known = sums.get(key)
        if known is None:
            sums[key] = told
        else:
            metrics = ModelMetrics(*key, "")
            add(metrics, known)
            add(metrics, told)
            sums[key] = _counts(metrics)
    return sums


def _counts(metrics: ModelMetrics) -> dict[str, Any]:
    return {
        "model": metrics.model,
        "version": metrics.version,
        "codes": metrics.codes,
        "refused": metrics.refused,
        "together": metrics.together,
        "failed_duration": {code: _told(histogram) for code, histogram in metrics.failed_duration.items()},
        **{name: _told(getattr(metrics, name)) for name in _HISTOGRAMS},
    }


def _told(histogram: Histogram) -> tuple[Sequence[int], float]:
    return histogram.counts, histogram.total
