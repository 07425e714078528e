"""What a pod's `/metrics` page tells of the requests that it hands over to a canary. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tidegate_operator.evidence.page import counted
from tidegate_operator.evidence.readings import Calls
from tidegate_operator.exposition import Malformed, Sample, samples
from tidegate_operator.naming import (
    HANDOVER_FALLBACKS_METRIC,
    HANDOVER_PERCENT_METRIC,
    HANDOVER_REACHABLE_METRIC,
    HANDOVER_REQUESTS_METRIC,
    REQUESTS_METRIC,
)

_SHARE: Final = (HANDOVER_PERCENT_METRIC, HANDOVER_REACHABLE_METRIC)
_COUNTS: Final = (HANDOVER_REQUESTS_METRIC, HANDOVER_FALLBACKS_METRIC, REQUESTS_METRIC)
_FAILED: Final = frozenset({"failed", "timeout", "unreachable"})
"""The runtime's outcomes with which a canary failed its request; of others than these nothing is known, or they are the
load's (`overloaded`)."""
_ANSWERED: Final = "answered"


@dataclass(frozen=True)
class Share:
    """What a pod hands over now."""

    percents: Mapping[str, float]
    """In percent of requests, by canary, where that is more than nothing."""
    reachable: Mapping[str, int]
    """Ready pods by canary, as they said when they were asked last; a canary that the pod hasn't heard of is absent."""

    def reaches(self, canary: str) -> bool | None:
        """Whether any of the canary's pods would answer it; None as long as it hasn't heard of that canary."""
        pods = self.reachable.get(canary)
        return None if pods is None else pods > 0


@dataclass(frozen=True)
class Counts:
    """What a pod has counted since it started."""

    own: Calls
    """Requests that it was to answer itself."""
    handed: Mapping[str, Calls]
    """Those that canaries were to answer, by canary, of those that were chosen by weight."""

    def of(self, canary: str) -> Calls:
        """Those that one canary was to answer."""
        return self.handed.get(canary, Calls())


def share_of(page: str) -> Share | None:
    """The share in force; None where the pod can't hand requests over, as that of an older release can't.

    Raises Malformed as `samples` does.
    """
    percents: dict[str, float] = {}
    reachable: dict[str, int] = {}
    can = False
    for name, labels, value in samples(page, _SHARE):
        canary = labels.get("canary", "")
        if name == HANDOVER_REACHABLE_METRIC:
            reachable[canary] = int(value)
            continue
        can = True
        if value:
            percents[canary] = value
    return Share(percents, reachable) if can else None


def counts_of(page: str) -> Counts:
    """Requests as callers saw them, who know nothing of pods that hand over to others.

    What the pod answered in a canary's stead was the canary's to answer, and a failure of it, whatever the caller got.
    What was refused for load is no request, as it isn't elsewhere; nor is what routing chose by `match`.

    Raises Malformed as `samples` does, and where more was answered in a canary's stead than was answered at all.
    """
    told: dict[str, list[Sample]] = {name: [] for name in _COUNTS}
    for sample in samples(page, _COUNTS):
        told[sample.name].append(sample)
    return Counts(
        own=_less(counted(told[REQUESTS_METRIC]), counted(told[HANDOVER_FALLBACKS_METRIC])),
        handed=_handed(told[HANDOVER_REQUESTS_METRIC]),
    )


def _handed(told: Iterable[Sample]) -> dict[str, Calls]:
    requests: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for _, labels, value in told:
        canary, outcome = labels.get("canary", ""), labels.get("outcome", "")
        if labels.get("by") != "weight" or outcome not in {_ANSWERED, *_FAILED}:
            continue
        requests[canary] += int(value)
        failures[canary] += int(value) if outcome in _FAILED else 0
    return {canary: Calls(requests[canary], failures[canary]) for canary in requests}


def _less(all_of_them: Calls, fallbacks: Calls) -> Calls:
    own = Calls(all_of_them.requests - fallbacks.requests, all_of_them.failures - fallbacks.failures)
    if min(own.requests, own.failures) < 0:
        raise Malformed(f"{HANDOVER_FALLBACKS_METRIC} is above {REQUESTS_METRIC}")
    return own
