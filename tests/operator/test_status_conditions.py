"""Which conditions hold: tables of what was decided and seen, and the rules of kstatus for all of them."""

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.api.status import Condition, InferenceServiceStatus
from tidegate_operator.conditions import Fact, Truth, settle
from tidegate_operator.desired.platform_update import PlatformUpdate
from tidegate_operator.observed import Failure, Scaling, Workload
from tidegate_operator.report import Report
from tidegate_operator.revisions import Revision
from tidegate_operator.rollout.decision import Decision
from tidegate_operator.rollout.state import Retiring, RolloutState, recall
from tidegate_operator.status import Addresses, compute, facts, refused, standing_obstacle

from .builders import NOW, A, B, a_spec, a_state, after, an_analysis

SERVING, EMPTY = Workload(A, 1, 1, settled=True), Workload(A, 1, 0)
CANARY = Workload(B, 1, 1, settled=True)
MISMATCH, NO_NODE = Failure("DigestMismatch", "got 77aa"), Failure("Unschedulable", "no node", passing=True)
NO_IMAGE = Failure("ImagePullBackOff", "back-off 10s", passing=True, retried=True)

ADDRESSES = Addresses("http://u", "http://preview")

STABLE = a_state()
PAUSED = a_state(canary=B, weight=10, phase="Paused", paused=True)
BLOCKED = a_state(canary=B, weight=10, phase="Blocked")
ROLLING_BACK = a_state(stable=B, canary=A, phase="RollingBack", reason="RolledBack")
AT_10 = a_state(canary=B, weight=10, phase="Progressing")
PREPARING = a_state(canary=B, phase="Preparing")
INITIAL = a_state(phase="Initial")
WAITING = a_state(canary=B, weight=10, phase="AwaitingApproval")
ABORTED = a_state(phase="Aborted", rejected=("bbbbbbbb",), reason="ErrorsIncreased")


def a_report(*found: Workload, routable: bool | None = True, obstacle: Failure | None = None) -> Report:
    names = {workload.revision: routable for workload in found if workload.ready}
    return Report({workload.revision: workload for workload in found}, names, obstacle=obstacle)


CASES: dict[str, tuple[RolloutState, Report, dict[str, tuple[str, str]]]] = {
    "a service that serves": (
        STABLE,
        a_report(SERVING),
        {
            "Ready": ("True", "Serving"),
            "Reconciling": ("False", "Settled"),
            "Stalled": ("False", "Progressing"),
            "ModelLoaded": ("True", "Loaded"),
            "TrafficRouted": ("True", "Routed"),
            "RolloutHealthy": ("True", "Stable"),
            "ScalingActive": ("False", "FixedReplicas"),
        },
    ),
    "a new service that loads its model": (
        INITIAL,
        a_report(EMPTY),
        {
            "Ready": ("False", "NoReadyPod"),
            "Reconciling": ("True", "Initial"),
            "Stalled": ("False", "Progressing"),
            "ModelLoaded": ("Unknown", "Loading"),
        },
    ),
    "a new service whose digest is wrong": (
        INITIAL,
        a_report(Workload(A, 1, 0, failure=MISMATCH)),
        {
            "Ready": ("False", "DigestMismatch"),
            "Reconciling": ("False", "DigestMismatch"),
            "Stalled": ("True", "DigestMismatch"),
            "ModelLoaded": ("False", "DigestMismatch"),
        },
    ),
    "a new service that no node takes yet": (
        INITIAL,
        a_report(Workload(A, 1, 0, failure=NO_NODE)),
        {
            "Ready": ("False", "Unschedulable"),
            "Reconciling": ("True", "Initial"),
            "Stalled": ("False", "Progressing"),
            "ModelLoaded": ("Unknown", "Unschedulable"),
        },
    ),
    "a ready service that the routers don't see yet": (
        STABLE,
        a_report(SERVING, routable=False),
        {
            "Ready": ("False", "NotRoutable"),
            "TrafficRouted": ("False", "NotRoutable"),
            "Reconciling": ("True", "Stable"),
        },
    ),
    "a ready service whose routers can't be asked": (
        STABLE,
        a_report(SERVING, routable=None),
        {"Ready": ("Unknown", "RouterUnreachable"), "TrafficRouted": ("Unknown", "RouterUnreachable")},
    ),
    "a stable revision that lost its pods keeps its requests and says so": (
        STABLE,
        a_report(EMPTY),
        {"Ready": ("False", "NoReadyPod"), "TrafficRouted": ("False", "NoReadyPod"), "Reconciling": ("True", "Stable")},
    ),
    "a stable revision that is being scaled": (
        STABLE,
        a_report(Workload(A, 3, 1)),
        {"Ready": ("True", "Serving"), "Reconciling": ("True", "PodsChanging")},
    ),
    "a canary with weight": (
        AT_10,
        a_report(SERVING, CANARY),
        {
            "Ready": ("True", "Serving"),
            "Reconciling": ("True", "Progressing"),
            "RolloutHealthy": ("True", "Progressing"),
        },
    ),
    "a canary that waits for a person": (
        WAITING,
        a_report(SERVING, CANARY),
        {
            "Ready": ("True", "Serving"),
            "Reconciling": ("False", "AwaitingApproval"),
            "Stalled": ("False", "Progressing"),
        },
    ),
    "a paused canary": (
        PAUSED,
        a_report(SERVING, CANARY),
        {"Ready": ("True", "Serving"), "Reconciling": ("False", "Paused"), "RolloutHealthy": ("True", "Paused")},
    ),
    "a rollback": (
        ROLLING_BACK,
        a_report(SERVING, CANARY),
        {"Ready": ("True", "Serving"), "Reconciling": ("True", "RollingBack")},
    ),
    "a release that makes stable as it is": (
        STABLE,
        a_report(SERVING),
        {"PlatformUpdateAvailable": ("False", "UpToDate")},
    ),
    "a release that would make other pods of stable": (
        STABLE,
        replace(a_report(SERVING), update=PlatformUpdate(Revision("churn", "cccccccc", {}), "image: 1 → 2")),
        {"PlatformUpdateAvailable": ("True", "TemplateDiffers"), "Ready": ("True", "Serving")},
    ),
    "a canary whose digest is wrong": (
        PREPARING,
        a_report(SERVING, Workload(B, 1, 0, failure=MISMATCH)),
        {
            "Ready": ("True", "Serving"),
            "Stalled": ("True", "DigestMismatch"),
            "Reconciling": ("False", "DigestMismatch"),
            "ModelLoaded": ("False", "DigestMismatch"),
            "RolloutHealthy": ("False", "DigestMismatch"),
        },
    ),
    "an aborted rollout tells of the model that serves": (
        ABORTED,
        a_report(SERVING),
        {
            "Ready": ("True", "Serving"),
            "RolloutHealthy": ("False", "ErrorsIncreased"),
            "Reconciling": ("False", "Settled"),
            "ModelLoaded": ("True", "Loaded"),
        },
    ),
    "children that can't be made": (
        STABLE,
        a_report(SERVING, obstacle=Failure("NotOwned", "Service churn isn't ours")),
        {"Ready": ("False", "NotOwned"), "Stalled": ("True", "NotOwned"), "Reconciling": ("False", "NotOwned")},
    ),
}


@pytest.mark.parametrize(("state", "report", "expected"), CASES.values(), ids=CASES.keys())
def test_conditions_of(state: RolloutState, report: Report, expected: dict[str, tuple[str, str]]) -> None:
    found = {fact.type: (fact.status, fact.reason) for fact in facts(Decision(state, "what it waits for"), report)}
    assert {name: found[name] for name in expected} == expected


def test_a_step_that_can_not_be_met_stalls() -> None:
    found = facts(Decision(PREPARING, "raise rollout.surge to 2", obstacle=True), a_report(SERVING))
    told = {fact.type: (fact.status, fact.reason, fact.message) for fact in found}
    assert told["Stalled"] == ("True", "CapacityExceeded", "raise rollout.surge to 2")
    assert told["RolloutHealthy"] == ("False", "CapacityExceeded", "raise rollout.surge to 2")
    assert told["Reconciling"][0] == "False"


def test_a_step_that_waits_for_stables_load_is_neither_healthy_nor_stalled() -> None:
    found = facts(Decision(PREPARING, "wait until stable's load falls", busy=True), a_report(SERVING))
    told = {fact.type: (fact.status, fact.reason, fact.message) for fact in found}
    assert told["RolloutHealthy"] == ("Unknown", "StableBusy", "wait until stable's load falls")
    assert told["Stalled"][0] == "False"
    assert told["Reconciling"][0] == "True"


def test_what_an_hpa_says_is_told() -> None:
    report = Report({A: SERVING}, {A: True}, scaling=Scaling("False", "FailedGetPodsMetric", "no metrics"))
    told = {fact.type: (fact.status, fact.reason, fact.message) for fact in facts(Decision(STABLE, ""), report)}
    assert told["ScalingActive"] == ("False", "FailedGetPodsMetric", "no metrics")


failures = st.sampled_from([None, MISMATCH, NO_NODE])


@st.composite
def situations(draw: st.DrawFn) -> tuple[Decision, Report]:
    state = draw(st.sampled_from([STABLE, AT_10, PREPARING, INITIAL, WAITING, PAUSED, BLOCKED, ROLLING_BACK, ABORTED]))
    found = [
        Workload(name, 2, draw(st.integers(0, 2)), settled=draw(st.booleans()), failure=draw(failures))
        for name in (A, B)
    ]
    report = a_report(
        *found, routable=draw(st.sampled_from([True, False, None])), obstacle=draw(st.sampled_from([None, MISMATCH]))
    )
    return Decision(state, "m", obstacle=draw(st.booleans())), report


@given(situations())
def test_the_conditions_follow_the_rules_of_kstatus(situation: tuple[Decision, Report]) -> None:
    found = {fact.type: fact for fact in facts(*situation)}
    assert list(found) == [
        "Ready",
        "Reconciling",
        "Stalled",
        "ModelLoaded",
        "TrafficRouted",
        "RolloutHealthy",
        "ScalingActive",
        "CapacityAvailable",
        "PlatformUpdateAvailable",
    ]
    waiting = situation[0].state.phase in ("AwaitingApproval", "Paused")
    assert not (found["Reconciling"].status == "True" and found["Stalled"].status == "True")
    assert (
        found["Ready"].status == "True" or "True" in (found["Reconciling"].status, found["Stalled"].status) or waiting
    )
    if waiting:
        assert found["Reconciling"].status == "False"
    assert all(fact.reason for fact in found.values())


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    def ready(status: Truth, reason: str, at: datetime, before: list[Condition]) -> list[Condition]:
        return settle(before, [Fact("Ready", status, reason, "m")], 1, at)

    first = ready("False", "NoReadyPod", NOW, [])
    second = ready("False", "DigestMismatch", after(5), first)
    third = ready("True", "Serving", after(9), second)
    assert [found[0].last_transition_time for found in (first, second, third)] == [NOW, NOW, after(9)]


def test_a_long_message_is_cut_to_what_the_crd_takes() -> None:
    (found,) = settle([], [Fact("Ready", "False", "Error", "x" * 9999)], 1, NOW)
    assert len(found.message) == 4096


def test_the_weights_add_up_and_the_memory_comes_back() -> None:
    state = a_state(
        canary=B,
        weight=10,
        step=1,
        phase="Paused",
        paused=True,
        previous="churn-0b77e1d4",
        analysis=an_analysis(),
        retiring=(Retiring("churn-0b77e1d4", after(9)),),
    )
    report = a_report(SERVING, CANARY)
    spec = a_spec(rollout={"steps": [{"weight": 5}, {"weight": 10}]})
    found = compute(InferenceServiceStatus(), spec, Decision(state, "m"), report, ADDRESSES, 7, NOW)
    assert found.stable is not None
    assert found.canary is not None
    assert (found.stable.weight, found.canary.weight) == (90, 10)
    assert (found.stable.observed_weight, found.canary.observed_weight) == (90.0, 10.0)
    assert (found.stable.preview_url, found.canary.preview_url) == (None, "http://preview")
    assert found.rollout is not None
    assert (found.rollout.step, found.rollout.steps) == (1, 2)
    assert recall(InferenceServiceStatus.model_validate(found.dump()), {}, A, NOW) == state


@pytest.mark.parametrize(
    ("failure", "seconds", "loaded", "stalled"),
    [
        (NO_IMAGE, 0, "Unknown", "False"),
        (NO_IMAGE, 599, "Unknown", "False"),
        (NO_IMAGE, 600, "False", "True"),
        (NO_NODE, 600, "Unknown", "False"),
        (MISMATCH, 0, "False", "True"),
    ],
)
def test_an_image_is_waited_for_as_long_as_a_rollout_may_take_to_get_on(
    failure: Failure, seconds: int, loaded: str, stalled: str
) -> None:
    spec, report = a_spec(rollout={"progressDeadline": "10m"}), a_report(Workload(A, 1, 0, failure=failure))
    found = compute(InferenceServiceStatus(), spec, Decision(INITIAL, "m"), report, ADDRESSES, 7, after(seconds))
    told = {condition.type: (condition.status, condition.reason) for condition in found.conditions}
    assert told["ModelLoaded"] == (loaded, failure.reason)
    assert told["Stalled"][0] == stalled
    assert told["Ready"] == ("False", failure.reason)


def test_the_same_decision_makes_the_same_status() -> None:
    first = compute(InferenceServiceStatus(), a_spec(), Decision(AT_10, "m"), a_report(SERVING), ADDRESSES, 7, NOW)
    again = InferenceServiceStatus.model_validate(first.dump())
    assert compute(again, a_spec(), Decision(AT_10, "m"), a_report(SERVING), ADDRESSES, 7, after(99)) == again


def test_a_refused_spec_keeps_what_is_known_of_the_pods() -> None:
    before = compute(InferenceServiceStatus(), a_spec(), Decision(STABLE, "m"), a_report(SERVING), ADDRESSES, 7, NOW)
    found = refused(before, Failure("InvalidSpec", "spec.model.uri: …"), 8, after(1))
    told = {condition.type: (condition.status, condition.observed_generation) for condition in found.conditions}
    assert (told["Ready"], told["Reconciling"], told["Stalled"]) == (("False", 8), ("False", 8), ("True", 8))
    assert told["TrafficRouted"] == ("True", 7)
    assert (found.stable, found.observed_generation) == (before.stable, 8)
    assert refused(found, Failure("InvalidSpec", "spec.model.uri: …"), 8, after(5)) == found


def test_only_an_obstacle_stands_until_it_is_gone() -> None:
    def stalled(reason: str) -> InferenceServiceStatus:
        return InferenceServiceStatus(conditions=settle([], [Fact("Stalled", "True", reason, "m")], 1, NOW))

    assert standing_obstacle(stalled("NotOwned")) == Failure("NotOwned", "m")
    assert standing_obstacle(stalled("DigestMismatch")) is None
    assert standing_obstacle(InferenceServiceStatus()) is None
