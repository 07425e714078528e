"""The pods that a canary needs for its next weight."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Need:
    """What its next weight needs, what it is to have by now, and why that isn't all, if so."""

    goal: int
    """Its pods, before its weight may rise to that."""
    replicas: int
    """Its pods for now."""
    stable: int
    """Stable's, at least."""
    obstacle: str | None = None
    """Why it can't have them unless somebody changes something."""
    busy: str | None = None
    """Which load it waits for to fall."""
    carried: int = 0
    """The weight, in percent, that those ready by now carry where there isn't room for all at once."""
