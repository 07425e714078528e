"""A shape that met a crowd before it ran anything small tries small batches, and keeps to what is cheapest."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import repeat

import numpy as np
import pytest

from tidegate_runtime.batching.backlog import Backlog
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.device import Device
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.rows import compatibility
from tidegate_runtime.batching.tickets import Outputs
from tidegate_runtime.batching.trials import PAUSE, Best, Trials
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
        *,
        closed: bool = False,
    ) -> None:
        """With `closed`, who was answered asks again only once the next batch is cut, as clients do."""
        self.seconds, self.waiting, self.within, self.each, self.closed = seconds, waiting, within, each, closed
        self.answered = waiting // 2 if closed else 0
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
            answered = self.answered if self.backlog.depth else 0
            while self.backlog.depth * self.each < self.waiting - answered:
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
            self.answered = batch.rows if self.closed else 0
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
    assert set(crowd.batches(20)) == {16}, "smaller ones seem to take more"
    crowd.batches(100)
    assert set(crowd.batches(20)) <= {4, 2}


@pytest.mark.parametrize("clients", [10, 12, 20, 22, 28])
def test_trials_end_where_now_more_wait_and_now_less(clients: int) -> None:
    crowd = Crowd(lambda rows: 0.005 + 0.0002 * rows, waiting=clients, closed=True)
    crowd.batches(300)
    ran = crowd.batches(100)
    assert sum(ran) / sum(map(crowd.seconds, ran)) >= 0.9 * clients / (0.010 + 0.0002 * clients), "as two halves"


def test_a_trial_that_was_put_off_waits() -> None:
    trials, best = Trials(32), Best(32, 0.001, 0.0)
    assert trials.size(64, PAUSE, {}, best) == 16
    trials.put_off(PAUSE)
    assert trials.size(64, 2 * PAUSE - 1, {}, best) == 0
    assert trials.size(64, 2 * PAUSE, {}, best) == 16


def test_what_a_size_took_in_a_mix_of_sizes_is_forgotten_with_its_first_run_of_a_trial_that_counts() -> None:
    shape = CostTable(32).shape("x", 1)
    for _ in range(8):
        shape.observe(4, 0.9)
    shape.followed(4, 0.5)
    shape.try_lesser(4, late=False)
    for seconds in (0.8, 0.6, 0.4):
        shape.observe(4, seconds)
    cost = shape.at(4)
    assert cost is not None
    assert (cost.mean, shape.overhead(4)) == (0.4, 0.0)


def test_a_size_that_seems_quick_but_is_not_the_best_is_tried_ever_more_rarely() -> None:
    met = Counter[int]()

    def scattering(rows: int) -> float:
        """One run in four of 16 rows is quick."""
        met[rows] += 1
        return 0.001 * rows * (0.7 if rows == 16 and met[16] % 4 == 3 else 1.2 if rows == 16 else 1.0)

    ran = Crowd(scattering).batches(4000)
    assert 5 <= ran.count(16) <= 60


def test_a_trial_makes_nobody_late() -> None:
    # Whoever comes last of 64 has the time of two batches of 32, 103 ms, and little more.
    ran = Crowd(convolution, waiting=64, within=0.110).batches(300)
    assert set(ran) == {32}


def test_requests_are_not_split_for_a_trial() -> None:
    ran = Crowd(lambda rows: 0.001 * rows, waiting=30, each=3).batches(200)
    assert set(ran) == {30}


def test_where_sizes_are_preferred_no_other_is_tried() -> None:
    assert set(Crowd(convolution, preferred=(16, 32)).batches(100)) == {32}
