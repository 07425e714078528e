"""The rollout's memory, as it is kept in the status, and what a decision is made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tidegate_operator.api.analysis_status import AnalysisStatus
from tidegate_operator.api.status import AnsweredRequest, InferenceServiceStatus, Phase, Request


@dataclass(frozen=True)
class Retiring:
    """A revision without requests whose pods stay `until` then."""

    revision: str
    until: datetime


@dataclass(frozen=True)
class RolloutState:
    """Where a rollout stands; stable's weight is what the canary leaves of 100."""

    since: datetime
    phase: Phase = "Initial"
    stable: str | None = None
    canary: str | None = None
    weight: int = 0
    """The canary's, in percent."""
    step: int = 0
    """The step that the canary is at, or is prepared for."""
    paused: bool = False
    """Whether a request paused the canary."""
    whole: int | None = None
    """Pods that carried all requests before stable began to yield; until it has them again."""
    analysis: AnalysisStatus | None = None
    """What the canary is judged on in this step; after an abort by evidence, what it was judged on."""
    reason: str | None = None
    """Why the revision that the spec asks for was given up; API."""
    previous: str | None = None
    """The revision that was stable before this one."""
    retiring: tuple[Retiring, ...] = ()
    rejected: tuple[str, ...] = ()
    """Hashes of revisions that were given up."""
    answered: AnsweredRequest | None = None
    """The latest request that was answered."""


@dataclass(frozen=True)
class Seen:
    """What is known of one revision's pods."""

    wanted: int = 0
    ready: int = 0
    routable: bool | None = None
    """Whether every router has a healthy pod of it; None while they can't be asked."""

    @property
    def serving(self) -> bool:
        """Whether requests sent to it would be answered, as far as is known."""
        return self.ready > 0 and self.routable is True

    @property
    def still_serving(self) -> bool:
        """Whether requests that it gets already may go on: routers that can't be asked are no reason to take them."""
        return self.ready > 0 and self.routable is not False


@dataclass(frozen=True)
class Situation:
    """What a decision looks at besides the memory."""

    target: str
    """The revision that the spec asks for."""
    seen: Mapping[str, Seen]
    request: Request | None = None
    analysis: AnalysisStatus | None = None
    """How the canary's step is judged now; None if nothing could be read yet."""
    kept: frozenset[str] = frozenset()
    """Revisions with a record, which can be run again."""
    update: str | None = None
    """The revision that this release would make of stable's spec; None if it is no other."""
    awaited: str | None = None
    """What a revision that isn't routable waits for; None: until every router sees a healthy pod of it."""

    gpus: Mapping[str, int] = field(default_factory=dict)
    """What one pod of a revision holds of them; none, if it isn't named."""

    pressed: bool = False
    """Whether stable's autoscaler would have more pods than it may."""

    def of(self, revision: str | None) -> Seen:
        """What is known of `revision`; nothing, if it has no pods."""
        return self.seen.get(revision, Seen()) if revision else Seen()


def recall(status: InferenceServiceStatus, seen: Mapping[str, Seen], target: str, now: datetime) -> RolloutState:
    """The state that `status` holds; a service never decided on begins at `now`.

    A status may get lost (restoring a backup drops it), and a live stable must not be taken for a first install: then
    the revision with the most ready pods is stable, and of equals not the one that the spec asks for: at worst a canary
    is repeated.
    """
    rollout = status.rollout
    if status.stable is None or rollout is None or rollout.phase is None:
        if not seen:
            return RolloutState(since=now)
        stable = max(seen, key=lambda name: (seen[name].ready, name != target, seen[name].wanted, name))
        return RolloutState(since=now, phase="Stable" if seen[stable].ready else "Initial", stable=stable)
    return RolloutState(
        since=rollout.since or now,
        phase=rollout.phase,
        stable=status.stable.revision,
        canary=status.canary.revision if status.canary else None,
        weight=status.canary.weight if status.canary else 0,
        step=rollout.step or 0,
        paused=bool(rollout.paused),
        whole=rollout.whole,
        analysis=rollout.analysis,
        reason=rollout.reason,
        previous=status.previous.revision if status.previous else None,
        retiring=tuple(Retiring(entry.revision, entry.until) for entry in status.retiring or []),
        rejected=tuple(rollout.rejected or []),
        answered=rollout.last_request,
    )
