"""What the adapter needs of a pod's `/metrics` page. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from tidegate_operator.adapter.names import DURATION_METRIC, POD_METRICS
from tidegate_operator.adapter.percentile import Bucket, Counts, merge
from tidegate_operator.exposition import Malformed, histograms, samples

_BUCKETS = f"{DURATION_METRIC}_bucket"


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
    buckets = []
    for sample in samples(page, (*POD_METRICS, _BUCKETS)):
        if sample.name == _BUCKETS:
            buckets.append(sample)
        else:
            gauges[sample.name] += sample.value
    if not gauges and not buckets:
        raise Malformed(f"none of {', '.join((*POD_METRICS, DURATION_METRIC))} is there")
    return Reading(gauges=dict(gauges), answered=merge(_differences(series) for series in histograms(buckets)))


def _differences(series: Mapping[float, int]) -> Counts:
    counts: Counter[Bucket] = Counter()
    lower, below = 0.0, 0
    for upper, count in series.items():
        if count > below:
            counts[Bucket(upper, lower)] = count - below
        lower, below = upper, count
    return counts
