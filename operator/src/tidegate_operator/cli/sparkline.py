"""Small graphs of one line, from what was seen so far."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tidegate_operator.api.analysis_status import Sample
from tidegate_operator.api.status import RoutedRevision
from tidegate_operator.cli.service import Service

BARS: Final = "▁▂▃▄▅▆▇█"
WIDTH: Final = 40
"""Values that a graph has room for; older ones leave it."""


def sparkline(values: Sequence[float | None], top: float | None = None) -> str:
    """A bar for each value from 0 to `top`, by default the largest of them; a space where there is none."""
    known = [value for value in values if value is not None]
    highest = max(known, default=0) if top is None else top
    return "".join(" " if value is None else _bar(value, highest) for value in values)


def _bar(value: float, highest: float) -> str:
    if highest <= 0:
        return BARS[0]
    return BARS[min(len(BARS) - 1, max(0, int(value / highest * len(BARS))))]


def _kept() -> deque[float | None]:
    return deque(maxlen=WIDTH)


@dataclass(frozen=True)
class Series:
    """What was seen of one revision, oldest first."""

    share: deque[float | None] = field(default_factory=_kept)
    """The observed share of requests in percent, else the one that was decided."""
    p95: deque[float | None] = field(default_factory=_kept)
    """In milliseconds."""
    errors: deque[float | None] = field(default_factory=_kept)
    """Failed requests in percent of those of the step so far."""


class Seen:
    """What `status --watch` saw since it was started, by revision."""

    def __init__(self) -> None:
        self._series: dict[str, Series] = {}

    def take(self, service: Service) -> None:
        """Take in one look at a service."""
        analysis = service.rollout.analysis
        pairs: Iterable[tuple[RoutedRevision | None, Sample | None]] = (
            (service.status.stable, analysis.stable if analysis else None),
            (service.status.canary, analysis.canary if analysis else None),
        )
        for routed, sample in pairs:
            if routed is None:
                continue
            series = self._series.setdefault(routed.revision, Series())
            series.share.append(routed.weight if routed.observed_weight is None else routed.observed_weight)
            series.p95.append(routed.p95_ms)
            series.errors.append(100 * sample.failures / sample.requests if sample and sample.requests else None)

    def of(self, revision: str) -> Series | None:
        """What was seen of a revision; None before the second look, which makes no graph."""
        series = self._series.get(revision)
        return series if series and len(series.share) > 1 else None
