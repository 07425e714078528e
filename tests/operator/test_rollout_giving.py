"""Stable gives pods up to a canary that finds no room, only what its load leaves, and gets them back."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.api.scaling_spec import ScalingSpec
from tidegate_operator.rollout.capacity import Bounds, bounds, canary_need
from tidegate_operator.rollout.decision import Decision
from tidegate_operator.rollout.machine import step
from tidegate_operator.rollout.state import RolloutState, Seen, Situation

from .builders import NOW, A, B, a_request, a_rollout, a_scaling, a_state, after, an_analysis, pods


def yielding(*weights: int, surge: int | None = None, **parts: Any) -> RolloutSpec:
    return a_rollout(*weights, surge=surge, when_full="Yield", **parts)


GPU_ROOM = [
    # 3 pods of 4 GPUs and 4 more: 16 GPUs, of which 12 are in use.
    ("one more pod of 4", 10, 3, 4, 4, 4, 1, None),
    (
        "not two of them",
        50,
        3,
        4,
        4,
        4,
        1,
        "50 % needs 2 canary pods beside 3 stable ones, 20 GPUs together, and scaling.maxReplicas 3 × 4"
        " + rollout.surgeGpus 4 allow 16: raise rollout.surgeGpus to 8",
    ),
    ("no pod of 8 in a surge of 4", 10, 3, 4, 8, 4, 0, "raise rollout.surgeGpus to 8"),
    ("four smaller ones", 100, 3, 4, 1, 4, 3, None),
    ("a surge that no pod fits in is none", 10, 3, 4, 4, 3, 0, "raise rollout.surgeGpus to 4"),
    ("a canary without GPUs needs none", 50, 3, 4, 0, 0, 2, None),
]


@pytest.mark.parametrize(
    ("weight", "replicas", "stable", "canary", "surge", "expected", "told"),
    [case[1:] for case in GPU_ROOM],
    ids=[case[0] for case in GPU_ROOM],
)
def test_a_surge_in_gpus_has_room_for(
    weight: int, replicas: int, stable: int, canary: int, surge: int, expected: int, told: str | None
) -> None:
    situation = Situation(B, {A: pods(replicas)}, gpus={A: stable, B: canary})
    state = a_state(canary=B, phase="Preparing")
    need = canary_need(state, a_rollout(weight, surge_gpus=surge), a_scaling(replicas), situation)
    assert need.replicas == expected
    assert (need.obstacle is None) if told is None else (need.obstacle or "").endswith(told)


def test_a_rollback_is_not_bound_by_gpus() -> None:
    situation = Situation(B, {A: pods(4)}, gpus={A: 4, B: 4})
    state = a_state(canary=B, phase="RollingBack")
    found = bounds(state, a_rollout(surge_gpus=0), a_scaling(4), situation)
    assert found == {A: Bounds(4, 4), B: Bounds(4, 4)}


YIELDS = [
    # Fixed: all of minReplicas carry all requests; what the canary carries stable may give up, and no more.
    ("the first pod of a fixed service is the surge", 4, None, 1, 0, None, 10, (4, 0), Bounds(4, 4), 1),
    ("what the canary carries, stable gives up", 4, None, 1, 25, 4, 50, (4, 1), Bounds(3, 3), 1),
    ("the canary gets what stable has given up", 4, None, 1, 25, 4, 50, (3, 1), Bounds(3, 3), 2),
    ("a share that is less than a pod gives none up", 4, None, 1, 10, 4, 50, (4, 1), Bounds(4, 4), 1),
    # A third of 3 pods is 33 %.
    ("a share is rounded for stable's good to the percent", 3, None, 1, 33, 3, 60, (3, 1), Bounds(2, 2), 1),
    ("no more than the step needs", 8, None, 1, 50, 8, 60, (8, 4), Bounds(4, 4), 1),
    ("where there is room nothing is given up", 4, None, 4, 25, 4, 50, (4, 1), Bounds(4, 4), 2),
    # Autoscaled: without weight on the canary, stable's HPA is let loose.
    ("an autoscaler may give up what the step needs", 1, 4, 0, 0, None, 50, (4, 0), Bounds(2, 4), 0),
    ("what it has given up is the canary's", 1, 4, 0, 0, None, 50, (3, 0), Bounds(2, 3), 1),
    ("it never goes below minReplicas", 3, 4, 0, 0, None, 50, (4, 0), Bounds(3, 4), 0),
    ("pods that are to come back come first", 1, 4, 0, 0, 4, 50, (2, 2), Bounds(4, 4), 0),
]


@pytest.mark.parametrize(
    ("low", "high", "surge", "weight", "whole", "to", "have", "stable", "canary"),
    [case[1:] for case in YIELDS],
    ids=[case[0] for case in YIELDS],
)
def test_stable_yields(  # noqa: PLR0917 -- a situation has as many
    low: int,
    high: int | None,
    surge: int,
    weight: int,
    whole: int | None,
    to: int,
    have: tuple[int, int],
    stable: Bounds,
    canary: int,
) -> None:
    state = a_state(canary=B, phase="Preparing", weight=weight, whole=whole)
    situation = Situation(B, {A: pods(have[0]), B: pods(have[1])})
    found = bounds(state, yielding(to, surge=surge), a_scaling(low, high), situation)
    assert found == {A: stable, B: Bounds(canary, canary)}


def decided(state: RolloutState, rollout: RolloutSpec, scaling: ScalingSpec, stable: int, canary: int) -> Decision:
    return step(state, rollout, scaling, Situation(B, {A: pods(stable), B: pods(canary)}), NOW)


def test_a_step_that_waits_for_load_says_so_and_has_no_deadline() -> None:
    blocked = decided(a_state(canary=B, phase="Preparing"), yielding(10, surge=0), a_scaling(1, 4), 4, 0)
    assert (blocked.state.phase, blocked.busy, blocked.obstacle) == ("Blocked", True, False)
    assert blocked.message == (
        "10 % needs 1 canary pod beside 4 stable ones, and scaling.maxReplicas 4 + rollout.surge 0 allow 4: raise"
        " rollout.surge to 1, or wait until stable's load lets its autoscaler give up 1 of 4 pods"
    )
    late = step(blocked.state, yielding(10, surge=0), a_scaling(1, 4), Situation(B, {A: pods(4)}), after(100_000))
    assert (late.state, late.busy) == (blocked.state, True)
    on = decided(blocked.state, yielding(10, surge=0), a_scaling(1, 4), 3, 0)
    assert (on.state.phase, on.busy) == ("Preparing", False)


def test_a_stable_that_wants_a_pod_back_before_the_canary_has_weight_gets_it() -> None:
    state, rollout, scaling = a_state(canary=B, phase="Preparing"), yielding(10, surge=0), a_scaling(1, 4)
    situation = Situation(B, {A: pods(3), B: pods(1)}, pressed=True)
    assert bounds(state, rollout, scaling, situation) == {A: Bounds(4, 4), B: Bounds(0, 0)}
    weighted = replace(state, weight=33, whole=3)
    assert bounds(weighted, yielding(33, surge=0), scaling, situation) == {A: Bounds(3, 3), B: Bounds(1, 1)}


def test_a_fixed_service_without_surge_says_what_to_raise() -> None:
    found = decided(a_state(canary=B, phase="Preparing"), yielding(10, surge=0), a_scaling(4), 4, 0)
    assert (found.state.phase, found.obstacle) == ("Blocked", True)
    assert found.message == (
        "10 % needs 1 canary pod beside 4 stable ones, and scaling.maxReplicas 4 + rollout.surge 0 allow 4: raise"
        " rollout.surge to 1; stable keeps scaling.minReplicas 4"
    )


def test_without_a_number_the_surge_of_a_stable_that_yields_is_one() -> None:
    found = decided(a_state(canary=B, phase="Preparing"), yielding(50), a_scaling(4), 4, 0)
    assert (found.state.phase, found.message) == ("Preparing", f"{B} has 0 of 2 pods that 50 % need")


def test_the_weight_climbs_to_what_ready_pods_carry() -> None:
    found = decided(a_state(canary=B, phase="Preparing"), yielding(50), a_scaling(4), 4, 1)
    assert (found.state.phase, found.state.weight, found.state.whole) == ("Preparing", 25, 4)
    assert found.message == f"{B} gets 25 % of requests, as its pods carry"


def test_no_weight_climbs_where_the_canary_finds_room() -> None:
    found = decided(a_state(canary=B, phase="Preparing"), yielding(50, surge=2), a_scaling(4), 4, 1)
    assert (found.state.weight, found.message) == (0, f"{B} has 1 of 2 pods that 50 % need")


def test_an_abort_gives_stable_its_pods_back_at_once() -> None:
    state = a_state(canary=B, phase="Progressing", weight=50, whole=4)
    sees = {A: pods(2), B: pods(2)}
    rollout, scaling = yielding(50, surge=0), a_scaling(1, 4)
    found = step(state, rollout, scaling, Situation(B, sees, a_request("Abort")), NOW).state
    assert (found.phase, found.whole) == ("Aborted", 4)
    assert bounds(found, rollout, scaling, Situation(B, sees)) == {A: Bounds(4, 4)}
    back = step(found, rollout, scaling, Situation(B, {A: pods(4)}), after(60)).state
    assert back.whole is None
    assert bounds(back, rollout, scaling, Situation(B, {A: pods(4)})) == {A: Bounds(1, 4)}


def test_a_spec_that_stops_yielding_gives_stable_its_pods_back() -> None:
    state = a_state(canary=B, phase="Progressing", weight=50, whole=4)
    situation = Situation(B, {A: pods(2), B: pods(2)})
    assert bounds(state, a_rollout(50), a_scaling(1, 4), situation)[A] == Bounds(4, 4)


@dataclass
class Cluster:
    """Stable and canary, each with the pods that its bounds, and an autoscaler that knows its load, give it."""

    rollout: RolloutSpec
    scaling: ScalingSpec
    load: int
    """Pods that all requests need."""
    gpus: tuple[int, int] = (1, 1)
    state: RolloutState = field(default_factory=lambda: a_state(canary=B, phase="Preparing"))
    have: dict[str, int] = field(default_factory=dict)
    seconds: int = 0
    lost: bool = False
    decision: Decision | None = None
    pressed: bool = False
    """Whether stable's autoscaler would have more pods than it may."""

    def __post_init__(self) -> None:
        self.have = {A: min(max(self.load, self.scaling.min_replicas), self.most), B: 0}

    @property
    def most(self) -> int:
        return self.scaling.max_replicas or self.scaling.min_replicas

    @property
    def held(self) -> int:
        return self.have[A] * self.gpus[0] + self.have[B] * self.gpus[1]

    def needs(self, name: str) -> int:
        # Autoscalers tolerate some percent; here one.
        share = {self.state.stable: 99 - self.state.weight, self.state.canary: self.state.weight}.get(name, 0)
        return -(-self.load * share // 100)

    def passes(self) -> None:
        """A pass, and what Deployments and autoscalers make of it."""
        self.seconds += 60
        routable = {A: True, B: not self.lost}
        seen = {name: Seen(count, count, routable[name]) for name, count in self.have.items()}
        gpus = dict(zip((A, B), self.gpus, strict=True))
        situation = Situation(B, seen, analysis=an_analysis(), gpus=gpus, pressed=self.pressed)
        self.decision = step(self.state, self.rollout, self.scaling, situation, after(self.seconds))
        self.state = self.decision.state
        for name, limits in bounds(self.state, self.rollout, self.scaling, situation).items():
            chosen = min(max(self.needs(name), limits.low), limits.high)
            self.pressed = self.needs(name) > limits.high if name == self.state.stable else self.pressed
            self.have[name] = chosen if self.most > self.scaling.min_replicas else limits.low

    @property
    def enough(self) -> bool:
        """Whether stable's pods carry its requests, to the percent."""
        return 100 * self.have[A] >= self.load * (99 - self.state.weight)


@given(low=st.integers(1, 3), most=st.integers(4, 8), loads=st.lists(st.integers(1, 8), min_size=1, max_size=12))
def test_a_load_that_rises_before_the_canary_has_weight_gets_all_of_max_replicas(
    low: int, most: int, loads: list[int]
) -> None:
    found = Cluster(yielding(0, surge=0, hold="24h"), a_scaling(low, most), 1)
    for load in loads:
        found.load = min(load, most)
        for _ in range(most + 2):
            found.passes()
            assert found.held <= most
        assert found.state.weight == 0
        assert found.enough


steps = st.lists(st.sampled_from([1, 5, 10, 25, 33, 50, 75, 90]), min_size=1, max_size=4, unique=True).map(sorted)
sizes = st.tuples(st.integers(1, 12), st.integers(0, 8), st.integers(1, 12))


@given(weights=steps, size=sizes, surge=st.integers(0, 3), gpus=st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_no_more_is_held_than_allowed_and_stable_always_carries_its_requests(
    weights: list[int], size: tuple[int, int, int], surge: int, gpus: tuple[int, int]
) -> None:
    low, more, load = size
    scaling = a_scaling(low, low + more)
    found = Cluster(yielding(*weights, surge_gpus=surge), scaling, min(load, low + more), gpus)
    for _ in range(120):
        found.passes()
        if found.state.stable == B:
            assert found.have[B] >= found.load
            return
        assert found.held <= found.most * gpus[0] + surge
        assert found.enough
    assert found.state.phase in ("Blocked", "Promoting")
    assert found.decision is not None
    assert found.decision.obstacle or found.decision.busy


@given(weights=steps, size=sizes)
def test_one_pod_more_than_the_load_needs_is_enough_for_every_rollout(
    weights: list[int], size: tuple[int, int, int]
) -> None:
    low, more, load = size
    load = min(load, low + more)
    surge = 1 if max(load, low) == low + more else 0
    found = Cluster(yielding(*weights, surge=surge), a_scaling(low, low + more), load)
    for _ in range(200):
        found.passes()
        if found.state.stable == B:
            return
    raise AssertionError(f"it stays at {found.state} with {found.have}: {found.decision}")


@given(weights=steps, size=sizes, passes=st.integers(1, 60), aborted=st.booleans())
def test_whatever_takes_the_canarys_requests_brings_stables_pods_back(
    weights: list[int], size: tuple[int, int, int], passes: int, aborted: bool
) -> None:
    low, more, load = size
    found = Cluster(yielding(*weights), a_scaling(low, low + more), min(load, low + more))
    for _ in range(passes):
        found.passes()
    if found.state.stable == B:
        return
    if aborted:
        request = a_request("Abort")
        seen = {name: pods(count) for name, count in found.have.items()}
        now = after(found.seconds)
        found.state = step(found.state, found.rollout, found.scaling, Situation(B, seen, request), now).state
        assert found.state.canary is None
    else:
        found.lost = True
    for _ in range(3):
        found.passes()
    assert found.state.weight == 0
    assert found.have[A] >= max(found.load, low)
    assert found.have[A] + found.have[B] <= found.most + 1 or aborted
    assert found.state.whole is None
