"""The page of the router's hop sets both ways side by side, by what was measured of each."""

import pytest

from hops.report import page


def figure(way: str, phase: str, cpu_us: float, **more: float) -> dict[str, object]:
    told = {"p50_ms": 1.0, "p99_ms": 2.0, "best_rate": 1000.0, "failed": 0, **more}
    return {"model": "tiny", "protocol": "REST", "phase": phase, "way": way, "cpu_us": cpu_us, **told}


def test_a_row_has_both_ways_and_what_the_one_costs_of_the_other() -> None:
    figures = [
        figure("Direct", "alone", 50, p50_ms=0.5, p99_ms=1.25, best_rate=4321, failed=1),
        figure("Router", "canary", 200),
        figure("Router", "alone", 250, p50_ms=0.75, p99_ms=1.5, best_rate=1234, failed=2),
        figure("Direct", "canary", 100),
    ]
    rows = [line for line in page(figures, "a machine").splitlines() if line.startswith("| tiny")]
    assert rows == [
        "| tiny | REST | alone | 250 | 50 | 0.20 | 0.75 | 0.50 | 1.50 | 1.25 | 1,234 | 4,321 | 3 |",
        "| tiny | REST | canary | 200 | 100 | 0.50 | 1.00 | 1.00 | 2.00 | 2.00 | 1,000 | 1,000 | 0 |",
    ]


def test_a_way_that_was_not_measured_gives_no_row_but_an_error() -> None:
    with pytest.raises(KeyError, match="Direct"):
        page([figure("Router", "alone", 250)], "a machine")
