"""The page's section on what was compared in turn. Pure."""

from collections.abc import Iterator
from typing import Final

from bench.cells import named, number
from bench.comparisons import CPU, P99, RATE
from bench.ratios import Compared, Ratio
from bench.summary import Summary

_WORDS: Final = {CPU: "CPU", RATE: "rates", P99: "p99"}


def section(summary: Summary) -> Iterator[str]:
    """A table of all comparisons, a row a side; nothing where nothing was compared."""
    if not summary.turns:
        return
    yield "\n## In turn\n"
    yield (
        "All sides of a comparison are up at once on the server's core. Each is loaded for one to ten seconds a turn, "
        "in the opposite order every other turn. The ratio is that of the first side over this one within a turn, of "
        "CPU, of rates or of p99s: its median over the turns in which both were quiet, and its quartiles. `~`: none "
        "was quiet.\n"
    )
    heads = ["CPU µs an answer", "answers/s", "first ÷ this", "quartiles", "turns", "errors"]
    yield f"| comparison | side | {' | '.join(heads)} |\n| --- | --- |{' ---: |' * len(heads)}"
    for name, one in summary.turns.items():
        yield from _rows(name, one)


def _rows(name: str, one: Compared) -> Iterator[str]:
    first, *others = one.sides() or [""]
    what = f"{name} ({_WORDS[one.comparison.by]})"
    yield f"| {what} | {_figures(one, first)} | | | {len(one.turns)} | {one.errors(first)} |"
    for side in others:
        ratio = one.ratio(first, side)
        yield f"| | {_figures(one, side, first)} | {_ratio(ratio)} | {one.errors(side)} |"
    floor = one.comparison.floor
    if floor and (ratio := one.ratio(first, *floor)):
        costs = [one.median(side, first, *floor) or 0.0 for side in floor]
        yield f"| | {' + '.join(floor)} | {number(sum(costs))} | – | {_ratio(ratio)} | |"


def _figures(one: Compared, side: str, *beside: str) -> str:
    rate = one.median(side, *beside, by=RATE)
    p99 = one.median(side, *beside) if one.comparison.by == P99 else None
    what = named(side) if p99 is None else f"{named(side)}, {p99:,.2f} ms"
    return f"{what} | {number(one.median(side, *beside, by=CPU))} | {number(rate)}"


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return "– | – | 0"
    mark = "~" if ratio.noisy else ""
    return f"{ratio.median:.2f}{mark} | {ratio.low:.2f}–{ratio.high:.2f} | {ratio.turns}"
