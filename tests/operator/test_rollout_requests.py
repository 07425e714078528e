"""What becomes of requests, each answered once."""

from dataclasses import dataclass, field, replace

import pytest

from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.api.status import Request
from tidegate_operator.rollout.machine import step
from tidegate_operator.rollout.state import RolloutState, Situation

from .builders import A, B, C, a_request, a_rollout, a_scaling, a_state, after, pods

AT_10 = a_state(canary=B, weight=10, phase="Progressing")
BOTH = {A: pods(1), B: pods(1)}

PAUSED = a_state(canary=B, weight=10, phase="Paused", paused=True)
PROMOTING = a_state(canary=B, weight=50, step=1, phase="Promoting")
ROLLING_BACK = a_state(stable=B, canary=A, phase="RollingBack", rejected=("bbbbbbbb",))
GIVEN_UP = a_state(phase="Aborted", rejected=("bbbbbbbb",))
HELD_BY_SPEC = a_rollout(paused=True)


@dataclass(frozen=True)
class Asked:
    state: RolloutState
    request: Request
    target: str = B
    rollout: RolloutSpec = field(default_factory=a_rollout)
    kept: frozenset[str] = frozenset({A, B})
    update: str | None = None

    def decide(self, *, asked: bool = True) -> RolloutState:
        request = self.request if asked else None
        situation = Situation(self.target, BOTH, request, kept=self.kept, update=self.update)
        return step(self.state, self.rollout, a_scaling(), situation, after(1)).state


REFUSED = {
    "there is no canary; stable is churn-aaaaaaaa": Asked(a_state(), a_request(), A),
    "churn-cccccccc is not the canary: that is churn-bbbbbbbb": Asked(AT_10, a_request(revision=C)),
    "step 1 is not the current one: that is 0": Asked(AT_10, a_request(step=1)),
    "churn-bbbbbbbb is being promoted already": Asked(PROMOTING, a_request()),
    "step 0 is not under way: churn-bbbbbbbb is not ready for its weight": Asked(
        a_state(canary=B, phase="Preparing"), a_request()
    ),
    "spec.rollout.paused holds the canary: set it to false first": Asked(AT_10, a_request(), rollout=HELD_BY_SPEC),
    "churn-aaaaaaaa is being rolled back to, which needs no approval": Asked(ROLLING_BACK, a_request(revision=A)),
    "churn-bbbbbbbb is paused already": Asked(PAUSED, a_request("Pause")),
    "a rollback isn't paused: an Abort ends it": Asked(ROLLING_BACK, a_request("Pause", A)),
    "churn-bbbbbbbb is not paused": Asked(AT_10, a_request("Resume")),
    "spec.rollout.paused holds the canary: set it to false": Asked(
        a_state(canary=B, weight=10, phase="Paused"), a_request("Resume"), rollout=HELD_BY_SPEC
    ),
    "no revision has served yet": Asked(a_state(phase="Initial"), a_request("Rollback", B), A),
    "churn-aaaaaaaa is stable already; an Abort ends a rollout": Asked(AT_10, a_request("Rollback", A)),
    "churn-bbbbbbbb is the canary: promote it": Asked(AT_10, a_request("Rollback")),
    "churn-aaaaaaaa is being rolled back to already": Asked(ROLLING_BACK, a_request("Rollback", A)),
    "churn-cccccccc is no revision that is kept; kept are: churn-bbbbbbbb": Asked(
        a_state(), a_request("Rollback", C), A
    ),
    "churn-bbbbbbbb is on its way: wait for its end, or abort it": Asked(AT_10, a_request("Update", A), update=C),
    "churn-bbbbbbbb is not stable: that is churn-aaaaaaaa": Asked(a_state(), a_request("Update"), A, update=C),
    "the spec asks for churn-bbbbbbbb: Retry it, or bring the spec back to churn-aaaaaaaa": Asked(
        GIVEN_UP, a_request("Update", A), update=C
    ),
    "churn-aaaaaaaa has not served yet: an edit of the spec replaces it at once": Asked(
        a_state(phase="Initial"), a_request("Update", A), A, update=C
    ),
    "churn-aaaaaaaa is up to date": Asked(a_state(), a_request("Update", A), A),
    "churn-aaaaaaaa is not what the spec asks for: that is churn-bbbbbbbb": Asked(GIVEN_UP, a_request("Retry", A)),
    "churn-bbbbbbbb was not given up": Asked(AT_10, a_request("Retry")),
}


@pytest.mark.parametrize("asked", REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_request_says_why_and_changes_nothing_else(asked: Asked, request: pytest.FixtureRequest) -> None:
    with_request, without = asked.decide(), asked.decide(asked=False)
    answered = with_request.answered
    assert answered is not None
    assert not answered.accepted
    assert answered.message == request.node.callspec.id
    assert answered.time == after(1)
    assert replace(with_request, answered=None) == without


ACCEPTED = {
    "churn-bbbbbbbb goes on to step 1": Asked(AT_10, a_request(step=0)),
    "churn-bbbbbbbb is promoted": Asked(a_state(canary=B, weight=50, step=1, phase="AwaitingApproval"), a_request()),
    "churn-bbbbbbbb gets no more requests": Asked(AT_10, a_request("Abort")),
    "churn-bbbbbbbb stays at 10 %": Asked(AT_10, a_request("Pause")),
    "churn-bbbbbbbb goes on": Asked(PAUSED, a_request("Resume")),
    "churn-bbbbbbbb is prepared to serve all requests again, in place of churn-aaaaaaaa": Asked(
        a_state(), a_request("Rollback"), A
    ),
    "churn-cccccccc is what this release makes of churn-aaaaaaaa; it is the canary": Asked(
        a_state(), a_request("Update", A), A, update=C
    ),
    "churn-bbbbbbbb is tried again": Asked(GIVEN_UP, a_request("Retry")),
}


@pytest.mark.parametrize("asked", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_an_accepted_request_says_what_is_done(asked: Asked, request: pytest.FixtureRequest) -> None:
    answered = asked.decide().answered
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
