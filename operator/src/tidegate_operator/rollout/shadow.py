"""Whether a canary without weight is judged, by the copies of stable's requests. Pure."""

from typing import Final

from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.api.status import Phase
from tidegate_operator.rollout.state import RolloutState

_COPIED: Final[frozenset[Phase]] = frozenset({"Progressing", "AwaitingApproval", "Paused", "Promoting"})
"""Phases in which it had pods enough to answer them: before, what fails tells nothing."""


def judged_by_copies(state: RolloutState, rollout: RolloutSpec) -> bool:
    """Whether it is, at the step where it stands."""
    if state.canary is None or state.weight or rollout.shadow is None or state.phase not in _COPIED:
        return False
    return state.step < len(rollout.steps) and not rollout.steps[state.step].weight
