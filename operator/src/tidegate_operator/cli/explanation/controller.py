"""Whether anybody decides: a controller that is down, that is behind, or that doesn't answer a request."""

from collections.abc import Iterator
from datetime import timedelta

from tidegate_operator.cli.explanation.case import Case, written
from tidegate_operator.cli.explanation.finding import Finding
from tidegate_operator.cli.words import age, moment, span

_SKEW = timedelta(minutes=1)
"""What the clock here may be ahead of the cluster's."""
_PROMPT = timedelta(seconds=30)
"""A controller that works has looked at a new spec by then."""


def not_running(case: Case) -> Iterator[Finding]:
    """No controller holds the Lease."""
    for lease in case.of_kind("Lease"):
        spec = lease.get("spec", {})
        renewed = moment(spec.get("renewTime"))
        holder = spec.get("holderIdentity") or ""
        lasts = timedelta(seconds=spec.get("leaseDurationSeconds", 15))
        if holder and renewed and renewed + lasts + _SKEW > case.now:
            continue
        by = f"held by {holder}" if holder else "held by nobody"
        yield Finding(
            hold="condition",
            reason="ControllerNotRunning",
            message="No controller leads: nothing is decided, and what runs goes on as it is.",
            since=renewed,
            evidence=(
                f"Lease {case.install}/{lease['metadata']['name']} is {by}, renewed {age(renewed, case.now)} ago",
                f"it runs out {span(lasts)} after a renewal",
            ),
            command=case.look_at("controller", "rollout", "restart"),
        )


def behind(case: Case) -> Iterator[Finding]:
    """The status is about an older spec, for longer than a pass takes."""
    service = case.service
    if service.seen:
        return
    since = written(service.live, "spec") or service.created
    if since and case.now - since < _PROMPT:
        return
    observed = service.status.observed_generation
    yield Finding(
        hold="condition",
        reason="ControllerBehind",
        message="The controller hasn't looked at this spec yet: it is down, overloaded, or can't read it.",
        since=since,
        evidence=(
            f"metadata.generation is {service.generation},"
            f" status.observedGeneration {observed if observed is not None else 'not set'}",
        ),
        command=case.look_at("controller", "logs", "--since=10m"),
    )


def unanswered(case: Case) -> Iterator[Finding]:
    """A request waits for its answer."""
    rollout = case.service.rollout
    request, answered = rollout.request, rollout.last_request
    if request is None or (answered and answered.id == request.id):
        return
    last = f"it answered {answered.id} last, {age(answered.time, case.now)} ago" if answered else "it answered none yet"
    yield Finding(
        hold="gate",
        reason="RequestUnanswered",
        message=f"The controller hasn't answered the request to {request.action} {request.revision};"
        " until it does, only an abort is taken.",
        since=written(case.service.live, "status", "rollout", "request"),
        evidence=(f"status.rollout.request.id is {request.id}", last),
        command=case.look_at("controller", "logs", "--since=10m"),
    )
