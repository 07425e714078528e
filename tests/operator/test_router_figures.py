"""What is read from a router's statistics, and how counters and starts are told apart."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.evidence.readings import Calls
from tidegate_operator.routing.figures import FILTER, Figures, calls_of, figures_of
from tidegate_operator.routing.sources import Growing, Start, start_of

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)

STATISTICS = {
    "server.uptime": True,
    "cluster.ml/churn-aaaaaaaa/pods.membership_healthy": True,
    "cluster.ml/churn-bbbbbbbb/fallback.upstream_rq_total": True,
    "cluster.ml/churn-aaaaaaaa.upstream_rq_completed": True,
    "cluster.ml/churn-aaaaaaaa.upstream_rq_5xx": True,
    "cluster.ml/churn-aaaaaaaa.upstream_rq_500": False,
    "cluster.ml/churn-aaaaaaaa/grpc/pods.membership_healthy": True,
    "cluster.ml/churn-bbbbbbbb/grpc/fallback.upstream_rq_total": True,
    "cluster.ml/churn-aaaaaaaa/grpc.grpc.total": True,
    "cluster.ml/churn-aaaaaaaa/grpc.grpc.failure": True,
    "cluster.ml/churn-aaaaaaaa/grpc.grpc.8": True,
    "cluster.ml/churn-aaaaaaaa/grpc.grpc.success": False,
    "cluster.ml/churn-aaaaaaaa/grpc.upstream_rq_completed": False,
    "cluster.ml/churn-aaaaaaaa/grpc/pods.grpc.total": False,
    "cluster.ml/churn-aaaaaaaa.external.upstream_rq_5xx": False,
    "cluster.ml/churn-aaaaaaaa.retry.upstream_rq_completed": False,
    "cluster.ml/churn-aaaaaaaa/pods.upstream_rq_total": False,
    "cluster.ml/churn/match.upstream_rq_completed": False,
    "cluster.xds.upstream_rq_completed": False,
    "cluster.admin.upstream_rq_5xx": False,
    "server.uptime_of_something": False,
}


@pytest.mark.parametrize(("name", "asked"), STATISTICS.items())
def test_a_router_is_asked_for(name: str, asked: bool) -> None:
    assert bool(re.search(FILTER, name)) is asked


def test_a_revision_is_as_healthy_as_by_the_worse_of_its_protocols() -> None:
    told = {"ml/a/pods": 2, "ml/a/grpc/pods": 1, "ml/b/pods": 0, "ml/b/grpc/pods": 3, "ml/c/pods": 4}
    stats = [{"name": f"cluster.{name}.membership_healthy", "value": count} for name, count in told.items()]
    assert figures_of({"stats": stats}).healthy == {"ml/a": 1, "ml/b": 0, "ml/c": 4}


def test_figures_are_read_by_revision() -> None:
    stats = {
        "stats": [
            {"name": "server.uptime", "value": 77},
            {"name": "cluster.ml/churn-a/pods.membership_healthy", "value": 2},
            {"name": "cluster.ml/churn-a.upstream_rq_completed", "value": 9},
            {"name": "cluster.ml/churn-a.upstream_rq_5xx", "value": 1},
            {"name": "listener.x.upstream_rq_5xx", "value": 1},
            {"histograms": {"computed_quantiles": []}},
        ]
    }
    counts = {"ml/churn-a.upstream_rq_completed": 9, "ml/churn-a.upstream_rq_5xx": 1}
    assert figures_of(stats) == Figures(77, {"ml/churn-a": 2}, counts)


@pytest.mark.parametrize(
    "stats",
    [
        {},
        [],
        {"stats": None},
        {"stats": ["text"]},
        {"stats": [{"name": "cluster.a/b/pods.membership_healthy"}]},
        {"stats": [{"name": "server.uptime", "value": "a while"}]},
    ],
)
def test_what_is_no_statistics_is_a_value_error(stats: Any) -> None:
    with pytest.raises(ValueError, match="no statistics of Envoy"):
        figures_of(stats)


CALLS: list[tuple[dict[str, int], Calls]] = [
    ({}, Calls(0, 0)),
    ({".upstream_rq_completed": 9}, Calls(9, 0)),
    ({".upstream_rq_completed": 9, ".upstream_rq_5xx": 2}, Calls(9, 2)),
    ({".upstream_rq_completed": 9, "/fallback.upstream_rq_total": 3}, Calls(9, 3)),
    ({".upstream_rq_completed": 9, ".upstream_rq_5xx": 2, "/fallback.upstream_rq_total": 3}, Calls(9, 5)),
    ({".upstream_rq_completed": 9, ".upstream_rq_5xx": 8, "/fallback.upstream_rq_total": 8}, Calls(9, 9)),
    ({".upstream_rq_completed": 9, ".upstream_rq_4xx": 3}, Calls(9, 3)),
    ({".upstream_rq_completed": 9, ".upstream_rq_4xx": 3, ".upstream_rq_429": 2}, Calls(7, 1)),
    ({".upstream_rq_completed": 9, ".upstream_rq_4xx": 9, ".upstream_rq_429": 9}, Calls(0, 0)),
    ({"/fallback.upstream_rq_total": 1}, Calls(0, 0)),
    ({"/grpc.grpc.total": 9, "/grpc.grpc.failure": 3}, Calls(9, 3)),
    ({"/grpc.grpc.total": 9, "/grpc.grpc.failure": 3, "/grpc.grpc.8": 2}, Calls(7, 1)),
    ({"/grpc.grpc.total": 9, "/grpc/fallback.upstream_rq_total": 4}, Calls(9, 4)),
    (
        {".upstream_rq_completed": 5, ".upstream_rq_5xx": 1, "/grpc.grpc.total": 9, "/grpc.grpc.failure": 3},
        Calls(14, 4),
    ),
    ({".upstream_rq_completed": 5, "/grpc.grpc.total": 2, "/grpc/fallback.upstream_rq_total": 9}, Calls(7, 2)),
]


@pytest.mark.parametrize(("counts", "expected"), CALLS)
def test_calls_are_answers_by_weight_and_failures_include_those_of_a_fallback(
    counts: dict[str, int], expected: Calls
) -> None:
    others = {"ml/churn-b.upstream_rq_completed": 50, "other/churn-a.upstream_rq_5xx": 50}
    assert calls_of({f"ml/churn-a{name}": n for name, n in counts.items()} | others, "ml/churn-a") == expected


def test_counters_that_begin_anew_are_added_to_what_they_were_and_those_that_are_gone_stay() -> None:
    growing = Growing()
    assert growing.add({"a": 5, "b": 2}) == {"a": 5, "b": 2}
    assert growing.add({"a": 7}) == {"a": 7, "b": 2}
    assert growing.add({"a": 1, "b": 2}) == {"a": 8, "b": 2}
    assert growing.add({"a": 4, "b": 1}) == {"a": 11, "b": 3}


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 20)), max_size=20))
def test_no_counter_ever_shrinks(told: list[dict[str, int]]) -> None:
    growing, before = Growing(), dict[str, int]()
    for counts in told:
        now = growing.add(counts)
        assert all(now[name] >= count for name, count in before.items())
        assert all(now[name] >= count for name, count in counts.items())
        before = now


def test_a_start_is_named_by_the_time_first_reckoned() -> None:
    start = start_of(None, 30, 1000.0, NOW)
    assert start.source("10.0.0.1") == "10.0.0.1 since 2026-11-22T09:59:30Z"


KNOWN = Start(NOW, 1000.0, 50)
STARTS = [
    ("a little later", 60, 1060.0, True),
    ("an uptime told before the last flush", 55, 1060.0, True),
    ("asked again at once", 50, 1052.0, True),
    ("an uptime smaller than before", 49, 1052.0, False),
    ("started again meanwhile, and up for longer than it was", 55, 1200.0, False),
]


@pytest.mark.parametrize(("uptime", "moment", "same"), [case[1:] for case in STARTS], ids=[case[0] for case in STARTS])
def test_a_router_is_the_one_known_if_it_is(uptime: int, moment: float, same: bool) -> None:
    assert (start_of(KNOWN, uptime, moment, NOW) == replace(KNOWN, uptime=uptime)) is same
