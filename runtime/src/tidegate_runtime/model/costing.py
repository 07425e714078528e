"""What warm-up measured, as the scheduler's cost table. Pure."""

import numpy as np

from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.costs import UNCOUNTED
from tidegate_runtime.batching.rows import compatibility, whole_shape
from tidegate_runtime.model.ladder import Costs
from tidegate_runtime.model.signature import Signature


def cost_table(costs: Costs, signature: Signature, max_rows: int) -> CostTable:
    """A table for batches of up to `max_rows`, which knows the one shape that warm-up ran; empty if it ran none."""
    table = CostTable(max_rows)
    if not costs.seconds:
        return table
    feeds = {spec.name: np.empty(costs.shapes[spec.name], spec.datatype.numpy) for spec in signature.inputs}
    key = compatibility(feeds) if max_rows > 1 else whole_shape(feeds)
    shape = table.shape(key, sum(array.size for array in feeds.values()))
    for _ in range(UNCOUNTED):
        shape.observe(1, 0.0)  # The runs that judged the model were its first.
    for rows, seconds in costs.seconds.items():
        for run in seconds:
            shape.observe(rows, run)
    shape.warmed_up()
    return table
