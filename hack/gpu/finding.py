"""What a check has found."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the report. `passed` is None where there is nothing to check; `detail` says why, or what broke."""

    name: str
    passed: bool | None
    detail: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
