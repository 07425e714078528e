"""What keeps the controller from doing what it decided: the spec itself, someone else's objects, room for pods."""

import re
from collections.abc import Iterator

from tidegate_operator.cli.explanation.case import Case
from tidegate_operator.cli.explanation.finding import Finding
from tidegate_operator.conditions import ROLLOUT_HEALTHY, SCALING_ACTIVE

_FOREIGN = re.compile(r"([A-Z][A-Za-z]+) (\S+) exists and isn't owned")
_CONTESTED = re.compile(r"([A-Z][A-Za-z]+) (\S+): ")
_SURGE = re.compile(r"raise rollout\.(surge|surgeGpus) to (\d+)")

_SHORT_OF_ROOM = {
    "CapacityExceeded": "The step needs more pods than scaling.maxReplicas and the rollout's surge allow together.",
    "StableBusy": "Stable gives pods up to the step as soon as its load allows; until then it waits, or for more room.",
}


def invalid_spec(case: Case) -> Iterator[Finding]:
    """The spec can't be honoured."""
    stalled = case.service.stalled
    if stalled and stalled.reason == "InvalidSpec":
        yield Finding(
            hold="condition",
            reason=stalled.reason,
            message="This install doesn't take the spec as it is; what ran before goes on.",
            since=stalled.last_transition_time,
            evidence=(stalled.message,),
            command=case.edit(),
        )


def not_owned(case: Case) -> Iterator[Finding]:
    """An object of the name that a child needs belongs to someone else."""
    stalled = case.service.stalled
    if not stalled or stalled.reason != "NotOwned":
        return
    found = _FOREIGN.search(stalled.message)
    what = f"{found[1].lower()}/{found[2]}" if found else ""
    yield Finding(
        hold="condition",
        reason=stalled.reason,
        message="Someone else's object has a name that the service needs, and is never overwritten: if it is a"
        " leftover, delete it; else give the service another name.",
        since=stalled.last_transition_time,
        evidence=(stalled.message,),
        command=case.kubectl("delete", what) if what else case.kubectl("describe", "isv", case.service.name),
    )


def refused(case: Case) -> Iterator[Finding]:
    """The API server refuses an object: a quota, a policy, a missing permission."""
    stalled = case.service.stalled
    if not stalled or stalled.reason != "ChildRefused":
        return
    over = "quota" in stalled.message
    yield Finding(
        hold="quota" if over else "condition",
        reason=stalled.reason,
        message="The API server refuses an object that the service needs.",
        since=stalled.last_transition_time,
        evidence=(stalled.message,),
        command=case.kubectl("describe", "resourcequota" if over else f"isv/{case.service.name}"),
    )


def contested(case: Case) -> Iterator[Finding]:
    """Somebody goes on setting fields of an object that the controller makes."""
    stalled = case.service.stalled
    if not stalled or stalled.reason != "FieldsContested":
        return
    found = _CONTESTED.match(stalled.message)
    what = f"{found[1].lower()}/{found[2]}" if found else f"isv/{case.service.name}"
    yield Finding(
        hold="condition",
        reason=stalled.reason,
        message="Someone goes on setting fields of an object that the controller makes, which sets them back ever less"
        " often: have them stop, and say what is wanted in the InferenceService.",
        since=stalled.last_transition_time,
        evidence=(stalled.message,),
        command=case.kubectl("get", what, "-o", "yaml", "--show-managed-fields"),
    )


def capacity(case: Case) -> Iterator[Finding]:
    """The next step needs more pods than maxReplicas and surge allow, or than stable's load lets it give up."""
    told = case.service.condition(ROLLOUT_HEALTHY)
    if not told or told.reason not in _SHORT_OF_ROOM:
        return
    surge = _SURGE.search(told.message)
    yield Finding(
        hold="quota",
        reason=told.reason,
        message=_SHORT_OF_ROOM[told.reason],
        since=told.last_transition_time,
        evidence=(told.message, *_pods(case)),
        command=case.set_rollout({surge[1]: int(surge[2])}) if surge else case.edit(),
    )


def autoscaler(case: Case) -> Iterator[Finding]:
    """The autoscaler of the stable revision doesn't scale."""
    told = case.service.condition(SCALING_ACTIVE)
    stable = case.service.status.stable
    if not told or told.status != "False" or told.reason == "FixedReplicas" or stable is None:
        return
    yield Finding(
        hold="condition",
        reason="ScalingInactive",
        message=f"The autoscaler of {stable.revision} can't tell how many pods it needs, and leaves them as they are.",
        since=told.last_transition_time,
        evidence=(f"{told.reason}: {told.message}",),
        command=case.kubectl("describe", "hpa", stable.revision),
    )


def _pods(case: Case) -> Iterator[str]:
    for routed in (case.service.status.stable, case.canary):
        if routed:
            yield f"{routed.revision} has {routed.ready_replicas} of {routed.replicas} pods ready"
