"""The costs of all shapes of a model. Pure."""

from collections.abc import Hashable, Iterator
from math import log

from tidegate_runtime.batching.costs import ShapeCosts
from tidegate_runtime.metrics import CostFigure


class CostTable:
    """The costs of a model's shapes; the `Terms` of each."""

    def __init__(self, max_rows: int, way_seconds: float = 0.0) -> None:
        self.max_rows = max_rows
        self.way_seconds = way_seconds
        self.shapes: dict[Hashable, ShapeCosts] = {}

    def shape(self, key: Hashable, elements: int) -> ShapeCosts:
        """The costs of the shape; empty ones that are kept from here on if it is new."""
        found = self.shapes.get(key)
        if found is None:
            found = self.shapes[key] = ShapeCosts(self, elements)
        return found

    def stranger(self, elements: int) -> ShapeCosts:
        """Costs for a shape that the table has no room for: only ever borrowed."""
        return ShapeCosts(self, elements)

    def figures(self) -> Iterator[CostFigure]:
        """Every measured row count of every shape, with its cost."""
        for key, shape in self.shapes.items():
            for rows, cost in shape.counts():
                yield CostFigure(key, rows, cost.mean, cost.p99)

    def nearest(self, elements: int) -> ShapeCosts | None:
        """The measured shape whose rows are nearest in size, by ratio."""
        measured = [shape for shape in self.shapes.values() if shape.measured]
        target = log(max(1, elements))
        return min(measured, key=lambda shape: abs(log(max(1, shape.elements)) - target), default=None)
