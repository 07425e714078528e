"""What one explanation says."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Hold = Literal["gate", "sample", "quota", "route", "condition"]


@dataclass(frozen=True)
class Finding:
    """One thing that holds a service, or its rollout."""

    hold: Hold
    """gate: a person, a pause, or time. sample: what callers saw. quota: room for pods. route: the routers. condition:
    anything else that has to become true."""
    reason: str
    """Which, in one CamelCase word; API."""
    message: str
    """What holds, and what ends it."""
    since: datetime | None
    """Since when; None where nothing tells."""
    evidence: tuple[str, ...]
    """What it is known by: fields, counts, and other parts' own words."""
    command: str
    """What to type to move it on, or to see what has to be mended elsewhere."""
