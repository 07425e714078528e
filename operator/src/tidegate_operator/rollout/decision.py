"""What a pass decided."""

from dataclasses import dataclass
from datetime import datetime

from tidegate_operator.rollout.state import RolloutState


@dataclass(frozen=True)
class Decision:
    """The state from now on, what it waits for, and when to look again without being woken."""

    state: RolloutState
    message: str
    look_again: datetime | None = None
    obstacle: bool = False
    """Whether it can't go on unless someone changes something."""
    busy: bool = False
    """Whether it waits for stable's load to fall."""
