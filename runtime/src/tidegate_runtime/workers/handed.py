"""What the hub has handed descriptors of to a front end: clients' shared memory, and the counts of traces."""

from collections.abc import Mapping

from tidegate_runtime.shared_memory.regions import Region
from tidegate_runtime.shared_memory.segment import Segment
from tidegate_runtime.workers.budget import Budget
from tidegate_runtime.workers.snapshot import Snapshot


class Handed:
    """By the hub's numbers, none of which is used twice. What is told of has arrived."""

    def __init__(self) -> None:
        self._arrived: dict[int, int] = {}
        self._segments: dict[int, Segment] = {}
        self._budgets: dict[int, Budget] = {}

    def arrive(self, number: int, descriptor: int) -> None:
        """That is its own from here on."""
        self._arrived[number] = descriptor

    def regions(self, told: Snapshot) -> Mapping[str, tuple[Region, Segment]]:
        """All that there are, by name. Whoever had earlier ones closes those that are gone."""
        known = self._segments
        self._segments = {number: known.get(number) or Segment(self._arrived.pop(number)) for number, _ in told.regions}
        return {region.name: (region, self._segments[number]) for number, region in told.regions}

    def budgets(self, told: Snapshot) -> Mapping[str, Budget]:
        """Those of the traces, by whose count; earlier ones are closed."""
        numbers = {number for _, number in told.budgets}
        for number in self._budgets.keys() - numbers:
            self._budgets.pop(number).close()
        for number in numbers - self._budgets.keys():
            self._budgets[number] = Budget(self._arrived.pop(number))
        return {whose: self._budgets[number] for whose, number in told.budgets}
