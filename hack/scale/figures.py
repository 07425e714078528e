"""Figures with the bars that they are held to, as Markdown."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Something that was measured; `bar` is the most that it may be, None where it is only told."""

    what: str
    value: float
    unit: str
    bar: float | None = None
    digits: int = 0

    @property
    def met(self) -> bool:
        """Whether it isn't above its bar."""
        return self.bar is None or self.value <= self.bar

    def row(self) -> str:
        """A row of the table."""
        bar = "–" if self.bar is None else f"≤ {self.bar:,g} {self.unit}".strip()
        told = f"{self.value:,.{self.digits}f} {self.unit}".strip()
        return f"| {self.what} | {told} | {bar} | {'' if self.met else '**missed**'} |"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values don't exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1)]


def latencies(what: str, seconds: Sequence[float], p50: float | None = None, p99: float | None = None) -> list[Figure]:
    """Median and 99th percentile in milliseconds; of fewer than a hundred values the latter is the highest."""
    told = f"{what}, n = {len(seconds)}"
    return [
        Figure(f"{told}: p50", statistics.median(seconds) * 1000, "ms", p50),
        Figure(f"{told}: p99", percentile(seconds, 0.99) * 1000, "ms", p99),
    ]


def table(figures: Sequence[Figure]) -> str:
    """All figures."""
    return "\n".join(["| what | figure | bar | |", "| --- | ---: | ---: | --- |", *(each.row() for each in figures)])


def written(page: str, section: str, text: str) -> str:
    """`page` with `text` between the marks of `section`; raises ValueError where it has no such marks."""
    begin, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"no section {section} in the page: it begins with {begin.strip()} and ends with {end}")
    return f"{before}{begin}{text.strip()}\n{end}{after}"
