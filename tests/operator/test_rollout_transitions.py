"""Each transition of the rollout's state machine, as a sentence, with what it leads to worked out by hand."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import pytest

from tidegate_operator.api.analysis_status import AnalysisStatus
from tidegate_operator.api.query_spec import QuerySpec
from tidegate_operator.api.rollout_spec import AnalysisSpec, RolloutSpec, ShadowSpec, StepSpec
from tidegate_operator.api.scaling_spec import ScalingSpec
from tidegate_operator.api.status import Request
from tidegate_operator.rollout.machine import step
from tidegate_operator.rollout.state import Retiring, RolloutState, Seen, Situation

from .builders import NOW, A, B, C, a_request, a_rollout, a_scaling, a_state, after, an_analysis, pods


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
    analysis: AnalysisStatus | None = field(default_factory=an_analysis)
    kept: frozenset[str] = frozenset({A, B, C})
    update: str | None = None


BOTH = {A: pods(1), B: pods(1)}
LOST = {A: pods(1), B: pods(0, wanted=1)}
AT_10 = a_state(canary=B, weight=10, phase="Progressing")
PREPARING = a_state(canary=B, phase="Preparing")
AT_50 = a_state(canary=B, weight=50, step=1, phase="Progressing")
PROMOTING = a_state(canary=B, weight=50, step=1, phase="Promoting")
PAUSED = a_state(canary=B, weight=10, phase="Paused", paused=True)
ROLLING_BACK = a_state(stable=B, canary=A, phase="RollingBack", reason="RolledBack", rejected=("bbbbbbbb",))
TOO_FEW = an_analysis("Inconclusive", "TooFewRequests")
TOO_FEW_COPIES = an_analysis("Inconclusive", "TooFewCopies")
AT_0 = a_state(canary=B, phase="Progressing")
SHADOWED = a_rollout(0, 50, shadow=ShadowSpec(percent=20))
FAILED = an_analysis("Fail", "ErrorsIncreased", "6 of 100 requests failed")
ABORTED = a_state(phase="Aborted", rejected=("bbbbbbbb",))


def without_data(then: Literal["Hold", "Pass", "Fail"]) -> RolloutSpec:
    return a_rollout(analysis=AnalysisSpec(on_no_data=then))


QUERIED = a_rollout(
    analysis=AnalysisSpec(on_no_data="Pass", queries=[QuerySpec(name="refunds", query="refunds", max=0.05)])
)

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
    "a step whose canary was given too few requests waits for more": Case(
        AT_10, BOTH, {"phase": "Progressing", "step": 0}, at=after(60), analysis=TOO_FEW
    ),
    "a step of which nothing could be read waits": Case(
        AT_10, BOTH, {"phase": "Progressing", "step": 0}, at=after(60), analysis=None
    ),
    "a step without data goes on where the spec says so": Case(
        AT_10, BOTH, {"phase": "Preparing", "step": 1}, at=after(60), analysis=TOO_FEW, rollout=without_data("Pass")
    ),
    "a step without data ends the canary where the spec says so": Case(
        AT_10,
        BOTH,
        {"phase": "Aborted", "canary": None, "weight": 0, "reason": "NoData", "rejected": ("bbbbbbbb",)},
        at=after(60),
        analysis=TOO_FEW,
        rollout=without_data("Fail"),
    ),
    "a step whose query isn't settled waits, whatever too few requests would lead to": Case(
        AT_10,
        BOTH,
        {"phase": "Progressing", "step": 0},
        at=after(60),
        analysis=an_analysis("Inconclusive", "QueryUnanswered"),
        rollout=without_data("Pass"),
    ),
    "a step whose query was never asked waits, whatever too few requests would lead to": Case(
        AT_10, BOTH, {"phase": "Progressing", "step": 0}, at=after(60), analysis=None, rollout=QUERIED
    ),
    "a query that isn't settled is waited for until the deadline": Case(
        AT_10,
        BOTH,
        {"phase": "Aborted", "canary": None, "reason": "ProgressDeadlineExceeded"},
        at=after(60 + 3600),
        analysis=an_analysis("Inconclusive", "QueryUnanswered"),
        rollout=without_data("Pass"),
    ),
    "a step without data is waited for until the deadline": Case(
        AT_10,
        BOTH,
        {"phase": "Aborted", "canary": None, "reason": "ProgressDeadlineExceeded"},
        at=after(60 + 3600),
        analysis=TOO_FEW,
    ),
    "evidence against a canary ends it at once": Case(
        AT_10,
        BOTH,
        {
            "phase": "Aborted",
            "canary": None,
            "weight": 0,
            "reason": "ErrorsIncreased",
            "analysis": FAILED,
            "rejected": ("bbbbbbbb",),
            "retiring": (Retiring(B, after(31)),),
        },
        at=after(1),
        analysis=FAILED,
    ),
    "evidence against a canary comes before its approval": Case(
        AT_10, BOTH, {"phase": "Aborted", "weight": 0}, request=a_request(), analysis=FAILED
    ),
    "evidence against a canary ends it while the next step is prepared": Case(
        a_state(canary=B, weight=10, step=1, phase="Preparing"), BOTH, {"phase": "Aborted"}, analysis=FAILED
    ),
    "evidence against a canary ends it though it is paused": Case(
        PAUSED, BOTH, {"phase": "Aborted", "weight": 0}, analysis=FAILED
    ),
    "evidence against a canary ends it while it is promoted": Case(
        PROMOTING, BOTH, {"phase": "Aborted", "stable": A}, analysis=FAILED
    ),
    "a canary whose pods ended is given up, though it has lost its weight": Case(
        PREPARING, LOST, {"phase": "Aborted", "canary": None}, analysis=FAILED
    ),
    "a step with a manual hold of its own waits for approval": Case(
        AT_10,
        BOTH,
        {"phase": "AwaitingApproval"},
        at=after(60),
        rollout=RolloutSpec(steps=[StepSpec(weight=10, hold="60s", approval="Manual")]),
    ),
    "a step that is approved by itself goes on in a manual rollout": Case(
        AT_10,
        BOTH,
        {"phase": "Preparing", "step": 1},
        at=after(60),
        rollout=RolloutSpec(
            steps=[StepSpec(weight=10, hold="60s", approval="Automatic"), StepSpec(weight=50)], approval="Manual"
        ),
    ),
    "a canary without weight passes its step without evidence": Case(
        a_state(canary=B, phase="Progressing"),
        BOTH,
        {"phase": "Promoting", "weight": 0},
        at=after(60),
        rollout=a_rollout(0),
        analysis=None,
    ),
    "a canary that answers copies waits for enough of them": Case(
        AT_0,
        BOTH,
        {"phase": "Progressing", "weight": 0, "analysis": TOO_FEW_COPIES},
        at=after(60),
        rollout=SHADOWED,
        analysis=TOO_FEW_COPIES,
    ),
    "a canary of whose copies nothing could be read waits": Case(
        AT_0, BOTH, {"phase": "Progressing", "weight": 0}, at=after(60), rollout=SHADOWED, analysis=None
    ),
    "a canary that answers copies as stable does goes on": Case(
        AT_0,
        BOTH,
        {"phase": "Preparing", "weight": 0, "step": 1, "analysis": None},
        at=after(60),
        rollout=SHADOWED,
        analysis=an_analysis("Pass", "AnswersAlike"),
    ),
    "a canary whose answers to copies differ is given up": Case(
        AT_0,
        BOTH,
        {"phase": "Aborted", "canary": None, "reason": "AnswersDiverged", "rejected": ("bbbbbbbb",)},
        at=after(5),
        rollout=SHADOWED,
        analysis=an_analysis("Fail", "AnswersDiverged"),
    ),
    "a canary that copies speak against is given up though a person is asked": Case(
        a_state(canary=B, phase="AwaitingApproval"),
        BOTH,
        {"phase": "Aborted", "canary": None, "reason": "CopiesFailed"},
        at=after(90),
        rollout=a_rollout(0, 50, approval="Manual", shadow=ShadowSpec(percent=20)),
        analysis=an_analysis("Fail", "CopiesFailed"),
    ),
    "a canary without copies to compare goes on where the spec says so": Case(
        AT_0,
        BOTH,
        {"phase": "Preparing", "step": 1},
        at=after(60),
        rollout=a_rollout(0, 50, shadow=ShadowSpec(percent=20), analysis=AnalysisSpec(on_no_data="Pass")),
        analysis=TOO_FEW_COPIES,
    ),
    "a person may let a canary go on without copies": Case(
        AT_0,
        BOTH,
        {"phase": "Preparing", "step": 1},
        rollout=SHADOWED,
        request=a_request("Promote"),
        analysis=TOO_FEW_COPIES,
    ),
    "blue-green: the new revision takes all requests in one step": Case(
        a_state(canary=B, phase="Promoting"),
        BOTH,
        {"stable": B, "canary": None, "phase": "Stable", "previous": A},
        rollout=a_rollout(0),
    ),
    "a canary that isn't ready within the deadline is given up": Case(
        PREPARING,
        LOST,
        {"phase": "Aborted", "canary": None, "reason": "ProgressDeadlineExceeded"},
        at=after(3600),
    ),
    "a pause by request keeps the weight": Case(
        AT_10, BOTH, {"phase": "Paused", "paused": True, "weight": 10}, request=a_request("Pause")
    ),
    "a pause by the spec keeps the weight": Case(
        AT_10, BOTH, {"phase": "Paused", "paused": False, "weight": 10}, rollout=a_rollout(paused=True)
    ),
    "a canary that is prepared gets no weight while it is paused": Case(
        PREPARING, BOTH, {"phase": "Paused", "weight": 0}, rollout=a_rollout(paused=True)
    ),
    "a paused canary has no deadline": Case(
        a_state(canary=B, phase="Paused", paused=True), LOST, {"phase": "Paused"}, at=after(7200)
    ),
    "a paused canary that lost its pods loses its weight": Case(PAUSED, LOST, {"weight": 0, "phase": "Preparing"}),
    "a promotion that is paused while its steps change keeps no more than these allow": Case(
        PROMOTING, BOTH, {"phase": "Paused", "weight": 10, "step": 0}, rollout=a_rollout(10, paused=True)
    ),
    "a promotion is paused, too": Case(
        PROMOTING, BOTH, {"phase": "Paused", "stable": A, "weight": 50}, request=a_request("Pause")
    ),
    "a resumed canary's step is held anew": Case(
        PAUSED,
        BOTH,
        {"phase": "Preparing", "paused": False, "weight": 10, "step": 0, "since": after(99), "analysis": None},
        at=after(99),
        request=a_request("Resume"),
    ),
    "a canary that the spec doesn't pause any more goes on": Case(
        a_state(canary=B, weight=10, phase="Paused"), BOTH, {"phase": "Preparing", "weight": 10}
    ),
    "a paused canary is promoted by request": Case(
        PAUSED, BOTH, {"phase": "Preparing", "paused": False, "step": 1, "weight": 10}, request=a_request()
    ),
    "another canary isn't paused by the request for the one before": Case(
        PAUSED, BOTH, {"canary": C, "paused": False, "phase": "Preparing"}, target=C
    ),
    "a promotion by request may skip the steps that are left": Case(
        AT_10, BOTH, {"phase": "Promoting", "weight": 10}, request=a_request(full=True)
    ),
    "a step beyond the surge is blocked, without a deadline": Case(
        a_state(canary=B, weight=10, step=1, phase="Blocked"),
        {A: pods(4), B: pods(1)},
        {"phase": "Blocked", "weight": 10},
        rollout=a_rollout(surge=1),
        scaling=a_scaling(4),
        at=after(7200),
    ),
    "a blocked step goes on when the surge is raised, with all of its deadline": Case(
        a_state(canary=B, weight=10, step=1, phase="Blocked"),
        {A: pods(4), B: pods(1)},
        {"phase": "Preparing", "since": after(7200)},
        rollout=a_rollout(surge=2),
        scaling=a_scaling(4),
        at=after(7200),
    ),
    "a step that finds no room waits for stable's load, without a deadline": Case(
        a_state(canary=B, phase="Blocked"),
        {A: pods(4)},
        {"phase": "Blocked", "weight": 0},
        rollout=a_rollout(surge=0, when_full="Yield"),
        scaling=a_scaling(1, 4),
        at=after(7200),
    ),
    "a step goes on when stable has given up a pod, with all of its deadline": Case(
        a_state(canary=B, phase="Blocked"),
        {A: pods(3)},
        {"phase": "Preparing", "since": after(7200)},
        rollout=a_rollout(surge=0, when_full="Yield"),
        scaling=a_scaling(1, 4),
        at=after(7200),
    ),
    "a canary that waits for more of stable's pods gets the weight that its own carry": Case(
        a_state(canary=B, weight=10, step=1, phase="Preparing"),
        {A: pods(4), B: pods(1)},
        {"phase": "Preparing", "weight": 25, "whole": 4},
        rollout=a_rollout(when_full="Yield"),
        scaling=a_scaling(4),
    ),
    "a promotion goes pod by pod where stable yields": Case(
        a_state(canary=B, weight=50, step=1, phase="Promoting", whole=4),
        {A: pods(2), B: pods(3)},
        {"phase": "Promoting", "weight": 75},
        rollout=a_rollout(when_full="Yield"),
        scaling=a_scaling(4),
    ),
    "a promotion that is paused keeps the weight for which stable has given up its pods": Case(
        a_state(canary=B, weight=75, step=1, phase="Promoting", whole=4),
        {A: pods(1), B: pods(4)},
        {"phase": "Promoting", "weight": 75},
        rollout=a_rollout(when_full="Yield", paused=True),
        scaling=a_scaling(4),
    ),
    "a rollback prepares the revision that was stable before": Case(
        a_state(stable=B, previous=A, retiring=(Retiring(A, after(600)),)),
        BOTH,
        {
            "phase": "RollingBack",
            "stable": B,
            "canary": A,
            "weight": 0,
            "retiring": (),
            "rejected": ("bbbbbbbb",),
            "reason": "RolledBack",
        },
        request=a_request("Rollback", A),
    ),
    "a rollback gives the canary up": Case(
        AT_50,
        {**BOTH, C: pods(1)},
        {"phase": "RollingBack", "canary": C, "weight": 0, "rejected": ("aaaaaaaa", "bbbbbbbb")},
        request=a_request("Rollback", C),
    ),
    "a rollback waits for the pods that all requests need": Case(
        ROLLING_BACK, {B: pods(3), A: pods(2)}, {"phase": "RollingBack", "stable": B}, scaling=a_scaling(3)
    ),
    "a rollback isn't bound by the surge": Case(
        ROLLING_BACK, {B: pods(3), A: pods(3)}, {"stable": A}, scaling=a_scaling(3), rollout=a_rollout(surge=0)
    ),
    "a rollback takes what is ready where stable has no pod": Case(
        ROLLING_BACK, {B: pods(0, wanted=3), A: pods(1)}, {"stable": A}, scaling=a_scaling(3)
    ),
    "a rollback waits for neither evidence nor a person": Case(
        ROLLING_BACK,
        BOTH,
        {"stable": A, "canary": None, "phase": "Stable", "previous": B, "retiring": (Retiring(B, after(600)),)},
        analysis=None,
        rollout=a_rollout(approval="Manual", paused=True),
    ),
    "a revision that was rolled back from isn't tried again": Case(
        a_state(reason="RolledBack", rejected=("bbbbbbbb",)),
        BOTH,
        {"stable": A, "canary": None, "phase": "Aborted", "reason": "RolledBack"},
    ),
    "an abort ends a rollback and leaves stable as it was": Case(
        ROLLING_BACK,
        BOTH,
        {"stable": B, "canary": None, "phase": "Stable", "rejected": (), "reason": None},
        request=a_request("Abort", A),
    ),
    "a spec that changes during a rollback waits for its end": Case(
        ROLLING_BACK, {B: pods(1)}, {"phase": "RollingBack", "canary": A}, target=C
    ),
    "a revision that was given up is tried again by request": Case(
        ABORTED, BOTH, {"canary": B, "phase": "Preparing", "rejected": (), "reason": None}, request=a_request("Retry")
    ),
    "what a new release makes of stable is a canary like others": Case(
        a_state(),
        {A: pods(1)},
        {"canary": C, "phase": "Preparing", "stable": A},
        target=A,
        update=C,
        request=a_request("Update", A),
    ),
    "an update that was given up is remembered while stable stays": Case(
        a_state(rejected=("cccccccc",)), {A: pods(1)}, {"rejected": ("cccccccc",)}, target=A, update=C
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
    situation = Situation(case.target, case.sees, case.request, case.analysis, case.kept, case.update)
    found = step(case.state, case.rollout, case.scaling, situation, case.at).state
    assert {name: getattr(found, name) for name in case.leads_to} == case.leads_to


def test_a_held_step_is_looked_at_again_when_its_time_is_over() -> None:
    decision = step(AT_10, a_rollout(), a_scaling(), Situation(B, BOTH), after(20))
    assert decision.look_again == after(60)


def test_a_retiring_revision_is_looked_at_again_when_its_time_is_over() -> None:
    state = a_state(retiring=(Retiring(B, after(9)), Retiring(C, after(8))))
    assert step(state, a_rollout(), a_scaling(), Situation(A, {A: pods(1)}), NOW).look_again == after(8)


def test_every_transition_is_looked_at_again_at_once() -> None:
    situation = Situation(B, BOTH, analysis=an_analysis())
    assert step(AT_10, a_rollout(), a_scaling(), situation, after(60)).look_again == after(60)


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
    assert (decision.state.weight, decision.state.phase) == (10, "Blocked")
    assert decision.message == (
        "50 % needs 2 canary pods beside 4 stable ones, and scaling.maxReplicas 4 + rollout.surge 1 allow 5:"
        " raise rollout.surge to 2"
    )
