"""What the adapter needs of a pod's `/metrics` page. Pure.

Only the families named here are parsed: a page is mostly histograms that the adapter doesn't serve, and reading all of
it by `prometheus_client.parser` costs ten times as much, for each pod every other second.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from tidegate_operator.adapter.names import DURATION_METRIC, POD_METRICS
from tidegate_operator.adapter.percentile import Bucket, Counts, merge

_BUCKETS = f"{DURATION_METRIC}_bucket"
_SAMPLE = re.compile(rf"^({'|'.join(POD_METRICS)}|{_BUCKETS})(?:\{{(.*)\}})?[ \t]+(\S+)(?:[ \t]+\S+)?[ \t]*$", re.M)
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')

MAX_VALUE = 2.0**53
"""Numbers above this aren't exact, and no honest page has them."""
MAX_BUCKETS = 1000
"""Bounds a page may have, over all its models."""


class Malformed(ValueError):
    """A page that isn't the runtime's."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a pod: gauges by name, and the requests answered since its process started, by duration."""

    gauges: Mapping[str, float]
    answered: Counts


def parse(page: str) -> Reading:
    """The reading that a page in Prometheus' text format holds, summed over the pod's models.

    Raises Malformed where none of the families is there, or a number can't be one of theirs.
    """
    gauges: dict[str, float] = defaultdict(float)
    cumulative: dict[tuple[tuple[str, str], ...], dict[float, int]] = defaultdict(dict)
    for count, (name, labels, text) in enumerate(_SAMPLE.findall(page)):
        if count > MAX_BUCKETS:
            raise Malformed(f"more than {MAX_BUCKETS} samples")
        value = _number(name, text)
        if name != _BUCKETS:
            gauges[name] += value
            continue
        pairs = dict(_LABEL.findall(labels))
        bound = _bound(pairs.pop("le", ""))
        cumulative[tuple(sorted(pairs.items()))][bound] = int(value)
    if not gauges and not cumulative:
        raise Malformed(f"none of {', '.join((*POD_METRICS, DURATION_METRIC))} is there")
    return Reading(gauges=dict(gauges), answered=merge(_differences(series) for series in cumulative.values()))


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MAX_VALUE:
        raise Malformed(f"{name} is {text[:40]!r}, not a number from 0 to 2^53")
    return value


def _bound(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise Malformed(f"{_BUCKETS} has le={text[:40]!r}, not a positive number")
    return value


def _differences(series: Mapping[float, int]) -> Counts:
    counts: Counter[Bucket] = Counter()
    lower, below = 0.0, 0
    for upper, count in sorted(series.items()):
        if count < below:
            raise Malformed(f"{_BUCKETS} falls from {below} to {count} at le={upper:g}")
        if count > below:
            counts[Bucket(upper, lower)] = count - below
        lower, below = upper, count
    return counts
