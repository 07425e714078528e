"""Ratios within turns, bars judged by them, and their table on the page; every figure worked out by hand."""

from typing import Any

import pytest

from bench import comparisons, in_turn, report
from bench.bars import Verdict, judged
from bench.ratios import Compared, compared
from bench.summary import Summary

from .recorded import Record, alone, latency, point, turns

BOUND = 0.05


def costs(server: str, *figures: float, steal: float = 0.0, **more: Any) -> list[Record]:
    return [point(server, cpu_us=figure, steal=steal, **more) for figure in figures]


def tabular(ours: list[Record], theirs: list[Record]) -> list[Record]:
    name = comparisons.TABULAR_JSON
    return [*turns(name, "tidegate", *ours), *turns(name, "mosec", *theirs)]


def of(records: list[Record], name: str = comparisons.TABULAR_JSON) -> Compared:
    return compared(records, BOUND)[name]


def verdict(what: str, *records: Record) -> Verdict:
    [found] = [one for one in judged(Summary.of(records, BOUND)) if one.what == what]
    return found


def test_the_median_is_of_ratios_within_turns_and_not_the_ratio_of_medians() -> None:
    # Ratios 0.1, 0.8 and 0.75; the medians are 30 and 100.
    records = tabular(costs("tidegate", 10, 80, 30), costs("mosec", 100, 100, 40))
    found = of(records).ratio("tidegate", "mosec")
    assert found is not None
    assert (found.low, found.median, found.high) == pytest.approx((0.425, 0.75, 0.775))
    assert (found.turns, found.noisy) == (3, False)


def test_a_host_that_grows_slower_from_turn_to_turn_changes_no_ratio() -> None:
    records = tabular(costs("tidegate", 10, 20, 40), costs("mosec", 20, 40, 80))
    found = of(records).ratio("tidegate", "mosec")
    assert found is not None
    assert (found.low, found.median, found.high) == (0.5, 0.5, 0.5)


def test_only_turns_in_which_all_sides_of_the_ratio_were_quiet_count() -> None:
    ours = [*costs("tidegate", 10, 10, steal=0.2), *costs("tidegate", 30, 50)]
    theirs = [*costs("mosec", 100, 100), *costs("mosec", 100, steal=0.051), *costs("mosec", 100, steal=0.05)]
    found = of(tabular(ours, theirs)).ratio("tidegate", "mosec")
    assert found is not None
    assert (found.median, found.turns, found.noisy, found.told) == (0.5, 1, False, "in 1 turn")


def test_a_side_that_isnt_named_may_be_disturbed() -> None:
    name = comparisons.IMAGE_JSON
    records = turns(name, "tidegate", *costs("tidegate", 10)) + turns(name, "mosec", *costs("mosec", 20))
    records += turns(name, "naive", *costs("naive", 40, steal=0.5))
    one = of(records, name)
    assert [ratio.noisy for side in ("mosec", "naive") if (ratio := one.ratio("tidegate", side))] == [False, True]


def test_where_no_turn_was_quiet_all_are_used_and_it_is_said() -> None:
    records = tabular(costs("tidegate", 40, 60, steal=0.5), costs("mosec", 100, 100))
    found = of(records).ratio("tidegate", "mosec")
    assert found is not None
    assert (found.median, found.told) == (0.5, "in 2 turns, none quiet")


def test_a_generator_that_was_late_makes_a_turn_unquiet() -> None:
    records = tabular(costs("tidegate", 40, 60), [*costs("mosec", 100, lateness=1.1), *costs("mosec", 100)])
    found = of(records).ratio("tidegate", "mosec")
    assert found is not None
    assert (found.median, found.turns) == (0.6, 1)


def test_a_turn_without_a_side_or_its_answers_has_no_ratio() -> None:
    theirs = [*costs("mosec", 100), point("mosec", good=0, cpu_seconds=1.0)]
    found = of(tabular(costs("tidegate", 50, 60, 70), theirs)).ratio("tidegate", "mosec")
    assert found is not None
    assert (found.median, found.turns) == (0.5, 1)
    assert of(tabular(costs("tidegate", 50), [])).ratio("tidegate", "mosec") is None


def test_turns_of_two_runs_are_of_both() -> None:
    runs = [tabular(costs("tidegate", cost), costs("mosec", 100)) for cost in (40, 60)]
    found = of([{"kind": "machine"}, *runs[0], {"kind": "machine"}, *runs[1]]).ratio("tidegate", "mosec")
    assert found is not None
    assert (found.median, found.turns) == (0.5, 2)


def test_a_comparison_that_is_no_longer_made_is_passed_over() -> None:
    assert compared(turns("of old", "tidegate", point("tidegate")), BOUND) == {}


@pytest.mark.parametrize(("ours", "passed"), [(45.0, True), (45.1, False)])
def test_a_bar_is_judged_by_turns_where_there_are_any(ours: float, passed: bool) -> None:
    by_rounds = [point("tidegate", cpu_us=99), point("mosec", cpu_us=100)]
    found = verdict("tabular JSON, CPU", *by_rounds, *tabular(costs("tidegate", ours), costs("mosec", 100)))
    assert (found.found, found.passed) == (f"{ours} µs, 0.45 × mosec in 1 turn", passed)


def test_a_bar_without_turns_is_judged_by_rounds() -> None:
    by_rounds = [point("tidegate", cpu_us=40), point("mosec", cpu_us=100)]
    lone = turns(comparisons.TABULAR_JSON, "tidegate", point("tidegate", cpu_us=99))
    assert verdict("tabular JSON, CPU", *by_rounds, *lone).found == "40.0 µs, 0.40 × mosec"


def test_the_best_peer_is_the_one_that_ours_is_dearest_against() -> None:
    name = comparisons.IMAGE_JSON
    sides = {"tidegate": (34, 34), "naive": (100, 100), "mosec": (50, 400)}
    records = [one for side, figures in sides.items() for one in turns(name, side, *costs(side, *figures))]
    # Against mosec (0.68 + 0.085) / 2 = 0.38, against naive 0.34.
    found = verdict("image JSON, CPU", *records)
    assert (found.found, found.passed) == ("34.0 µs, 0.38 × mosec in 2 turns", False)


@pytest.mark.parametrize(("ours", "passed"), [(3600, True), (3599, False)])
def test_one_client_is_compared_by_rates_with_the_fastest_peer(ours: float, passed: bool) -> None:
    rates = {"tidegate": ours, "mosec": 200, "naive": 2000, "limit-socket": 5000}
    name = comparisons.ONE_CLIENT
    records = [one for side, rate in rates.items() for one in turns(name, side, point(side, rate))]
    found = verdict("tabular JSON, one client, rate", *records)
    assert found.passed is passed
    assert found.found == f"{ours:,}/s, 1.80 × naive in 1 turn; kernel and event loop alone 5,000/s"


@pytest.mark.parametrize(("ours", "passed"), [(1100, True), (1101, False)])
def test_an_image_is_held_against_model_and_echo_of_the_same_turn(ours: float, passed: bool) -> None:
    name = comparisons.IMAGE_BINARY
    records = turns(name, "tidegate", *costs("tidegate", ours, 2 * ours))
    records += turns(name, "limit-http", *costs("limit-http", 200, 300))
    records += turns(name, "ONNX Runtime", alone(800), alone(1700))
    found = verdict("image, binary, CPU", *records)
    assert (found.passed, "1.10 × 1,500 in 2 turns" in found.found) == (passed, True)


@pytest.mark.parametrize(("ours", "passed"), [(110.0, True), (110.2, False)])
def test_the_transformer_is_held_against_onnx_runtime_at_its_turns_batch_sizes(ours: float, passed: bool) -> None:
    name = comparisons.TRANSFORMER
    records = turns(name, "tidegate", *costs("tidegate", ours, 2 * ours, 2 * ours))
    records += turns(name, "ONNX Runtime", alone(100, 8), alone(200, 9), alone(200, 16))
    found = verdict("transformer, 32 clients, CPU", *records)
    assert (found.found.split(", ", 1)[1], found.passed) == ("1.10 × ONNX Runtime in 3 turns, batches of 9", passed)


@pytest.mark.parametrize(("ours", "passed"), [(4.0, True), (4.2, False)])
def test_tails_are_compared_within_a_turn(ours: float, passed: bool) -> None:
    name = comparisons.TAIL
    records = []
    for server, p99s in {"tidegate": (ours, 1.0), "mosec": (20.0, 5.0)}.items():
        records += turns(name, server, *(point(server, load="best", latency_ms=latency(1.0, p99)) for p99 in p99s))
    found = verdict("tabular JSON, p99 at 80 % of the best peer's best rate", *records)
    # A fifth in the second turn; the medians of the figures themselves are of 4 or 4.2 and 1, and of 20 and 5.
    told = f"{(ours + 1) / 2:.2f} ms, {(ours / 20 + 0.2) / 2:.3f} × mosec's 12.5 ms in 2 turns"
    assert (found.found, found.passed) == (told, passed)
    assert "| | mosec, 12.50 ms | 50.0 | 1,000 |" in "\n".join(in_turn.section(Summary.of(records, BOUND)))


@pytest.mark.parametrize(("cost", "passed"), [(20.0, True), (20.1, False)])
def test_a_refusal_is_held_against_an_answer(cost: float, passed: bool) -> None:
    name = comparisons.REFUSALS
    refused = point("tidegate", load="refusal", good=0, refused=40, expired=60, cpu_seconds=cost / 1e4)
    records = turns(name, "a refusal", refused) + turns(name, "an answer", *costs("tidegate", 40))
    records += turns(name, "limit-socket", *costs("limit-socket", 6))
    found = verdict("tabular JSON, CPU of a refusal", *records)
    told = f"{cost:.1f} µs, 0.50 × 40.0 in 1 turn; kernel and event loop alone 6.0 µs"
    assert (found.found, found.passed) == (told, passed)


def test_shapes_are_compared_by_rates_and_connections_by_cost() -> None:
    shapes, crowd = comparisons.SHAPES, comparisons.CONNECTIONS
    records = turns(shapes, "two shapes", point("tidegate", 90)) + turns(shapes, "one shape", point("tidegate", 100))
    records += turns(crowd, "1,000 connections", *costs("tidegate", 23.2))
    records += turns(crowd, "8 connections", *costs("tidegate", 20))
    found = [
        verdict("transformer, shapes A,B,A,B, rate", *records),
        verdict("tabular JSON, CPU at 1,000 connections against 8", *records),
    ]
    assert [(one.found, one.passed) for one in found] == [
        ("90% in 1 turn", True),
        ("20.0 → 23.2 µs (+16%) in 1 turn", False),
    ]


@pytest.mark.parametrize(
    ("changed", "passed"),
    [
        ({}, True),
        ({"timely": 94, "good": 94}, False),
        ({"timely_inside": 94}, False),
        ({"timely": 0, "good": 0}, False),
        ({"refusal_ms": latency(1.0, 5.1)}, False),
        ({"expired": 1}, False),
        ({"refused": 0}, False),
        ({"errors": {"status 500": 1}}, False),
    ],
    ids=[
        "kept",
        "goodput",
        "a late part of it",
        "nothing answered",
        "slow refusal",
        "an expiry among few",
        "nothing refused",
        "an error",
    ],
)
def test_overload_is_held_against_the_closed_loop_of_the_same_turn(changed: dict[str, Any], passed: bool) -> None:
    kept = {"good": 95, "timely": 95, "refused": 100, "refusal_ms": latency(1.0, 5.0)}
    name = comparisons.OVERLOAD
    records = turns(name, "twice the rate", point("tidegate", load="overload", **{**kept, **changed}))
    records += turns(name, "32 clients", point("tidegate", 100))
    found = verdict("transformer at twice the best rate", *records)
    assert found.passed is passed
    assert " in 1 turn, slowest of " in found.found


def test_one_turn_with_a_slow_refusal_misses_the_bar() -> None:
    name = comparisons.OVERLOAD
    slowest = [4.0, 500.0, 5.0, 3.0, 2.0]
    told: dict[str, Any] = {"load": "overload", "good": 100, "refused": 90}
    records = turns(name, "twice the rate", *(point("tidegate", refusal_ms=latency(1, ms), **told) for ms in slowest))
    records += turns(name, "32 clients", *(point("tidegate", 100) for _ in slowest))
    found = verdict("transformer at twice the best rate", *records)
    assert found.passed is False
    assert "slowest of 450 refusals 500.0 ms" in found.found


def test_the_page_of_turns_alone_has_their_table_and_no_word_of_rounds() -> None:
    name = comparisons.IMAGE_BINARY
    records = turns(name, "tidegate", *costs("tidegate", 1000, 1200, 1400))
    records += turns(name, "limit-http", *costs("limit-http", 200, 200, 200, steal=0.2))
    records += turns(name, "ONNX Runtime", alone(800), alone(800), alone(800))
    lines = report.page(Summary.of(records, BOUND), BOUND, []).splitlines()
    assert "| image binary (CPU) | **tidegate** | 1,200 | 1,000 | | | 3 | 0 |" in lines
    assert "| | limit-http | 200 | 1,000 | 6.00~ | 5.50–6.50 | 3 | 0 |" in lines
    assert "| | ONNX Runtime | 800 | – | 1.50 | 1.38–1.62 | 3 | 0 |" in lines
    assert "| | ONNX Runtime + limit-http | 1,000 | – | 1.20~ | 1.10–1.30 | 3 | |" in lines
    assert not [line for line in lines if "points had no quiet round" in line]
