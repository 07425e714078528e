"""The page of figures. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

_HEAD: Final = (
    "# What the router's hop costs",
    "",
    "| model | protocol | | CPU µs: Router | Direct | ratio | p50 ms: Router | Direct | p99 ms: Router | Direct "
    "| best rate: Router | Direct | failed |",
    "|" + " --- |" * 13,
)
_HOW: Final = (
    "Three runtimes, the chart's Envoy and the load share one machine, so figures are for comparing\n"
    "within a row. CPU is that of a request in all processes in its path (the runtimes, and the router's), at full\n"
    "rate by 32 connections; times are at 70 % of the lower of both ways' rates, the same for both."
)

Figures = Sequence[Mapping[str, Any]]


def page(figures: Figures, machine: str) -> str:
    """Markdown: both ways side by side, and their ratio."""
    lines = [*_HEAD[:2], f"Written by `make hops` on {machine}. {_HOW}", "", *_HEAD[2:]]
    for router, direct in _pairs(figures):
        cells = [
            router["model"],
            router["protocol"],
            router["phase"],
            f"{router['cpu_us']:.0f}",
            f"{direct['cpu_us']:.0f}",
            f"{direct['cpu_us'] / router['cpu_us']:.2f}",
            *(f"{one[name]:.2f}" for name in ("p50_ms", "p99_ms") for one in (router, direct)),
            *(f"{one['best_rate']:,.0f}" for one in (router, direct)),
            f"{router['failed'] + direct['failed']}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _pairs(figures: Figures) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    by_point: dict[tuple[str, str, str], dict[str, Mapping[str, Any]]] = {}
    for figure in figures:
        by_point.setdefault((figure["model"], figure["protocol"], figure["phase"]), {})[figure["way"]] = figure
    return [(ways["Router"], ways["Direct"]) for ways in by_point.values()]
