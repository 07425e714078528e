import os
import random
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from bench import generator, measure, report, sending
from bench.bodies import V2_JSON
from bench.comparisons import CATALOGUE, REFUSALS, chosen
from bench.environments import Unavailable
from bench.plan import Choice, Point
from bench.process import LOAD_CPU, SERVER_CPU
from bench.results import Store, read
from bench.servers import OURS, SERVERS, Server
from bench.turns import Turns


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [((10, 20), (14, 36), 4.0), ((10, 20), (10, 20), None), (None, (1, 1), None)],
    ids=["sixteen rows in four batches", "no batch", "not counted"],
)
def test_rows_a_batch_are_between_two_readings(
    before: tuple[float, float] | None, after: tuple[float, float] | None, expected: float | None
) -> None:
    assert sending.mean_batch(before, after) == expected


def test_only_overload_and_refusals_carry_a_deadline() -> None:
    parameters = {
        kind: sending.asked(V2_JSON, Point("tabular", "json", kind)).parameters
        for kind in ("closed", "overload", "refusal")
    }
    assert parameters == {"closed": {}, "overload": {"timeout": 500_000}, "refusal": {"timeout": 1}}


def generator_or_skip() -> Path:
    if not {SERVER_CPU, LOAD_CPU} <= os.sched_getaffinity(0):
        pytest.skip("a run needs two processors, and this process may use one")
    try:
        return generator.built()
    except Unavailable as why:
        pytest.skip(str(why))


@pytest.mark.integration
@pytest.mark.alone
def test_a_short_run_of_our_own_server_ends_in_a_report(tmp_path: Path) -> None:
    load = generator_or_skip()
    store = Store(tmp_path / "results.jsonl")
    choice = Choice(frozenset({"tabular"}), frozenset({"json"}), frozenset({OURS}))
    run = measure.Run(load, store, choice, 1, 0, steal_bound=1.0, seconds=0.3, quick=True, shuffle=random.Random(1))
    run.whole()

    measured = [record for record in store.records if record["kind"] == "point"]
    points = {record["connections"]: record for record in measured if record["load"] == "closed"}
    assert {1, 32} <= points.keys()
    for record in points.values():
        assert record["result"]["errors"] == {}
        assert record["result"]["cpu_seconds"] > 0
    assert points[32]["mean_batch"] >= 1
    kinds = {record["kind"] for record in store.records}
    assert kinds >= {"start", "memory", "compute", "failure"}
    # No peer ran, so there is no rate to send at 80 % of.
    assert [one["reason"] for one in store.records if one["kind"] == "failure"] == ["best: no rate to start from"]
    assert report.write(read([store.path]), tmp_path / "page", 0.05)[-1].read_text().startswith("# This runtime")


@pytest.mark.integration
@pytest.mark.alone
def test_two_points_of_our_own_in_turn_end_in_a_page_of_turns_alone(tmp_path: Path) -> None:
    load = generator_or_skip()
    store = Store(tmp_path / "results.jsonl")
    ours = Choice(servers=frozenset({OURS}))
    [comparison] = chosen([replace(CATALOGUE[REFUSALS], seconds=0.2)], ours)
    Turns(load, store, 3).whole([comparison])

    assert [(record["turn"], record["side"]) for record in store.records] == [
        *((0, "a refusal"), (0, "an answer")),
        *((1, "an answer"), (1, "a refusal")),
        *((2, "a refusal"), (2, "an answer")),
    ]
    for record in store.records:
        result = record["result"]
        assert result["errors"] == {}
        answered = result["good"] if record["side"] == "an answer" else result["refused"] + result["expired"]
        assert answered > 10
    page = report.write(read([store.path]), tmp_path / "page", 1.0)[-1].read_text()
    assert "| refusals (CPU) | a refusal |" in page
    assert " in 3 turns |" in page


@pytest.mark.integration
@pytest.mark.alone
def test_a_side_that_cant_be_had_is_left_out_and_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = generator_or_skip()
    store = Store(tmp_path / "results.jsonl")
    broken = replace(SERVERS["limit-socket"], peer="", command=("false",))
    monkeypatch.setitem(cast(dict[str, Server], SERVERS), "limit-socket", broken)
    comparison = CATALOGUE[REFUSALS]
    sides = (comparison.sides[0], comparison.sides[2], comparison.sides[1])
    Turns(load, store, 1).whole([replace(comparison, sides=sides, seconds=0.1)])

    assert [(record["kind"], record.get("side", record["server"])) for record in store.records] == [
        ("failure", "limit-socket"),
        ("turn", "a refusal"),
        ("turn", "an answer"),
    ]
    Turns(load, store, 1).whole([replace(comparison, sides=sides[:2], seconds=0.1)])
    assert [record["kind"] for record in store.records[3:]] == ["failure"]
