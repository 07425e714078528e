"""What is counted of one model's copies to one canary, as plain numbers; `web.shadow_exposition` renders them."""

from collections.abc import Mapping
from math import inf
from typing import Final

from tidegate_runtime.histogram import Histogram
from tidegate_runtime.naming import DIFFERENCE_BOUNDS, ShadowOutcome
from tidegate_runtime.shadow.comparison import Difference

MAX_OUTPUTS: Final = 16
"""Outputs of which differences are told; those beyond count in the outcome alone, or a page would have no bound."""


class OutputFigures:
    """Of one output: how much it differed, and in how many rows the largest value moved to another column."""

    __slots__ = ("largest", "moved", "relative", "rows")

    def __init__(self) -> None:
        self.relative = Histogram(DIFFERENCE_BOUNDS)
        self.largest = 0.0
        self.rows = 0
        self.moved = 0

    def add(self, difference: Difference) -> None:
        """Counts one."""
        if difference.relative < inf:
            self.relative.observe(difference.relative)
        else:  # The sum stays a number.
            self.relative.observe_beyond()
        self.largest = max(self.largest, difference.absolute)
        self.rows += difference.rows
        self.moved += difference.moved


class ShadowFigures:
    """Of one model version, whose copies go to the canary of that revision. Each copy has one outcome."""

    def __init__(self, model: str, version: str, canary: str) -> None:
        self.model = model
        self.version = version
        self.canary = canary
        self.outcomes: dict[str, int] = {outcome.value: 0 for outcome in ShadowOutcome}
        self.outputs: dict[str, OutputFigures] = {}

    def count(self, outcome: ShadowOutcome) -> None:
        """Counts a copy that wasn't compared."""
        self.outcomes[outcome.value] += 1

    def compared(self, differences: Mapping[str, Difference]) -> None:
        """Counts a copy that was."""
        for name, difference in differences.items():
            output = self.outputs.get(name)
            if output is None and len(self.outputs) < MAX_OUTPUTS:
                output = self.outputs[name] = OutputFigures()
            if output is not None:
                output.add(difference)
        if all(difference.alike for difference in differences.values()):
            self.count(ShadowOutcome.COMPARED)
        elif all(difference.same_choice for difference in differences.values()):
            self.count(ShadowOutcome.DIVERGED)
        else:
            self.count(ShadowOutcome.MOVED)
