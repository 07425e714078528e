"""How callers go over from one way of routing to another."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.api.routing_spec import ProviderName
from tidegate_operator.api.status import RoutingStatus
from tidegate_operator.routing.moving import LEAVE, SETTLE, Move, following, remembered, told

from .builders import NOW, after

ROUTER = Move("Router")
BUILT = Move("Router", coming="Service")
SEEN = replace(BUILT, since=NOW)
GONE_OVER = Move("Service", leaving="Router", until=NOW + LEAVE)

STEPS: list[tuple[str, Move, ProviderName, bool, Move]] = [
    ("stays where it is", ROUTER, "Router", True, ROUTER),
    ("is built beside the old one first, though it would work", ROUTER, "Service", True, BUILT),
    ("waits until it works", BUILT, "Service", False, BUILT),
    ("is seen to work", BUILT, "Service", True, SEEN),
    ("begins to be seen anew when it failed", SEEN, "Service", False, BUILT),
    ("is given up where the spec is back", SEEN, "Router", True, ROUTER),
    ("takes over once it has been seen for a while", replace(SEEN, since=NOW - SETTLE), "Service", True, GONE_OVER),
    ("keeps the old one", GONE_OVER, "Service", True, GONE_OVER),
    ("lets the old one go", replace(GONE_OVER, until=NOW), "Service", True, Move("Service")),
    ("is another one", SEEN, "Gateway", True, Move("Router", coming="Gateway")),
]


@pytest.mark.parametrize(("before", "wanted", "works", "expected"), [s[1:] for s in STEPS], ids=[s[0] for s in STEPS])
def test_a_way(before: Move, wanted: ProviderName, works: bool, expected: Move) -> None:
    assert following(before, wanted, works=works, now=NOW) == expected


def test_a_third_way_waits_until_the_first_has_left_and_the_first_may_come_back() -> None:
    ready = replace(GONE_OVER, coming="Gateway", since=NOW - SETTLE)
    assert following(ready, "Gateway", works=True, now=NOW) == ready
    back = replace(GONE_OVER, coming="Router", since=NOW - SETTLE)
    assert following(back, "Router", works=True, now=NOW) == Move("Router", leaving="Service", until=NOW + LEAVE)


def test_a_new_service_takes_what_it_wants_and_one_of_an_older_release_came_by_the_router() -> None:
    assert remembered(None, "Service", fresh=True) == Move("Service")
    assert remembered(None, "Service", fresh=False) == ROUTER


def test_the_status_says_nothing_of_the_router_alone_and_all_of_a_move() -> None:
    assert told(ROUTER, exact=True) is None
    back = Move("Direct", leaving="Service", until=NOW)
    for move in (BUILT, SEEN, GONE_OVER, Move("Service"), Move("Gateway"), back):
        status = told(move, exact=move.now != "Service")
        assert status is not None
        assert remembered(RoutingStatus.model_validate(status.model_dump()), "Router", fresh=False) == move
        assert ("approximate" in (status.message or "")) is (move.now == "Service")


def test_the_status_says_what_the_way_to_come_waits_for_as_long_as_it_doesnt_work() -> None:
    waiting, working = told(BUILT, exact=True, hindrance="no endpoint"), told(SEEN, exact=True, hindrance="no endpoint")
    assert waiting is not None
    assert working is not None
    assert (waiting.message, working.message) == (
        "going over to Service, which is built beside it: no endpoint",
        "going over to Service, which is seen to work",
    )
    endless = told(BUILT, exact=True, hindrance="x" * 5000)
    assert endless is not None
    assert len(endless.message or "") == 1024


WAYS = st.sampled_from(["Router", "Service", "Gateway", "Direct"])


@given(st.lists(st.tuples(WAYS, st.booleans(), st.integers(0, 400)), max_size=60))
def test_callers_are_sent_only_where_it_was_seen_to_work_and_the_old_way_stays(
    looks: list[tuple[ProviderName, bool, int]],
) -> None:
    move, now, last = ROUTER, 0, {"Router": 0.0}
    worked: dict[str, int] = {}
    for wanted, works, pause in looks:
        now += pause
        before, move = move, following(move, wanted, works=works, now=after(now))
        if wanted == before.now or not works:
            worked.pop(wanted, None)
        worked = {way: since for way, since in worked.items() if way == wanted}
        if move.now != before.now:
            assert works
            assert now - worked[wanted] >= SETTLE.total_seconds()
            assert wanted in before.present, "it was built before"
        elif works and wanted != move.now and move.since:
            worked.setdefault(wanted, now)
        last[before.now] = now
        for way, at in last.items():
            assert way in move.present or now - at >= LEAVE.total_seconds(), "callers may still use it"


def test_pauses_are_as_told() -> None:
    assert timedelta() < SETTLE < LEAVE
