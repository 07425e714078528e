"""Pods that each revision needs and may have, worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.rollout.capacity import Bounds, bounds, canary_need
from tidegate_operator.rollout.giving import demand
from tidegate_operator.rollout.state import Situation

from .builders import A, B, a_rollout, a_scaling, a_state, pods

DEMANDS = [
    ("what stable was scaled to", 1, 8, 3, 3),
    ("at least minReplicas", 2, 8, 0, 2),
    ("at most maxReplicas", 1, 4, 9, 4),
    ("minReplicas without autoscaling", 3, None, 5, 3),
]


@pytest.mark.parametrize(("low", "high", "wanted", "expected"), [c[1:] for c in DEMANDS], ids=[c[0] for c in DEMANDS])
def test_demand_is(low: int, high: int | None, wanted: int, expected: int) -> None:
    assert demand(a_scaling(low, high), wanted) == expected


NEEDS = [
    ("5 % of 1 pod is one pod", 5, 1, None, None, 1),
    ("10 % of 10 pods is one pod", 10, 10, None, None, 1),
    ("11 % of 10 pods is two pods", 11, 10, None, None, 2),
    ("50 % of 5 pods is three pods", 50, 5, None, None, 3),
    ("100 % of 5 pods is five pods", 100, 5, None, None, 5),
    ("a surge that suffices changes nothing", 50, 4, None, 2, 2),
    ("without surge there are only the pods that stable leaves", 50, 3, 4, 0, 1),
    ("without surge beside a full stable there are none", 10, 4, 4, 0, 0),
]


@pytest.mark.parametrize(
    ("weight", "wanted", "high", "surge", "expected"), [c[1:] for c in NEEDS], ids=[c[0] for c in NEEDS]
)
def test_the_canary_needs(weight: int, wanted: int, high: int | None, surge: int | None, expected: int) -> None:
    state = a_state(canary=B, phase="Preparing")
    scaling = a_scaling(wanted) if high is None else a_scaling(1, high)
    assert (
        canary_need(state, a_rollout(weight, surge=surge), scaling, Situation(B, {A: pods(wanted)})).replicas
        == expected
    )


def test_a_promotion_needs_the_pods_of_all_requests() -> None:
    state = a_state(canary=B, phase="Promoting", weight=10)
    assert canary_need(state, a_rollout(10), a_scaling(1, 8), Situation(B, {A: pods(5)})).replicas == 5


BOUNDS = [
    ("a stable service has its limits", None, 1, 8, 3, None, {A: Bounds(1, 8)}),
    ("a fixed service has its number", None, 3, None, 3, None, {A: Bounds(3, 3)}),
    # 25 % of 3 is 1; with 8 + 1 in all, 3 of them stable's, the canary may have 6, and stable 8.
    ("stable keeps what it has and the canary may grow", 25, 1, 8, 3, None, {A: Bounds(3, 8), B: Bounds(1, 6)}),
    # 8 + 0 in all: the canary holds 1 of them, so stable may have 7, and the canary 8 - 3.
    ("without surge both share maxReplicas", 25, 1, 8, 3, 0, {A: Bounds(3, 7), B: Bounds(1, 5)}),
    ("a full stable without surge leaves the canary nothing", 25, 1, 4, 4, 0, {A: Bounds(4, 4), B: Bounds(0, 0)}),
    ("a fixed service's canary has what its weight needs", 50, 4, None, 4, None, {A: Bounds(4, 4), B: Bounds(2, 2)}),
]


@pytest.mark.parametrize(
    ("weight", "low", "high", "wanted", "surge", "expected"), [c[1:] for c in BOUNDS], ids=[c[0] for c in BOUNDS]
)
def test_bounds_are(
    weight: int | None, low: int, high: int | None, wanted: int, surge: int | None, expected: dict[str, Bounds]
) -> None:
    state = a_state(canary=B, phase="Preparing") if weight else a_state()
    situation = Situation(B, {A: pods(wanted)})
    assert bounds(state, a_rollout(weight or 10, surge=surge), a_scaling(low, high), situation) == expected


def test_a_retiring_revision_has_no_bounds() -> None:
    assert set(bounds(a_state(), a_rollout(), a_scaling(), Situation(A, {B: pods(1)}))) == {A}


@given(
    weight=st.integers(1, 100),
    low=st.integers(1, 20),
    more=st.integers(0, 20),
    above=st.integers(0, 20),
    surge=st.integers(0, 20),
)
def test_the_floors_of_both_never_exceed_max_replicas_and_surge(
    weight: int, low: int, more: int, above: int, surge: int
) -> None:
    wanted = min(low + above, low + more)
    situation = Situation(B, {A: pods(wanted)})
    scaling = a_scaling(low, low + more)
    found = bounds(a_state(canary=B, phase="Preparing"), a_rollout(weight, surge=surge), scaling, situation)
    limit = low + more + surge
    assert found[A].low + found[B].low <= limit
    assert found[A].high + found[B].low <= limit
    assert wanted + found[B].high <= limit
    assert all(bound.low <= bound.high for bound in found.values())
