"""Each transition of the rollout's state machine, as a sentence, with what it leads to worked out by hand."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.api.scaling_spec import ScalingSpec
from tidegate_operator.api.status import Request
from tidegate_operator.rollout.machine import step
from tidegate_operator.rollout.state import Retiring, RolloutState, Seen, Situation

from .builders import NOW, A, B, C, a_request, a_rollout, a_scaling, a_state, after, pods


@dataclass(frozen=True)
class Case:
    state: RolloutState
    sees: dict[str, Seen]
    leads_to: dict[str, Any]
    target: str = B
    at: datetime = NOW
    rollout: RolloutSpec = field(default_factory=a_rollout)
    scaling: ScalingSpec = field(default_factory=a_scaling)
    request: Request | None = None


BOTH = {A: pods(1), B: pods(1)}
LOST = {A: pods(1), B: pods(0, wanted=1)}
AT_10 = a_state(canary=B, weight=10, phase="Progressing")
PREPARING = a_state(canary=B, phase="Preparing")
AT_50 = a_state(canary=B, weight=50, step=1, phase="Progressing")
PROMOTING = a_state(canary=B, weight=50, step=1, phase="Promoting")
ABORTED = a_state(phase="Aborted", rejected=("bbbbbbbb",))

CASES = {
    "a new service's first revision is stable with all requests": Case(
        RolloutState(since=NOW), {}, {"stable": B, "phase": "Initial", "canary": None, "weight": 0}
    ),
    "a first revision that serves already is stable at once": Case(
        RolloutState(since=NOW), {B: pods(1)}, {"stable": B, "phase": "Stable"}
    ),
    "a first revision is stable once the routers see it": Case(
        a_state(stable=B, phase="Initial"), {B: pods(1)}, {"phase": "Stable", "since": after(5)}, at=after(5)
    ),
    "a first revision that no router sees yet waits": Case(
        a_state(stable=B, phase="Initial"), {B: pods(1, routable=False)}, {"phase": "Initial"}
    ),
    "a first revision waits while no router can be asked": Case(
        a_state(stable=B, phase="Initial"), {B: pods(1, routable=None)}, {"phase": "Initial"}
    ),
    "a first revision that never got ready is replaced at once": Case(
        a_state(phase="Initial"), {A: pods(0, wanted=1)}, {"stable": B, "phase": "Initial", "retiring": ()}
    ),
    "a first revision with ready pods is drained when it is replaced": Case(
        a_state(phase="Initial"),
        {A: pods(1, routable=None)},
        {"stable": B, "retiring": (Retiring(A, after(30)),)},
    ),
    "a changed spec makes a canary without weight": Case(
        a_state(), {A: pods(1)}, {"stable": A, "canary": B, "weight": 0, "step": 0, "phase": "Preparing"}
    ),
    "a canary that was retiring is revived": Case(
        a_state(retiring=(Retiring(B, after(9)), Retiring(C, after(9)))),
        {A: pods(1)},
        {"canary": B, "retiring": (Retiring(C, after(9)),)},
    ),
    "a canary without ready pods gets no weight": Case(PREPARING, LOST, {"weight": 0, "phase": "Preparing"}),
    "a canary that not every router sees gets no weight": Case(
        PREPARING, {A: pods(1), B: pods(1, routable=False)}, {"weight": 0, "phase": "Preparing"}
    ),
    "a canary gets no weight while no router can be asked": Case(
        PREPARING, {A: pods(1), B: pods(1, routable=None)}, {"weight": 0, "phase": "Preparing"}
    ),
    "a serving canary gets the first step's weight": Case(
        PREPARING, BOTH, {"weight": 10, "phase": "Progressing", "since": after(7)}, at=after(7)
    ),
    "a step that needs more pods than are ready keeps the weight before": Case(
        a_state(canary=B, weight=10, step=1, phase="Preparing"),
        {A: pods(4), B: pods(1)},
        {"weight": 10, "phase": "Preparing"},
        scaling=a_scaling(4),
    ),
    "a held step stays until its time is over": Case(AT_10, BOTH, {"weight": 10, "step": 0}, at=after(59)),
    "a step ends when its time is over": Case(
        AT_10, BOTH, {"weight": 10, "step": 1, "phase": "Preparing", "since": after(60)}, at=after(60)
    ),
    "a step that needs approval waits for it": Case(
        AT_10, BOTH, {"phase": "AwaitingApproval", "step": 0}, at=after(60), rollout=a_rollout(approval="Manual")
    ),
    "a longer hold ends the wait for approval": Case(
        a_state(canary=B, weight=10, phase="AwaitingApproval"),
        BOTH,
        {"phase": "Progressing"},
        at=after(60),
        rollout=a_rollout(hold="90s", approval="Manual"),
    ),
    "an approved step ends at once": Case(
        AT_10, BOTH, {"step": 1, "phase": "Preparing"}, rollout=a_rollout(approval="Manual"), request=a_request()
    ),
    "the last step leads to the promotion": Case(AT_50, BOTH, {"phase": "Promoting", "weight": 50}, at=after(60)),
    "a promotion waits for the pods that all requests need": Case(
        PROMOTING, {A: pods(3), B: pods(2)}, {"phase": "Promoting", "stable": A}, scaling=a_scaling(3)
    ),
    "a promotion waits while no router can be asked": Case(
        PROMOTING, {A: pods(1), B: pods(1, routable=None)}, {"phase": "Promoting", "weight": 50}
    ),
    "a promoted canary is stable and the old stable stays warm": Case(
        PROMOTING,
        BOTH,
        {"stable": B, "canary": None, "weight": 0, "phase": "Stable", "retiring": (Retiring(A, after(600)),)},
    ),
    "an old stable is drained even where it isn't to stay warm": Case(
        PROMOTING, BOTH, {"retiring": (Retiring(A, after(30)),)}, rollout=a_rollout(delay="0s")
    ),
    "a canary that lost its pods loses its weight": Case(
        AT_50, LOST, {"weight": 0, "step": 1, "phase": "Preparing"}, at=after(5)
    ),
    "a canary that the routers lost loses its weight": Case(
        AT_50, {A: pods(1), B: pods(1, routable=False)}, {"weight": 0, "phase": "Preparing"}
    ),
    "a canary keeps its weight while no router can be asked": Case(
        AT_50, {A: pods(1), B: pods(1, routable=None)}, {"weight": 50, "phase": "Progressing"}
    ),
    "a canary that is lost while it is promoted loses its weight": Case(
        PROMOTING, LOST, {"weight": 0, "step": 1, "phase": "Preparing"}
    ),
    "a canary that is lost while the next step is prepared loses its weight": Case(
        a_state(canary=B, weight=10, step=1, phase="Preparing"), LOST, {"weight": 0, "step": 1}
    ),
    "a canary that is back gets its step's weight again": Case(
        a_state(canary=B, step=1, phase="Preparing"), BOTH, {"weight": 50, "step": 1, "phase": "Progressing"}
    ),
    "an abort takes the weight at once": Case(
        AT_50,
        BOTH,
        {
            "canary": None,
            "weight": 0,
            "phase": "Aborted",
            "rejected": ("bbbbbbbb",),
            "retiring": (Retiring(B, after(30)),),
        },
        request=a_request("Abort"),
    ),
    "an abort works while the promotion waits for pods": Case(
        PROMOTING, LOST, {"canary": None, "phase": "Aborted"}, request=a_request("Abort")
    ),
    "an aborted revision is not tried again": Case(ABORTED, BOTH, {"canary": None, "phase": "Aborted"}),
    "another revision is tried after an abort": Case(
        ABORTED, BOTH, {"canary": C, "phase": "Preparing", "rejected": ()}, target=C
    ),
    "a spec that is back at stable ends an abort": Case(
        ABORTED, BOTH, {"canary": None, "phase": "Stable", "rejected": ()}, target=A
    ),
    "a spec that is back at stable drops the canary": Case(
        AT_50,
        BOTH,
        {"canary": None, "weight": 0, "phase": "Stable", "retiring": (Retiring(B, after(30)),)},
        target=A,
    ),
    "a third revision replaces the canary, from the first step": Case(
        AT_50,
        BOTH,
        {"canary": C, "weight": 0, "step": 0, "phase": "Preparing", "retiring": (Retiring(B, after(30)),)},
        target=C,
    ),
    "a retired revision is forgotten when its time is over": Case(
        a_state(retiring=(Retiring(B, after(5)), Retiring(C, after(6)))),
        {A: pods(1)},
        {"retiring": (Retiring(C, after(6)),)},
        target=A,
        at=after(5),
    ),
    "fewer steps lead to the last one that is left": Case(
        a_state(canary=B, weight=50, step=2, phase="Progressing"),
        BOTH,
        {"step": 1, "weight": 50, "phase": "Progressing"},
        rollout=a_rollout(10, 50),
    ),
    "a canary that lost its weight is not promoted because steps were dropped": Case(
        a_state(canary=B, weight=0, step=2, phase="Preparing"),
        BOTH,
        {"step": 0, "weight": 90, "phase": "Progressing"},
        rollout=a_rollout(90),
    ),
    "a step that was lowered lowers the weight at once, ready or not": Case(
        AT_50,
        {A: pods(1), B: pods(1, routable=None)},
        {"step": 1, "weight": 20, "phase": "Preparing"},
        rollout=a_rollout(10, 20),
    ),
    "a step that was raised is held anew": Case(
        AT_10,
        BOTH,
        {"weight": 20, "phase": "Progressing", "since": after(60)},
        at=after(60),
        rollout=a_rollout(20, 50),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_step(case: Case) -> None:
    situation = Situation(case.target, case.sees, case.request)
    found = step(case.state, case.rollout, case.scaling, situation, case.at).state
    assert {name: getattr(found, name) for name in case.leads_to} == case.leads_to


def test_a_held_step_is_looked_at_again_when_its_time_is_over() -> None:
    decision = step(AT_10, a_rollout(), a_scaling(), Situation(B, BOTH), after(20))
    assert decision.look_again == after(60)


def test_a_retiring_revision_is_looked_at_again_when_its_time_is_over() -> None:
    state = a_state(retiring=(Retiring(B, after(9)), Retiring(C, after(8))))
    assert step(state, a_rollout(), a_scaling(), Situation(A, {A: pods(1)}), NOW).look_again == after(8)


def test_every_transition_is_looked_at_again_at_once() -> None:
    assert step(AT_10, a_rollout(), a_scaling(), Situation(B, BOTH), after(60)).look_again == after(60)


def test_the_status_has_room_for_every_retiring_revision_that_is_remembered() -> None:
    entries = tuple(Retiring(f"churn-{number:08x}", after(600)) for number in range(20))
    state = a_state(canary=B, phase="Preparing", retiring=entries)
    found = step(state, a_rollout(), a_scaling(), Situation(C, {A: pods(1)}), NOW).state
    assert found.retiring == (*entries[1:], Retiring(B, after(30)))


def test_a_step_beyond_the_surge_holds_and_says_what_to_raise() -> None:
    state = a_state(canary=B, weight=10, step=1, phase="Preparing")
    sees = {A: pods(4), B: pods(1)}
    decision = step(state, a_rollout(surge=1), a_scaling(4), Situation(B, sees), NOW)
    assert decision.obstacle
    assert (decision.state.weight, decision.state.phase) == (10, "Preparing")
    assert decision.message == (
        "50 % needs 2 canary pods beside 4 stable ones, and scaling.maxReplicas 4 + rollout.surge 1 allow 5:"
        " raise rollout.surge to 2"
    )
