"""The times that a pod's `/metrics` page tells. Pure."""

from collections.abc import Mapping
from math import inf

from tidegate_operator.evidence.buckets import BOUNDS_SECONDS, added
from tidegate_operator.evidence.readings import Times
from tidegate_operator.exposition import Malformed, histograms, samples
from tidegate_operator.naming import EVIDENCE_METRIC

_BUCKETS = f"{EVIDENCE_METRIC}_bucket"


def times_of(page: str) -> Times | None:
    """The times of all models on the page together; None where it has none, as that of an older release has.

    Raises Malformed where the bounds aren't those of `BOUNDS_SECONDS`, or counts can't be a histogram's.
    """
    counts: tuple[int, ...] = ()
    for series in histograms(samples(page, (_BUCKETS,))):
        counts = added(counts, _by_bucket(series))
    return Times(counts) if counts else None


def _by_bucket(series: Mapping[float, int]) -> tuple[int, ...]:
    if tuple(series) != (*BOUNDS_SECONDS, inf):
        raise Malformed(f"{EVIDENCE_METRIC} has other bounds than those of this release")
    cumulative = list(series.values())
    return tuple(count - below for count, below in zip(cumulative, [0, *cumulative[:-1]], strict=True))
