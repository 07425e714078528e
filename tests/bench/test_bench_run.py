import os
import random
from pathlib import Path

import pytest

from bench import generator, measure, report
from bench.bodies import V2_JSON
from bench.environments import Unavailable
from bench.plan import Choice, Point
from bench.process import LOAD_CPU, SERVER_CPU
from bench.results import Store, read
from bench.servers import OURS


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [((10, 20), (14, 36), 4.0), ((10, 20), (10, 20), None), (None, (1, 1), None)],
    ids=["sixteen rows in four batches", "no batch", "not counted"],
)
def test_rows_a_batch_are_between_two_readings(
    before: tuple[float, float] | None, after: tuple[float, float] | None, expected: float | None
) -> None:
    assert measure.mean_batch(before, after) == expected


def test_only_overload_and_refusals_carry_a_deadline() -> None:
    parameters = {
        kind: measure.asked(V2_JSON, Point("tabular", "json", kind)).parameters
        for kind in ("closed", "overload", "refusal")
    }
    assert parameters == {"closed": {}, "overload": {"timeout": 500_000}, "refusal": {"timeout": 1}}


@pytest.mark.integration
@pytest.mark.alone
def test_a_short_run_of_our_own_server_ends_in_a_report(tmp_path: Path) -> None:
    if not {SERVER_CPU, LOAD_CPU} <= os.sched_getaffinity(0):
        pytest.skip("a run needs two processors, and this process may use one")
    try:
        load = generator.built()
    except Unavailable as why:
        pytest.skip(str(why))
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
