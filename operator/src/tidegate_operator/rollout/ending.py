"""How a canary's time ends: promoted, given up, or dropped because something else is wanted."""

from dataclasses import replace
from datetime import datetime, timedelta

from tidegate_operator import naming
from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.api.schema import seconds
from tidegate_operator.rollout.state import Retiring, RolloutState

DRAIN = timedelta(seconds=30)
"""How long the pods of a revision that lost its requests stay: requests under way, and routers that hear of it late."""

REMEMBERED = 20
"""Retiring revisions, and rejected hashes, at most: what the status has room for. The newest are kept."""

ABORTED_BY_REQUEST = "AbortedByRequest"
ROLLED_BACK = "RolledBack"
DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
NO_DATA = "NoData"


def dropped(state: RolloutState, now: datetime) -> RolloutState:
    """`state` without its canary, whose pods are drained."""
    gone = retire(state, state.canary, now + DRAIN)
    return replace(gone, canary=None, weight=0, step=0, paused=False, analysis=None)


def aborted(state: RolloutState, reason: str, now: datetime) -> RolloutState:
    """`state` after its canary was given up: no request reaches it, and it isn't tried again.

    What the canary was judged on last is kept, so that the status goes on telling why.
    """
    assert state.canary is not None
    given_up = replace(reject(dropped(state, now), state.canary), phase="Aborted", since=now, reason=reason)
    return replace(given_up, analysis=state.analysis)


def promoted(state: RolloutState, rollout: RolloutSpec, now: datetime) -> RolloutState:
    """`state` with its canary as stable; the old stable stays warm."""
    until = now + timedelta(seconds=seconds(rollout.scale_down_delay))
    over = retire(state, state.stable, max(until, now + DRAIN))
    return replace(
        over,
        stable=state.canary,
        previous=state.stable,
        canary=None,
        weight=0,
        step=0,
        paused=False,
        analysis=None,
        phase="Stable",
        since=now,
    )


def reject(state: RolloutState, revision: str) -> RolloutState:
    """`state`, remembering that `revision` was given up."""
    digest = naming.digest_of(revision)
    others = tuple(known for known in state.rejected if known != digest)
    return replace(state, rejected=(*others, digest)[-REMEMBERED:])


def retire(state: RolloutState, revision: str | None, until: datetime) -> RolloutState:
    """`state`, in which the pods of `revision` stay without requests until then."""
    if revision is None:
        return state
    return replace(state, retiring=(*revived(state, revision).retiring, Retiring(revision, until)))


def revived(state: RolloutState, revision: str) -> RolloutState:
    """`state`, in which `revision` isn't retiring."""
    return replace(state, retiring=tuple(entry for entry in state.retiring if entry.revision != revision))


def told(state: RolloutState, revision: str) -> str:
    """Why `revision` isn't tried, and what would change that."""
    why = {
        ABORTED_BY_REQUEST: "was aborted by request",
        ROLLED_BACK: f"was rolled back to {state.stable}",
        DEADLINE_EXCEEDED: "didn't get on within rollout.progressDeadline",
        NO_DATA: "got too few requests to be judged, and rollout.analysis.onNoData is Fail",
    }.get(state.reason or ABORTED_BY_REQUEST)
    if why is None:
        why = f"was aborted: {state.analysis.message}" if state.analysis else f"was aborted: {state.reason}"
    return f"{revision} {why}; it is not tried again until the spec changes, or by a Retry"
