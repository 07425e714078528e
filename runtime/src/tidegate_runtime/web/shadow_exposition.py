"""What became of copies, in Prometheus' form; the names and labels are those of docs/api.md."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tidegate_runtime import naming
from tidegate_runtime.shadow.figures import ShadowFigures
from tidegate_runtime.share.document import Shadow
from tidegate_runtime.web.exposition import cumulative

_MODEL: Final = ("model", "version", "canary")


class Copying(Protocol):
    """What copies requests."""

    @property
    def shadow(self) -> Shadow | None:
        """What is copied now."""

    def figures(self) -> Sequence[ShadowFigures]:
        """What is counted."""


class ShadowCollector(Collector):
    """Renders what became of copies, and of the questions about the share."""

    def __init__(self, copying: Copying, answers: Mapping[str, int]) -> None:
        self._copying = copying
        self._answers = answers

    def collect(self) -> Iterator[Metric]:
        """All families."""
        asked = CounterMetricFamily(naming.SHARE_ANSWERS, "Questions about the share.", labels=["answer"])
        for answer, count in self._answers.items():
            asked.add_metric([answer], count)
        percent = GaugeMetricFamily(naming.SHADOW_PERCENT, "Requests that are copied, in percent.", labels=["canary"])
        shadow = self._copying.shadow
        if shadow is not None:
            percent.add_metric([shadow.revision], shadow.percent)
        requests = CounterMetricFamily(
            naming.SHADOW_REQUESTS, "Copies by what became of them.", labels=[*_MODEL, "outcome"]
        )
        figures = self._copying.figures()
        for each in figures:
            for outcome, count in each.outcomes.items():
                requests.add_metric([*_model(each), outcome], count)
        yield from (asked, percent, requests)
        yield from _differences(figures)


def _differences(figures: Sequence[ShadowFigures]) -> Iterator[Metric]:
    labels = [*_MODEL, "output"]
    relative = HistogramMetricFamily(
        naming.SHADOW_RELATIVE, "Largest difference in a row over its largest value, of each copy.", labels=labels
    )
    largest = GaugeMetricFamily(naming.SHADOW_LARGEST, "Largest difference of two values so far.", labels=labels)
    rows = CounterMetricFamily(naming.SHADOW_ROWS, "Rows whose largest value's column was compared.", labels=labels)
    moved = CounterMetricFamily(naming.SHADOW_MOVED, "Rows where it is another column.", labels=labels)
    for each in figures:
        for name, output in each.outputs.items():
            values = [*_model(each), name]
            relative.add_metric(values, cumulative(output.relative), output.relative.total)
            largest.add_metric(values, output.largest)
            rows.add_metric(values, output.rows)
            moved.add_metric(values, output.moved)
    yield from (relative, largest, rows, moved)


def _model(figures: ShadowFigures) -> list[str]:
    return [figures.model, figures.version, figures.canary]
