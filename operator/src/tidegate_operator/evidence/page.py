"""What a pod's page of evidence tells: its requests, their times, and what became of those it copied. Pure."""

from collections.abc import Iterable, Mapping
from math import inf
from typing import Final

from tidegate_operator.evidence.buckets import BOUNDS_SECONDS, added
from tidegate_operator.evidence.readings import NO_COPIES, Calls, Copies, Times, plus
from tidegate_operator.exposition import Malformed, Sample, histograms, samples
from tidegate_operator.naming import COPIES_METRIC, EVIDENCE_METRIC, REQUESTS_METRIC, SHARE_METRIC

_BUCKETS = f"{EVIDENCE_METRIC}_bucket"
_NO_REQUESTS: Final = frozenset({"429", "499"})
_OUTCOMES: Final = {
    "compared": "alike",
    "diverged": "diverged",
    "moved": "moved",
    "failed": "failed",
    "timeout": "failed",
}
"""The runtime's outcomes of a copy, and what they count as here; of all others nothing is known."""


def times_of(page: str) -> Times | None:
    """The times of all models on the page together; None where it has none, as that of an older release has.

    Raises Malformed where the bounds aren't those of `BOUNDS_SECONDS`, or counts can't be a histogram's.
    """
    counts: tuple[int, ...] = ()
    for series in histograms(samples(page, (_BUCKETS,))):
        counts = added(counts, _by_bucket(series))
    return Times(counts) if counts else None


def copies_of(page: str) -> Mapping[str, Copies] | None:
    """What became of copies, by the canary that was to answer them; None where the pod asks for no share to copy.

    That of an older release doesn't, nor one whose template is from one. Raises Malformed as `samples` does.
    """
    found: dict[str, Copies] = {}
    can_copy = False
    for name, labels, value in samples(page, (SHARE_METRIC, COPIES_METRIC)):
        can_copy = can_copy or name == SHARE_METRIC
        if name == COPIES_METRIC:
            one = Copies(**{_OUTCOMES.get(labels.get("outcome", ""), "dropped"): int(value)})
            canary = labels.get("canary", "")
            found[canary] = plus(found.get(canary, NO_COPIES), one)
    return found if can_copy else None


def calls_of(page: str) -> Calls | None:
    """The requests of all models on the page that were answered, and those that failed; None where it tells of none.

    As routers count them: a refusal for load (429) is no request, nor is one whose caller left before the answer (499).

    Raises Malformed where a count isn't one.
    """
    told = list(samples(page, (REQUESTS_METRIC,)))
    return counted(told) if told else None


def counted(told: Iterable[Sample]) -> Calls:
    """Requests and failures by samples that have a `code`."""
    codes = [(sample.labels.get("code", ""), int(sample.value)) for sample in told]
    answered = [(code, count) for code, count in codes if code not in _NO_REQUESTS]
    failures = sum(count for code, count in answered if code[:1] in ("4", "5"))
    return Calls(sum(count for _, count in answered), failures)


def _by_bucket(series: Mapping[float, int]) -> tuple[int, ...]:
    if tuple(series) != (*BOUNDS_SECONDS, inf):
        raise Malformed(f"{EVIDENCE_METRIC} has other bounds than those of this release")
    cumulative = list(series.values())
    return tuple(count - below for count, below in zip(cumulative, [0, *cumulative[:-1]], strict=True))
