"""What a rollout waits for by design: a person, a pause, a hold; or that it was ended."""

from collections.abc import Iterator
from datetime import timedelta

from tidegate_operator.api.analysis_status import AnalysisStatus
from tidegate_operator.api.schema import seconds
from tidegate_operator.api.status import RolloutStatus
from tidegate_operator.cli.explanation.case import Case
from tidegate_operator.cli.explanation.finding import Finding, Hold
from tidegate_operator.cli.explanation.routes import DIFFERENT_SHARE
from tidegate_operator.cli.tree import copies_words, sample_words
from tidegate_operator.cli.words import age, span
from tidegate_operator.evidence.queries import AGAINST, UNSETTLED, query_words

_ENDS: dict[str, tuple[Hold, str]] = {
    "AbortedByRequest": ("gate", "by request"),
    "RolledBack": ("gate", "by a rollback"),
    "ProgressDeadlineExceeded": ("condition", "because it didn't get on within rollout.progressDeadline"),
    "NoData": ("sample", "for want of requests, as rollout.analysis.onNoData says"),
}

_BY_EVIDENCE: tuple[Hold, str] = ("sample", "by what its callers saw")
_BY_COPIES: tuple[Hold, str] = ("sample", "by how it answered copies of stable's requests")
_BY_QUERIES: tuple[Hold, str] = ("sample", "by what Prometheus said")


def aborted(case: Case) -> Iterator[Finding]:
    """The revision that the spec asks for was given up."""
    rollout = case.service.rollout
    if rollout.phase != "Aborted":
        return
    hold, how = _ENDS.get(rollout.reason or "AbortedByRequest") or _by_evidence(rollout)
    evidence = [rollout.message] if rollout.message else []
    if rollout.last_request and rollout.last_request.action in ("Abort", "Rollback"):
        last = rollout.last_request
        evidence.append(f"{last.action} {last.revision} was asked {age(last.time, case.now)} ago: {last.message}")
    evidence += _judged(case)
    yield Finding(
        hold=hold,
        reason=rollout.reason or "AbortedByRequest",
        message=f"What the spec asks for was given up {how}, and isn't tried again by itself: change the spec, or retry"
        " what there is.",
        since=case.since,
        evidence=tuple(evidence),
        command=case.tidegate("retry"),
    )


def _by_evidence(rollout: RolloutStatus) -> tuple[Hold, str]:
    if rollout.reason in AGAINST:
        return _BY_QUERIES
    return _BY_COPIES if rollout.analysis and rollout.analysis.copies else _BY_EVIDENCE


def paused_by_spec(case: Case) -> Iterator[Finding]:
    """`spec.rollout.paused` holds the canary."""
    if case.canary is None or not case.steps.paused:
        return
    yield Finding(
        hold="gate",
        reason="PausedBySpec",
        message=f"spec.rollout.paused keeps {case.canary.revision} at {case.canary.weight} %; where Git holds the spec,"
        " it is to be changed there.",
        since=case.since if case.phase == "Paused" else None,
        evidence=("spec.rollout.paused is true",),
        command=case.set_rollout({"paused": False}),
    )


def paused_by_request(case: Case) -> Iterator[Finding]:
    """A Pause holds the canary."""
    rollout = case.service.rollout
    if case.canary is None or not rollout.paused:
        return
    last = rollout.last_request
    asked = last if last and last.action == "Pause" and last.accepted else None
    yield Finding(
        hold="gate",
        reason="PausedByRequest",
        message=f"A request keeps {case.canary.revision} at {case.canary.weight} %.",
        since=asked.time if asked else case.since,
        evidence=("status.rollout.paused is true", *((f"request {asked.id}: {asked.message}",) if asked else ())),
        command=case.tidegate("resume"),
    )


def approval(case: Case) -> Iterator[Finding]:
    """A person has to let it go on."""
    if case.phase != "AwaitingApproval" or case.canary is None:
        return
    number = case.service.rollout.step or 0
    evidence = [f"step {number} ({case.canary.weight} %) has approval Manual, and its hold is over", *_judged(case)]
    last = case.service.rollout.last_request
    if last and not last.accepted and last.revision == case.canary.revision:
        evidence.append(f"{last.action} was refused {age(last.time, case.now)} ago: {last.message}")
    yield Finding(
        hold="gate",
        reason="AwaitingApproval",
        message=f"{case.canary.revision} at {case.canary.weight} % waits for a person to let it go on.",
        since=case.held_until or case.since,
        evidence=tuple(evidence),
        command=case.tidegate("promote", "--step", str(number)),
    )


def hold(case: Case) -> Iterator[Finding]:
    """The step has to last a while."""
    until = case.held_until
    if case.phase != "Progressing" or case.canary is None or case.step is None or until is None or until <= case.now:
        return
    number = case.service.rollout.step or 0
    yield Finding(
        hold="gate",
        reason="Holding",
        message=f"Step {number} keeps {case.canary.revision} at {case.step.weight} % for {case.step.hold}; it goes"
        f" on by itself in {span(until - case.now)}.",
        since=case.since,
        evidence=(f"spec.rollout.steps[{number}].hold is {case.step.hold}", *_judged(case)),
        command=case.tidegate("promote", "--step", str(number)),
    )


def sample(case: Case) -> Iterator[Finding]:
    """The hold is over, and what callers saw, or what became of copies, doesn't suffice to pass."""
    canary, analysis, until = case.canary, case.service.rollout.analysis, case.held_until
    if case.phase != "Progressing" or canary is None or until is None or until > case.now:
        return
    if not canary.weight and not case.copied:
        return
    if analysis and (analysis.verdict == "Pass" or analysis.reason in DIFFERENT_SHARE):
        return
    least = case.steps.analysis.min_requests
    left = until + timedelta(seconds=seconds(case.steps.progress_deadline)) - case.now
    lacking = (_lacking_copies if case.copied else _lacking_calls)(canary.revision, analysis, least)
    evidence = [f"spec.rollout.analysis.minRequests is {least}", *_judged(case)]
    if analysis and analysis.reason in UNSETTLED:
        lacking, evidence = f"What Prometheus says doesn't let {canary.revision} go on yet.", _judged(case)
    yield Finding(
        hold="sample",
        reason=analysis.reason if analysis else "NothingRead",
        message=f"{lacking} Promoting goes on without; waiting ends with an abort in {span(left)}.",
        since=until,
        evidence=tuple(evidence),
        command=case.tidegate("promote", "--step", str(case.service.rollout.step or 0)),
    )


def _lacking_calls(canary: str, analysis: AnalysisStatus | None, least: int) -> str:
    if analysis is None:
        return f"Nothing could be read yet of what callers of {canary} see."
    if analysis.canary.requests < least:
        return f"{canary} has answered {analysis.canary.requests} requests in this step, and needs {least}."
    return f"What callers of {canary} saw doesn't settle it yet."


def _lacking_copies(canary: str, analysis: AnalysisStatus | None, least: int) -> str:
    if analysis is None or analysis.copies is None:
        return f"Nothing could be read yet of the copies that {canary} answers."
    if analysis.reason == "StableCantCopy":
        return "Stable's pods are of an image of one's own, or were made by an earlier release and can't copy requests."
    if analysis.copies.compared < least:
        compared = analysis.copies.compared
        return f"{compared} answers of {canary} were compared with stable's in this step, and {least} have to be."
    return f"How {canary} answered copies doesn't settle it yet."


def _judged(case: Case) -> list[str]:
    analysis = case.service.rollout.analysis
    if analysis is None:
        return []
    lines = [f"judged {age(analysis.at, case.now)} ago: {analysis.verdict}, {analysis.message}"]
    if analysis.copies is not None:
        lines.append(f"copies: {copies_words(analysis.copies)}")
    else:
        for role, seen in (("canary", analysis.canary), ("stable", analysis.stable)):
            lines.append(f"{role}: {sample_words(seen, analysis.slow_after_ms)}")
    return [*lines, *(f"{query_words(query)}; asked: {query.query}" for query in analysis.queries or [])]
