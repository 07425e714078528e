"""A shape that met a crowd before it ran anything small tries small batches, and keeps to what is cheapest."""

from collections import Counter
from collections.abc import Callable, Sequence
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

CONVOLUTION = {1: 1.289, 2: 1.071, 4: 1.086, 8: 1.318, 16: 1.471, 32: 1.609}
"""Milliseconds a row of a text classifier for images of 48 by 192, on one core, by rows."""


def ignored(_: Outputs | RuntimeFault) -> None:
    pass


def request(width: int, rows: int) -> Feeds:
    return {"x": np.zeros((rows, width), np.float32)}


class Crowd:
    """So many rows always wait, in requests of `each`; a model that gains by company was measured in another shape."""

    def __init__(
        self,
        seconds: Callable[[int], float],
        waiting: int = 32,
        within: float = 10.0,
        each: int = 1,
        preferred: Sequence[int] = (),
    ) -> None:
        self.seconds, self.waiting, self.within, self.each = seconds, waiting, within, each
        table = CostTable(32)
        small = table.shape(compatibility(request(2, 1)), 2)
        for rows in (1, 1, *(rows for rows in (1, 2, 4, 8, 16, 32) for _ in repeat(None, 3))):
            small.observe(rows, 0.0001 + 0.00001 * rows)
        self.backlog, self.device = Backlog(BatchPolicy(32, 0.0, 64, preferred=tuple(preferred)), table), Device()
        self.device.join(self.backlog)
        self.shape = table.shape(compatibility(request(100, 1)), 100)
        self.now = 0.0

    def batches(self, number: int) -> list[int]:
        """The rows of the next ones."""
        ran = []
        for _ in repeat(None, number):
            while self.backlog.depth * self.each < self.waiting:
                self.backlog.admit(request(100, self.each), self.each, self.now, self.now + self.within, ignored)
            cut = self.device.cut(self.now)
            assert self.device.dropped == []
            assert cut is not None
            _, batch = cut
            seconds = self.seconds(batch.rows)
            self.now += seconds
            self.backlog.ended(batch, seconds, self.now)
            assert all(ticket.deadline >= self.now for ticket in batch.tickets)
            ran.append(batch.rows)
        return ran


def convolution(rows: int) -> float:
    return 0.001 * rows * CONVOLUTION[rows]


def test_smaller_sizes_are_run_until_they_are_known_and_the_cheapest_from_then_on() -> None:
    ran = Crowd(convolution).batches(60)
    # The first two runs of each don't count, and by the third it is the best, except for the last.
    first = 32
    assert ran[:first] == [32] * first
    assert ran[first : first + 18] == [*(size for size in (16, 8, 4, 2) for _ in range(3)), 1, 1, 1, 1, 1, 2]
    assert set(ran[first + 18 :]) == {2}


def test_where_few_wait_those_sizes_are_tried_that_leave_as_many_behind() -> None:
    ran = Crowd(lambda rows: 0.001 * rows, waiting=5).batches(40)
    assert Counter(ran)[2] >= 3
    assert Counter(ran)[1] >= 3
    assert not {3, 4} & set(ran)


def test_where_company_is_free_halves_are_tried_and_nothing_smaller() -> None:
    ran = Crowd(lambda rows: 0.005).batches(3000)
    assert Counter(ran) == {32: 2995, 16: 5}


def test_a_size_that_met_stalls_but_was_quick_once_is_tried_again() -> None:
    met = Counter[int]()

    def stalling(rows: int) -> float:
        met[rows] += 1
        return convolution(rows) * (3 if rows <= 8 and met[rows] in {3, 5} else 1)

    crowd = Crowd(stalling)
    crowd.batches(70)
    assert set(crowd.batches(20)) == {8}, "4 and 2 seem to take more"
    crowd.batches(100)
    assert set(crowd.batches(20)) <= {4, 2}


def test_a_trial_makes_nobody_late() -> None:
    # Whoever comes last of 64 has the time of two batches of 32, 103 ms, and little more.
    ran = Crowd(convolution, waiting=64, within=0.110).batches(300)
    assert set(ran) == {32}


def test_requests_are_not_split_for_a_trial() -> None:
    ran = Crowd(lambda rows: 0.001 * rows, waiting=30, each=3).batches(200)
    assert all(rows % 3 == 0 for rows in ran)


def test_where_sizes_are_preferred_no_other_is_tried() -> None:
    assert set(Crowd(convolution, preferred=(16, 32)).batches(100)) == {32}
