"""What becomes of requests, each answered once."""

from dataclasses import replace

import pytest

from tidegate_operator.api.status import Request
from tidegate_operator.rollout.machine import step
from tidegate_operator.rollout.state import RolloutState, Situation

from .builders import A, B, C, a_request, a_rollout, a_scaling, a_state, after, pods

AT_10 = a_state(canary=B, weight=10, phase="Progressing")
BOTH = {A: pods(1), B: pods(1)}

REFUSED = {
    "there is no canary; stable is churn-aaaaaaaa": (a_state(), a_request(), A),
    "churn-cccccccc is not the canary: that is churn-bbbbbbbb": (AT_10, a_request(revision=C), B),
    "step 1 is not the current one: that is 0": (AT_10, a_request(step=1), B),
    "churn-bbbbbbbb is being promoted already": (
        a_state(canary=B, weight=50, step=1, phase="Promoting"),
        a_request(),
        B,
    ),
    "step 0 is not under way: churn-bbbbbbbb is not ready for its weight": (
        a_state(canary=B, phase="Preparing"),
        a_request(),
        B,
    ),
}


@pytest.mark.parametrize(("state", "request_", "target"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_request_says_why_and_changes_nothing_else(
    state: RolloutState, request_: Request, target: str, request: pytest.FixtureRequest
) -> None:
    with_request = step(state, a_rollout(), a_scaling(), Situation(target, BOTH, request_), after(1)).state
    without = step(state, a_rollout(), a_scaling(), Situation(target, BOTH), after(1)).state
    answered = with_request.answered
    assert answered is not None
    assert not answered.accepted
    assert answered.message == request.node.callspec.id
    assert answered.time == after(1)
    assert replace(with_request, answered=None) == without


ACCEPTED = {
    "churn-bbbbbbbb goes on to step 1": (AT_10, a_request(step=0)),
    "churn-bbbbbbbb is promoted": (a_state(canary=B, weight=50, step=1, phase="AwaitingApproval"), a_request()),
    "churn-bbbbbbbb gets no more requests": (AT_10, a_request("Abort")),
}


@pytest.mark.parametrize(("state", "request_"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_an_accepted_request_says_what_was_done(
    state: RolloutState, request_: Request, request: pytest.FixtureRequest
) -> None:
    answered = step(state, a_rollout(), a_scaling(), Situation(B, BOTH, request_), after(1)).state.answered
    assert answered is not None
    assert answered.accepted
    assert answered.message == request.node.callspec.id


def test_an_answered_request_is_not_carried_out_again() -> None:
    asked = Situation(B, BOTH, a_request())
    first = step(AT_10, a_rollout(), a_scaling(), asked, after(1)).state
    at_50 = step(first, a_rollout(), a_scaling(), asked, after(2)).state
    later = step(at_50, a_rollout(), a_scaling(), asked, after(3)).state
    assert (at_50.weight, at_50.step) == (50, 1)
    assert later == at_50


def test_a_promotion_asked_of_a_lost_canary_is_refused_and_takes_its_weight() -> None:
    sees = {A: pods(1), B: pods(0)}
    found = step(AT_10, a_rollout(), a_scaling(), Situation(B, sees, a_request()), after(1)).state
    assert found.weight == 0
    assert found.answered is not None
    assert not found.answered.accepted


def test_a_promotion_asked_while_the_spec_moves_on_is_refused_by_the_new_canarys_name() -> None:
    asked = Situation(C, BOTH, a_request())
    superseded = step(AT_10, a_rollout(), a_scaling(), asked, after(1)).state
    found = step(superseded, a_rollout(), a_scaling(), asked, after(1)).state
    assert superseded.weight == 0
    assert found.answered is not None
    assert found.answered.message == "churn-bbbbbbbb is not the canary: that is churn-cccccccc"


def test_a_request_with_another_id_is_another_request() -> None:
    first = step(AT_10, a_rollout(), a_scaling(), Situation(B, BOTH, a_request(step=5)), after(1)).state
    again = step(first, a_rollout(), a_scaling(), Situation(B, BOTH, a_request(number="2")), after(2)).state
    assert again.answered is not None
    assert (again.answered.id, again.answered.accepted) == ("2", True)
