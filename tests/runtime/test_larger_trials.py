"""Where the cost table keeps batches small, larger ones are tried now and then."""

from itertools import repeat

import numpy as np

from tidegate_runtime.batching.alike import Alike
from tidegate_runtime.batching.backlog import Backlog
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.device import Device
from tidegate_runtime.batching.place import Place
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.rows import compatibility
from tidegate_runtime.batching.tickets import Outputs
from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.tensors import Feeds


def ignored(_: Outputs | RuntimeFault) -> None:
    pass


def request() -> Feeds:
    return {"x": np.zeros((1, 2), np.float32)}


def backlog_of(place: Place) -> Backlog:
    """Of a model of which none of 1, 2, 4 and 8 rows gains by company."""
    table = CostTable(8)
    shape = table.shape(compatibility(request()), 2)
    for rows in [1, 1, *(rows for rows in (1, 2, 4, 8) for _ in range(4))]:
        shape.observe(rows, 0.001 * rows)
    return Backlog(BatchPolicy(8, 0.0, 64), table, place)


def next_batch(backlog: Backlog, device: Device, now: float) -> int:
    """The rows of the batch that runs now, for a millisecond a row; nobody is too late for it."""
    cut = device.cut(now)
    assert device.dropped == []
    assert cut is not None
    _, batch = cut
    backlog.ended(batch, 0.001 * batch.rows, now + 0.001 * batch.rows)
    return batch.rows


def batches(number: int, waiting: int, within: float) -> list[int]:
    """The rows of the next batches where so many always wait, with so much time each, and none gains by company."""
    backlog, device = backlog_of(Place()), Device()
    device.join(backlog)
    now, ran = 0.0, []
    for _ in repeat(None, number):
        while backlog.depth < waiting:
            backlog.admit(request(), 1, now, now + within, ignored)
        ran.append(next_batch(backlog, device, now))
        now += 0.001 * ran[-1]
    return ran


def passing(turns: int, come: int) -> list[int]:
    """The rows of the batches of so many turns that bring so many each, on the event loop."""
    place = Place()
    place.measured(1.0)
    backlog, device = backlog_of(place), Device()
    device.join(backlog)
    now, ran = 0.0, []
    for _ in repeat(None, turns):
        left = come
        while left:
            count = min(backlog.filling(request(), 1), left)
            alike = Alike.of([(request(), now + 10, ignored, None)] * count)
            queue = backlog.pass_by(alike, 1, 8, now, more=count < left)
            if queue is None:
                break
            now += 0.001 * count
            backlog.passed(queue, count, 0.001 * count, now)
            ran.append(count)
            left -= count
        for _ in repeat(None, left):
            backlog.admit(request(), 1, now, now + 10, ignored)
        while backlog.depth:
            ran.append(next_batch(backlog, device, now))
            now += 0.001 * ran[-1]
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


def test_what_passes_the_queue_by_keeps_no_size_from_being_tried() -> None:
    ran = passing(30, 8)
    # Nine turns of eight, of which seven have others behind them: 63 rows, and the next would be the 64th. Then the
    # last six of that turn, of which five do, 17 turns more and three of the next: 127 rows.
    assert [(index, rows) for index, rows in enumerate(ran) if rows > 1] == [(72, 2), (72 + 1 + 6 + 17 * 8 + 3, 4)]


def test_where_nothing_comes_behind_there_is_nothing_to_try() -> None:
    assert set(passing(300, 1)) == {1}
