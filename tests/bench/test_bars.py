from typing import Any

import pytest

from bench.bars import Verdict, judged
from bench.summary import Compute, Summary

from .recorded import Record, latency, point


def verdict(what: str, *records: Record) -> Verdict:
    found = [one for one in judged(Summary.of(records, 0.05)) if one.what == what]
    assert len(found) == 1
    return found[0]


def compute(model: str, **by_batch: float) -> list[Record]:
    return [
        {"kind": "compute", "model": model, "batch": int(size[1:]), "cpu_us": cost, "rss_mib": 60.0}
        for size, cost in by_batch.items()
    ]


CPU = "tabular JSON, CPU"
ONE_CLIENT = "tabular JSON, one client, rate"
TAIL = "tabular JSON, p99 at 80 % of the best peer's best rate"
METRICS = "tabular JSON, CPU of all metrics on against off"
OVERLOAD = "transformer at twice the best rate"


@pytest.mark.parametrize(("ours", "passed"), [(45.0, True), (45.1, False)])
def test_cpu_of_an_answer_against_mosec(ours: float, passed: bool) -> None:
    found = verdict(CPU, point("tidegate", cpu_us=ours), point("mosec", cpu_us=100), point("naive", cpu_us=1))
    assert found.passed is passed


def test_cpu_is_taken_at_the_concurrency_that_answers_most() -> None:
    ours = [point("tidegate", 10, cpu_us=500, connections=1), point("tidegate", 900, cpu_us=40, connections=128)]
    assert verdict(CPU, *ours, point("mosec", cpu_us=100)).found == "40.0 µs, 0.40 × mosec"


def test_a_thousand_connections_dont_decide_what_an_answer_costs() -> None:
    ours = [point("tidegate", 900, cpu_us=40), point("tidegate", 990, cpu_us=70, connections=1000)]
    assert verdict(CPU, *ours, point("mosec", cpu_us=100)).passed is True


def test_the_image_bar_is_against_the_cheapest_peer_and_no_limit() -> None:
    costs = {"tidegate": 34, "kserve": 100, "naive": 200, "limit-http": 1}
    records = [point(server, cpu_us=cost, model="cnn") for server, cost in costs.items()]
    assert verdict("image JSON, CPU", *records).found == "34.0 µs, 0.34 × kserve"


def test_one_clients_rate_is_told_beside_what_the_event_loop_alone_reaches() -> None:
    rates = {"tidegate": 360, "naive": 200, "limit-socket": 500}
    found = verdict(ONE_CLIENT, *[point(name, rate, connections=1) for name, rate in rates.items()])
    assert (found.found, found.passed) == ("360/s, 1.80 × naive; kernel and event loop alone 500/s", True)


def test_a_bar_without_its_figures_is_not_judged() -> None:
    assert all(one.passed is None for one in judged(Summary.of([], 0.05)))


def test_a_protocol_that_was_tried_and_not_answered_misses_its_bar() -> None:
    failure = {"kind": "failure", "server": "tidegate", "model": "tabular", "protocol": "grpc", "reason": "refused"}
    peer = point("pytriton", protocol="grpc")
    assert verdict("tabular gRPC, CPU", peer, failure).passed is False
    assert verdict("tabular gRPC, CPU", peer).passed is None


def open_loop(server: str, p99: float, **more: Any) -> Record:
    record = point(server, load="best", connections=1024, latency_ms=latency(0.5, p99), **more)
    return {**record, "rate_asked": 800.0}


@pytest.mark.parametrize(("ours", "passed"), [(2.0, True), (2.1, False)])
def test_the_tail_is_compared_with_the_fastest_peers_own(ours: float, passed: bool) -> None:
    closed = [point("mosec", 1000), point("naive", 500)]
    records = [*closed, open_loop("mosec", 10.0), open_loop("naive", 1.0), open_loop("tidegate", ours)]
    assert verdict(TAIL, *records).passed is passed


def test_a_good_tail_with_missing_answers_doesnt_pass() -> None:
    records = [point("mosec"), open_loop("mosec", 10.0), open_loop("tidegate", 1.0, errors={"unanswered": 3})]
    assert verdict(TAIL, *records).passed is False


@pytest.mark.parametrize(
    ("changed", "passed"),
    [
        ({}, True),
        ({"good": 94, "timely": 94}, False),
        ({"timely_inside": 94}, False),
        ({"good": 0, "timely": 0}, False),
        ({"refusal_ms": latency(1.0, 5.1)}, False),
        ({"good": 97}, False),
        ({"expired": 1}, False),
        ({"good": 9_950, "timely": 9_950, "expired": 100}, True),
        ({"good": 9_950, "timely": 9_950, "expired": 101}, False),
        ({"refused": 0}, False),
        ({"errors": {"status 500": 1}}, False),
    ],
    ids=[
        "kept",
        "goodput",
        "a late part of it",
        "nothing answered",
        "slow refusal",
        "late answers",
        "an expiry among few",
        "one in a hundred expires",
        "one more does",
        "nothing refused",
        "an error",
    ],
)
def test_overload(changed: dict[str, Any], passed: bool) -> None:
    kept = {"good": 95, "timely": 95, "refused": 100, "refusal_ms": latency(1.0, 5.0)}
    record = point("tidegate", model="minilm", load="overload", connections=1024, **{**kept, **changed})
    assert verdict(OVERLOAD, {**record, "rate_asked": 200.0}).passed is passed


def test_one_round_with_a_slow_refusal_misses_the_bar() -> None:
    told: dict[str, Any] = {"model": "minilm", "load": "overload", "connections": 1024, "good": 100, "refused": 90}
    records = [
        {**point("tidegate", refusal_ms=latency(1, ms), round_number=number, **told), "rate_asked": 200.0}
        for number, ms in enumerate([4.0, 500.0, 5.0])
    ]
    found = verdict(OVERLOAD, *records)
    assert found.passed is False
    assert "slowest of 270 refusals 500.0 ms" in found.found


@pytest.mark.parametrize(("refused", "expired"), [(100, 0), (0, 100), (40, 60)])
@pytest.mark.parametrize(("cost", "passed"), [(20.0, True), (20.1, False)])
def test_a_refusal_costs_the_same_by_either_word(refused: int, expired: int, cost: float, passed: bool) -> None:
    counted: dict[str, Any] = {"refused": refused, "expired": expired, "cpu_seconds": cost / 1e4}
    refusals = point("tidegate", load="refusal", connections=32, good=0, **counted)
    found = verdict("tabular JSON, CPU of a refusal", refusals, point("tidegate", cpu_us=40))
    assert (found.found, found.passed) == (f"{cost:.1f} µs against 40.0 µs", passed)


def test_compute_between_measured_batch_sizes_is_a_straight_line() -> None:
    one = Compute({1: 100.0, 8: 30.0, 32: 40.0}, 0.0)
    assert [one.at(size) for size in (0.5, 1, 4.5, 8, 20, 64)] == [100, 100, 65, 30, 35, 40]
    assert one.best == 30


@pytest.mark.parametrize(
    ("last", "good", "passed"),
    [(101.0, 10_000_000, True), (101.1, 10_000_000, False), (100.0, 9_999_999, None)],
    ids=["flat", "grown", "too short to tell"],
)
def test_memory_over_many_requests(last: float, good: int, passed: bool | None) -> None:
    # The medians of the halves are 100 and `last`, whatever one look finds.
    record = {"kind": "soak", "good": good, "rss_mib": [99.0, 100.0, 107.0, 100.0, last, last, 90.0, 102.0]}
    found = verdict("resident memory over 10 M requests", record)
    told = f"100.0 → {last:.1f} MiB over {good:,} answers, 90.0 to 107.0 MiB in 8 looks"
    assert (found.passed, found.found) == (passed, told)


def inside(many: float, many_off: float, alone: float, alone_off: float) -> Record:
    kinds = ("json", "json-uncounted", "json-alone", "json-alone-uncounted")
    return {"kind": "inside", "cpu_us": dict(zip(kinds, (many, many_off, alone, alone_off), strict=True))}


@pytest.mark.parametrize(
    ("many", "alone", "passed"),
    [(12.0, 32.0, True), (12.1, 32.0, False), (12.0, 32.1, False)],
    ids=["neither", "of many", "alone"],
)
def test_what_metrics_cost_is_the_least_with_them_less_the_least_without(
    many: float, alone: float, passed: bool
) -> None:
    found = verdict(METRICS, inside(many, 11.0, alone, 31.0), inside(20.0, 10.0, 40.0, 30.0))
    assert found.passed is passed
    told = f"{many - 10:.1f} µs of {many:.1f} in turns of many, {alone - 30:.1f} of {alone:.1f} alone"
    assert found.found == f"{told}; in process, without sockets"


def test_metrics_are_not_judged_by_turns_of_many_requests_only() -> None:
    half = {"kind": "inside", "cpu_us": {"json": 12.0, "json-uncounted": 11.0}}
    assert verdict(METRICS, half).passed is None


def test_the_transformer_is_held_against_its_own_batch_sizes() -> None:
    record = point("tidegate", model="minilm", cpu_us=55.0)
    found = verdict("transformer, 32 clients, CPU", {**record, "mean_batch": 4.0}, *compute("minilm", b1=100, b7=0))
    assert found.found == "55 µs, 1.10 × 50 at a mean batch of 4.0"
    assert found.passed is True
