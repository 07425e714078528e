"""What a canary does next, phase by phase.

    Preparing ── pods ready, routers see them ──► Progressing ── hold over, evidence passes ──► the next step
     ▲  ▲ └─ more pods than it may have ► Blocked      │ └─ a person is asked ► AwaitingApproval ─┘
     │  └─ lost: weight 0 ─────────────────────────────┘
     └─ resumed ── Paused ◄─ by request or spec, from any of them. Evidence against it, or the deadline ► Aborted

Only one of these arrows is followed in a decision.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.api.scaling_spec import ScalingSpec
from tidegate_operator.api.schema import seconds
from tidegate_operator.api.status import Phase
from tidegate_operator.evidence.queries import UNSETTLED
from tidegate_operator.rollout.capacity import canary_need
from tidegate_operator.rollout.decision import Decision
from tidegate_operator.rollout.ending import DEADLINE_EXCEEDED, NO_DATA, aborted, promoted, told
from tidegate_operator.rollout.need import Need
from tidegate_operator.rollout.room import yields
from tidegate_operator.rollout.shadow import judged_by_copies
from tidegate_operator.rollout.state import RolloutState, Seen, Situation


@dataclass(frozen=True)
class Trial:
    """A canary's state, and all that the next decision on it looks at."""

    state: RolloutState
    rollout: RolloutSpec
    scaling: ScalingSpec
    situation: Situation
    now: datetime

    @property
    def name(self) -> str:
        """The canary's."""
        assert self.state.canary is not None
        return self.state.canary

    @property
    def seen(self) -> Seen:
        """What is known of the canary's pods."""
        return self.situation.of(self.state.canary)

    @property
    def need(self) -> Need:
        """The pods that it needs for its next weight."""
        return canary_need(self.state, self.rollout, self.scaling, self.situation)

    @property
    def weight(self) -> int:
        """The current step's, in percent."""
        return self.rollout.steps[self.state.step].weight

    @property
    def copied(self) -> bool:
        """Whether it is judged by copies."""
        return judged_by_copies(self.state, self.rollout)

    @property
    def held(self) -> str | None:
        """Who paused it, and how it goes on; None if nobody did."""
        if self.rollout.paused:
            return f"{self.name} stays at {self.state.weight} %: spec.rollout.paused holds it, until that is false"
        if self.state.paused:
            return f"{self.name} stays at {self.state.weight} %: paused by request, until a Resume or a Promote"
        return None

    def changed(self, phase: Phase, message: str, *, weight: int | None = None, step: int | None = None) -> Decision:
        """The decision to go over to a phase, or step; what was seen of the one before isn't evidence there."""
        state = replace(
            self.state,
            phase=phase,
            since=self.now,
            weight=self.state.weight if weight is None else weight,
            step=self.state.step if step is None else step,
            analysis=None,
        )
        return Decision(state, message)


def decide(trial: Trial) -> Decision:
    """The next decision on a canary."""
    trial = _judged(trial)
    return _trouble(trial) or _PHASES[trial.state.phase](trial)


def promote(trial: Trial, *, full: bool) -> Decision:
    """The decision on a canary that a person lets go on, `full` past all steps; not if it is lost, or has failed."""
    trial = _judged(trial)
    return _trouble(trial) or _advance(replace(trial, state=replace(trial.state, paused=False)), full=full)


def _advance(trial: Trial, *, full: bool = False) -> Decision:
    following = trial.state.step + 1
    if full or following >= len(trial.rollout.steps):
        why = "is promoted by request" if full else "carried every step"
        return trial.changed("Promoting", f"{trial.name} {why}")
    weight = trial.rollout.steps[following].weight
    return trial.changed("Preparing", f"{trial.name} is prepared for {weight} %", step=following)


def _judged(trial: Trial) -> Trial:
    """`trial` with what is known by now of how its callers fare, or fared until it lost its weight, or its copies."""
    analysis = trial.situation.analysis
    if analysis is None or trial.state.phase == "RollingBack":
        return trial
    if not trial.state.weight and not trial.copied and analysis.verdict != "Fail":
        return trial
    return replace(trial, state=replace(trial.state, analysis=analysis))


def _trouble(trial: Trial) -> Decision | None:
    """The decision that comes before all others where a canary has failed, or is lost; None if neither."""
    state = trial.state
    if state.analysis is not None and state.analysis.verdict == "Fail" and state.phase != "RollingBack":
        return _give_up(trial, state.analysis.reason)
    if (state.weight or state.phase in _UNDER_WAY) and not trial.seen.still_serving:
        message = f"{trial.name} has no healthy pod: its requests go to {state.stable} until it is back"
        return trial.changed("Preparing", message, weight=0)
    return None


def _prepare(trial: Trial) -> Decision:
    if trial.held:
        return trial.changed("Paused", trial.held)
    if short := _short(trial):
        return replace(short, state=trial.changed("Blocked", short.message).state)
    until = trial.state.since + _deadline(trial.rollout)
    if until <= trial.now:
        return _give_up(trial, DEADLINE_EXCEEDED)
    if climbed := _climbed(trial, "Preparing"):
        return climbed
    missing = _missing(trial, f"{trial.weight} % need")
    if missing:
        return Decision(trial.state, missing, until)
    return trial.changed("Progressing", f"{trial.name} gets {trial.weight} % of requests", weight=trial.weight)


def _blocked(trial: Trial) -> Decision:
    if trial.held:
        return trial.changed("Paused", trial.held)
    return _short(trial) or trial.changed("Preparing", f"{trial.name} is prepared for {trial.weight} %")


def _progress(trial: Trial) -> Decision:
    analysis = trial.state.analysis
    if trial.held:
        held = trial.changed("Paused", trial.held)
        return replace(held, state=replace(held.state, analysis=analysis))
    until = trial.state.since + timedelta(seconds=seconds(trial.rollout.steps[trial.state.step].hold))
    if until > trial.now:
        return _stay(trial, "Progressing", f"{trial.name} holds {trial.state.weight} %", until)
    if _manual(trial):
        return _stay(
            trial, "AwaitingApproval", f"{trial.name} at {trial.state.weight} % waits for status.rollout.request"
        )
    unjudged = not trial.weight and not trial.copied
    if unjudged or (analysis is not None and analysis.verdict == "Pass"):
        return _advance(trial)
    return _without_evidence(trial, until)


def _without_evidence(trial: Trial, held_until: datetime) -> Decision:
    """What becomes of a step whose hold is over, and whose canary neither passed nor failed."""
    analysis = trial.state.analysis
    # What queries leave open, or weren't asked yet, isn't a want of requests.
    if not (analysis.reason in UNSETTLED if analysis else trial.rollout.analysis.queries):
        match trial.rollout.analysis.on_no_data:
            case "Pass":
                return _advance(trial)
            case "Fail":
                return _give_up(trial, NO_DATA)
    until = held_until + _deadline(trial.rollout)
    if until <= trial.now:
        return _give_up(trial, DEADLINE_EXCEEDED)
    unread = "what became of its copies" if trial.copied else "what its callers see"
    why = analysis.message if analysis else f"nothing could be read yet of {unread}"
    return _stay(trial, "Progressing", f"{trial.name} stays at {trial.state.weight} %: {why}", until)


def _paused(trial: Trial) -> Decision:
    if trial.held:
        return Decision(trial.state, trial.held)
    # Whatever changed meanwhile, the step is held, and judged, anew.
    return trial.changed("Preparing", f"{trial.name} goes on; it is prepared for {trial.weight} %")


def _promote(trial: Trial) -> Decision:
    if trial.held:
        if yields(trial.rollout) and trial.state.weight > trial.weight:
            # Stable has given up what it would need for the step's weight.
            return Decision(trial.state, trial.held)
        # The spec may have other steps by now than those that it is promoted by.
        weight = min(trial.state.weight, trial.rollout.steps[trial.state.step].weight)
        fitted = replace(trial, state=replace(trial.state, weight=weight))
        return fitted.changed("Paused", fitted.held or trial.held)
    if ahead := _short(trial) or _climbed(trial, "Promoting"):
        return ahead
    missing = _missing(trial, "all requests need")
    if missing:
        return Decision(trial.state, missing)
    done = promoted(trial.state, trial.rollout, trial.now)
    return Decision(replace(done, reason=None), f"{trial.name} is promoted and serves all requests")


def _roll_back(trial: Trial) -> Decision:
    stable = trial.situation.of(trial.state.stable)
    missing = _missing(trial, "all requests need")
    # A revision that has served before is better, short of pods, than one with none.
    if missing and (stable.ready or not trial.seen.serving):
        return Decision(trial.state, f"rolling back: {missing}")
    done = promoted(trial.state, trial.rollout, trial.now)
    return Decision(done, f"{trial.name} is stable again and serves all requests")


def _give_up(trial: Trial, reason: str) -> Decision:
    state = aborted(trial.state, reason, trial.now)
    return Decision(state, told(state, trial.name))


def _short(trial: Trial) -> Decision | None:
    """The decision to wait for room; None if there is some to come."""
    need = trial.need
    if need.obstacle:
        return Decision(trial.state, need.obstacle, obstacle=True)
    return Decision(trial.state, need.busy, busy=True) if need.busy else None


def _climbed(trial: Trial, phase: Phase) -> Decision | None:
    """The decision to give it the weight that its pods carry where stable has to give up some for more of them."""
    carried = trial.need.carried
    if carried <= trial.state.weight or not trial.seen.serving:
        return None
    return trial.changed(phase, f"{trial.name} gets {carried} % of requests, as its pods carry", weight=carried)


def _missing(trial: Trial, what_for: str) -> str | None:
    if trial.seen.ready < trial.need.goal:
        return f"{trial.name} has {trial.seen.ready} of {trial.need.goal} pods that {what_for}"
    if not trial.seen.serving:
        awaited = trial.situation.awaited or f"every router sees a healthy pod of {trial.name}"
        return f"waiting until {awaited}"
    return None


def _manual(trial: Trial) -> bool:
    return (trial.rollout.steps[trial.state.step].approval or trial.rollout.approval) == "Manual"


def _stay(trial: Trial, phase: Phase, message: str, until: datetime | None = None) -> Decision:
    return Decision(replace(trial.state, phase=phase), message, until)


def _deadline(rollout: RolloutSpec) -> timedelta:
    return timedelta(seconds=seconds(rollout.progress_deadline))


_UNDER_WAY: frozenset[Phase] = frozenset({"Progressing", "AwaitingApproval", "Promoting"})

_PHASES: dict[Phase, Callable[[Trial], Decision]] = {
    "Preparing": _prepare,
    "Blocked": _blocked,
    "Progressing": _progress,
    "AwaitingApproval": _progress,
    "Paused": _paused,
    "Promoting": _promote,
    "RollingBack": _roll_back,
}
