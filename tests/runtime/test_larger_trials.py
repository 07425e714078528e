"""Where the cost table keeps batches small, larger ones are tried now and then."""

from itertools import repeat

import numpy as np

from tidegate_runtime.batching.backlog import Backlog
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.device import Device
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.rows import compatibility
from tidegate_runtime.batching.tickets import Outputs
from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.tensors import Feeds


def ignored(_: Outputs | RuntimeFault) -> None:
    pass


def request() -> Feeds:
    return {"x": np.zeros((1, 2), np.float32)}


def batches(number: int, waiting: int, within: float) -> list[int]:
    """The rows of the next batches where so many always wait, with so much time each, and none gains by company."""
    table = CostTable(8)
    shape = table.shape(compatibility(request()), 2)
    for rows in [1, 1, *(rows for rows in (1, 2, 4, 8) for _ in range(4))]:
        shape.observe(rows, 0.001 * rows)
    backlog, device = Backlog(BatchPolicy(8, 0.0, 64), table), Device()
    device.join(backlog)
    now, ran = 0.0, []
    for _ in repeat(None, number):
        while backlog.depth < waiting:
            backlog.admit(request(), 1, now, now + within, ignored)
        cut = device.cut(now)
        assert device.dropped == []
        assert cut is not None
        _, batch = cut
        now += 0.001 * batch.rows
        backlog.ended(batch, 0.001 * batch.rows, now)
        ran.append(batch.rows)
    return ran


def test_each_size_is_tried_after_thirty_two_times_its_rows() -> None:
    ran = batches(520, 8, within=10.0)
    # Of the rows before a trial its own is the last that would have run by itself.
    assert [(index, rows) for index, rows in enumerate(ran) if rows > 1] == [(63, 2), (191, 4), (447, 8), (511, 2)]


def test_where_fewer_wait_all_of_them_are_tried() -> None:
    assert [rows for rows in batches(300, 3, within=10.0) if rows > 1] == [2, 3, 2]


def test_a_trial_makes_nobody_late() -> None:
    # The one that waits longest has 3 ms left, whoever else waits.
    assert max(batches(600, 6, within=0.0085)) <= 3
