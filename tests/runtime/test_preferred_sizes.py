"""Batch sizes that a model's configuration prefers."""

import numpy as np
import pytest

from tidegate_runtime.batching.backlog import Backlog
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.device import Device
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.tickets import Outputs
from tidegate_runtime.errors import RuntimeFault


def ignored(_: Outputs | RuntimeFault) -> None:
    pass


@pytest.mark.parametrize(
    ("preferred", "sizes"), [((), [7]), ((2, 4), [4, 2, 1]), ((16,), [7]), ((3,), [3, 3, 1]), ((8,), [7])]
)
def test_the_largest_that_waits_is_taken_and_what_is_less_than_any_as_it_is(
    preferred: tuple[int, ...], sizes: list[int]
) -> None:
    backlog = Backlog(BatchPolicy(8, 0.0, 64, preferred=preferred), CostTable(8))
    for _ in range(7):
        backlog.admit({"x": np.zeros((1, 2), np.float32)}, 1, 0.0, 10.0, ignored)
    ran = []
    device = Device()
    device.join(backlog)
    while (cut := device.cut(0.0)) is not None:
        _, batch = cut
        ran.append(batch.rows)
        backlog.ended(batch, 0.001, 0.0)
    assert ran == sizes
