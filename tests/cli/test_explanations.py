"""What holds a rollout, told from the objects of a cluster."""

import copy
from datetime import timedelta
from pathlib import Path

import pytest

from explained.cases import CASES, NOW, Situation
from explained.objects import (
    CANARY,
    STABLE,
    Object,
    analysis,
    condition,
    copies,
    deployment,
    lease,
    pod,
    routed,
    service,
    under_way,
)
from explained.page import page
from tidegate_operator.api.rollout_spec import RolloutSpec, StepSpec
from tidegate_operator.api.scaling_spec import ScalingSpec
from tidegate_operator.cli.explanation import Finding, explain
from tidegate_operator.rollout.capacity import canary_need
from tidegate_operator.rollout.state import RolloutState, Seen
from tidegate_operator.rollout.state import Situation as ControllersSituation

RESTART = "kubectl -n tidegate-system rollout restart deployment/tidegate-"
LOGS = "kubectl -n tidegate-system logs --since=10m deployment/tidegate-"
POD = f"{CANARY}-5c9f7-x2x8k"
PROMOTE, RETRY = "kubectl tidegate promote churn -n ml --step 0", "kubectl tidegate retry churn -n ml"
PATCH = "kubectl -n ml patch isv churn --type=merge -p "

# hold, reason, minutes before NOW (None: not known), command
EXPECTED: dict[str, list[tuple[str, str, float | None, str]]] = {
    "A person is waited for": [("gate", "AwaitingApproval", 8, PROMOTE)],
    "The hold isn't over": [("gate", "Holding", 10, PROMOTE)],
    "Paused by request": [("gate", "PausedByRequest", 12, "kubectl tidegate resume churn -n ml")],
    "Paused by the spec": [("gate", "PausedBySpec", 10, PATCH + """'{"spec": {"rollout": {"paused": false}}}'""")],
    "Too few requests": [("sample", "TooFewRequests", 8, PROMOTE)],
    "Too few copies": [("sample", "TooFewCopies", 8, PROMOTE)],
    "Given up by how it answered copies": [("sample", "AnswersDiverged", 12, RETRY)],
    "Prometheus isn't content": [("sample", "QueryUndecided", 8, PROMOTE)],
    "Given up by what Prometheus said": [("sample", "QueryOutOfBounds", 12, RETRY)],
    "The observed share differs": [("route", "ShareDiffers", 10, RESTART + "router")],
    "Pods: the image can't be pulled": [("condition", "ImagePullBackOff", 9, f"kubectl -n ml describe pod {POD}")],
    "Pods: a container crashes": [
        ("condition", "OOMKilled", 9, f"kubectl -n ml logs {POD} --all-containers --previous --tail=50")
    ],
    "Pods: the model isn't the one that was named": [
        ("condition", "DigestMismatch", 9, "kubectl -n ml edit isv churn")
    ],
    "Pods: no GPU is free": [
        (
            *("quota", "Unschedulable", 9 - 2 / 60),
            r"kubectl get nodes -o 'custom-columns=NODE:.metadata.name,"
            r"ALLOCATABLE:.status.allocatable.nvidia\.com/gpu'",
        )
    ],
    "Pods: a quota is used up": [("quota", "PodsRefused", None, "kubectl -n ml describe resourcequota")],
    "Pods: still starting": [("condition", "PodsStarting", 9, f"kubectl -n ml logs {POD} --all-containers --tail=20")],
    "Not every router sees the canary": [("route", "CanaryNotRoutable", 10, LOGS + "router")],
    "Not every pod of stable reaches the canary, with provider Direct": [
        ("route", "CanaryNotRoutable", 10, "kubectl -n ml describe networkpolicy")
    ],
    "Stable can't hand requests over, with provider Direct": [
        ("route", "StableCantHandOver", 10, "kubectl -n ml edit isv churn")
    ],
    "The way that the spec asks for doesn't work yet": [
        ("route", "WayNotWorking", None, "kubectl -n ml get services,endpointslices -l tidegate.dev/service=churn")
    ],
    "The routers can't be asked": [
        ("route", "RouterUnreachable", 10, "kubectl -n tidegate-system rollout status deployment/tidegate-router")
    ],
    "The Gateway doesn't take the route": [
        ("route", "RouteNotAccepted", 10, "kubectl -n ml describe httproute,grpcroute -l tidegate.dev/service=churn")
    ],
    "More pods are needed than allowed": [
        ("quota", "CapacityExceeded", 10, PATCH + """'{"spec": {"rollout": {"surge": 2}}}'""")
    ],
    "Stable is too busy to give pods up": [
        ("quota", "StableBusy", 10, PATCH + """'{"spec": {"rollout": {"surgeGpus": 2}}}'""")
    ],
    "Aborted by request": [("gate", "AbortedByRequest", 12, RETRY)],
    "Aborted by what callers saw": [("sample", "ErrorsIncreased", 12, RETRY)],
    "Aborted at its deadline": [("condition", "ProgressDeadlineExceeded", 12, RETRY)],
    "Rolled back": [("gate", "RolledBack", 12, RETRY)],
    "The spec isn't taken": [("condition", "InvalidSpec", 10, "kubectl -n ml edit isv churn")],
    "A name is taken": [("condition", "NotOwned", 10, "kubectl -n ml delete service/churn")],
    "An object is refused": [("condition", "ChildRefused", 10, "kubectl -n ml describe isv/churn")],
    "Somebody goes on editing an object": [
        (
            "condition",
            "FieldsContested",
            10,
            "kubectl -n ml get deployment/churn-6f3c9d1a -o yaml --show-managed-fields",
        )
    ],
    "The controller isn't running": [
        ("condition", "ControllerNotRunning", 48, RESTART + "controller"),
        ("condition", "ControllerBehind", 21 * 24 * 60 + 120, LOGS + "controller"),
    ],
    "A request isn't answered": [
        ("gate", "RequestUnanswered", 2, LOGS + "controller"),
        ("gate", "AwaitingApproval", 8, PROMOTE),
    ],
    "The autoscaler has no figures": [("condition", "ScalingInactive", 10, f"kubectl -n ml describe hpa {STABLE}")],
    "Nothing holds it": [],
}


def minutes_ago(finding: Finding) -> float | None:
    return None if finding.since is None else (NOW - finding.since) / timedelta(minutes=1)


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_each_way_to_stand_still_is_told_with_the_command_that_moves_it_on(case: Situation) -> None:
    found = explain(case.live, case.children, NOW)
    told = [(finding.hold, finding.reason, minutes_ago(finding), finding.command) for finding in found]
    assert told == [
        (hold, reason, pytest.approx(minutes, abs=0.1) if minutes is not None else None, command)
        for hold, reason, minutes, command in EXPECTED[case.title]
    ]


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_every_finding_rests_on_evidence(case: Situation) -> None:
    assert all(finding.evidence and finding.message for finding in explain(case.live, case.children, NOW))


def test_the_page_is_what_the_command_says_of_the_cases() -> None:
    recorded = (Path(__file__).parents[2] / "docs/explain.md").read_text()
    assert recorded == page(), "docs/explain.md is older than its cases: make pages"


def test_the_recorded_capacity_is_told_in_the_words_of_the_controller() -> None:
    rollout = RolloutSpec(steps=[StepSpec(weight=10), StepSpec(weight=50)], surge=1)
    state = RolloutState(since=NOW, phase="Preparing", stable=STABLE, canary=CANARY, step=1)
    sees = ControllersSituation(CANARY, {STABLE: Seen(3, 3, True)})
    need = canary_need(state, rollout, ScalingSpec(min_replicas=3, max_replicas=3), sees)
    (case,) = [case for case in CASES if case.title == "More pods are needed than allowed"]
    assert case.live["status"]["rollout"]["message"] == need.obstacle


def test_the_recorded_wait_for_load_is_told_in_the_words_of_the_controller() -> None:
    rollout = RolloutSpec(steps=[StepSpec(weight=10)], surge_gpus=0, when_full="Yield")
    state = RolloutState(since=NOW, phase="Preparing", stable=STABLE, canary=CANARY)
    sees = ControllersSituation(CANARY, {STABLE: Seen(3, 3, True)}, gpus={STABLE: 2, CANARY: 2})
    need = canary_need(state, rollout, ScalingSpec(min_replicas=1, max_replicas=3), sees)
    (case,) = [case for case in CASES if case.title == "Stable is too busy to give pods up"]
    assert case.live["status"]["rollout"]["message"] == need.busy


def reasons(live: Object, *children: Object) -> list[str]:
    return [finding.reason for finding in explain(live, children, NOW)]


def test_a_spec_written_this_moment_is_not_taken_for_a_controller_that_is_behind() -> None:
    fields = [{"manager": "kubectl", "time": "2026-11-22T09:59:50Z", "fieldsV1": {"f:spec": {"f:model": {}}}}]
    assert reasons(service(status={"observedGeneration": 6}, fields=fields)) == []
    fields[0]["time"] = "2026-11-22T09:59:20Z"
    assert reasons(service(status={"observedGeneration": 6}, fields=fields)) == ["ControllerBehind"]


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (lease(), []),
        (lease(renewed="2026-11-22T09:58:50.000000Z"), []),
        (lease(renewed="2026-11-22T09:58:40.000000Z"), ["ControllerNotRunning"]),
        (lease(holder=""), ["ControllerNotRunning"]),
    ],
    ids=["renewed", "within the clocks' difference", "run out", "given up"],
)
def test_a_lease_that_ran_out_or_was_given_up_tells_that_nobody_leads(held: Object, expected: list[str]) -> None:
    assert reasons(service(), held) == expected


def test_routers_that_have_an_older_share_are_told_though_the_hold_is_not_over() -> None:
    steps = {"rollout": {"steps": [{"weight": 10, "hold": "1h"}]}}
    told = analysis(
        "Inconclusive", "RoutesDiffer", "requests are not shared 90 to 10 everywhere yet", (500, 0), (4500, 0)
    )
    assert reasons(service(spec=steps, status=under_way("Progressing", analysis=told))) == ["Holding", "RoutesDiffer"]


def test_who_has_another_share_depends_on_the_way_of_routing() -> None:
    told = analysis("Inconclusive", "ShareDiffers", "seen otherwise", (500, 0), (4500, 0))
    status = under_way("Progressing", analysis=told)
    routing = {"routing": {"provider": "Direct", "weights": "Exact"}}
    (finding,) = [each for each in explain(service(status=status | routing), (), NOW) if each.reason == "ShareDiffers"]
    assert "a pod of stable has heard of another share" in finding.message
    assert finding.command.endswith("deployment/tidegate-xds")


def test_a_step_without_share_needs_no_sample() -> None:
    steps = {"rollout": {"steps": [{"weight": 0, "hold": "2m"}, {"weight": 50, "hold": "5m"}]}}
    assert reasons(service(spec=steps, status=under_way("Progressing", 0))) == []


@pytest.mark.parametrize(
    ("seen", "reason", "words"),
    [
        (None, "NothingRead", "Nothing could be read yet of the copies"),
        (copies("Inconclusive", "StableCantCopy", "can't", 0, 0), "StableCantCopy", "made by an earlier release"),
        (copies("Inconclusive", "TooFewCopies", "few", 7, 0), "TooFewCopies", "7 answers of"),
        (copies("Inconclusive", "CopiesUndecided", "perhaps", 300, 4), "CopiesUndecided", "doesn't settle it yet"),
    ],
)
def test_a_step_that_is_judged_by_copies_says_what_it_waits_for(seen: Object | None, reason: str, words: str) -> None:
    steps = {"rollout": {"steps": [{"weight": 0, "hold": "2m"}], "shadow": {"percent": 20}}}
    more: Object = {"analysis": seen} if seen else {}
    (found,) = explain(service(spec=steps, status=under_way("Progressing", 0, **more)), (), NOW)
    assert found.reason == reason
    assert words in found.message


def test_where_nothing_could_be_read_that_is_what_it_waits_for() -> None:
    steps = {"rollout": {"steps": [{"weight": 10, "hold": "2m"}]}}
    assert reasons(service(spec=steps, status=under_way("Progressing"))) == ["NothingRead"]


def test_a_paused_spec_holds_nothing_while_there_is_no_canary() -> None:
    status = {"stable": routed(STABLE, 100), "rollout": {"phase": "Stable"}}
    assert reasons(service(spec={"rollout": {"paused": True}}, status=status)) == []


def test_a_refusal_is_part_of_what_an_approval_is_told_with() -> None:
    refusal = {"id": "1", "action": "Promote", "revision": CANARY, "accepted": False}
    last = {**refusal, "message": "step 1 is not the current one", "time": "2026-11-22T09:55:00Z"}
    (finding,) = explain(service(status=under_way("AwaitingApproval", lastRequest=last)), (), NOW)
    assert finding.evidence[-1] == "Promote was refused 5m ago: step 1 is not the current one"


def test_a_quota_that_refuses_an_object_is_told_as_a_quota() -> None:
    told = condition("Stalled", "True", "ChildRefused", "services is forbidden: exceeded quota: ml")
    (finding,) = explain(service(status={"conditions": [told]}), (), NOW)
    assert (finding.hold, finding.command) == ("quota", "kubectl -n ml describe resourcequota")


def test_a_spec_that_this_release_cannot_read_is_explained_by_the_status_alone() -> None:
    live = service(spec={"rollout": {"steps": "none"}}, status=under_way("AwaitingApproval"))
    assert reasons(live) == ["AwaitingApproval"]


def test_explaining_changes_nothing() -> None:
    for case in CASES:
        before = copy.deepcopy((case.live, case.children))
        explain(case.live, case.children, NOW)
        assert (case.live, case.children) == before


def test_of_several_things_that_nodes_lack_the_one_that_most_lack_is_named() -> None:
    message = "0/5 nodes are available: 1 Insufficient cpu, 4 Insufficient nvidia.com/gpu."
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    children = (deployment(CANARY), pod(CANARY, conditions=[scheduled]))
    status = under_way("Preparing", 0, canary=routed(CANARY, 0, ready=0))
    (finding,) = explain(service(status=status), children, NOW)
    assert finding.message == f"No node has nvidia.com/gpu left for a pod of {CANARY}: it starts as soon as one has."
    assert finding.evidence[-1] == "spec.rollout.progressDeadline is 1h: it is given up in 50m"
