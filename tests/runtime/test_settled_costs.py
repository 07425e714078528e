"""Tiny runs that pass the queue by and whose cost is well known are looked at once a millisecond."""

import random
from collections.abc import Iterable
from math import inf

import numpy as np
import pytest

from tidegate_runtime.batching.alike import Alike
from tidegate_runtime.batching.backlog import Backlog
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.costs import ShapeCosts
from tidegate_runtime.batching.place import Place
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.rows import compatibility

RUN_SECONDS = 0.0001
FEEDS = {"x": np.zeros((1, 2), np.float32)}


class Lone:
    """Requests that come alone to a model that warmed up, of which so many runs of a row are known."""

    def __init__(self, known: int) -> None:
        table, place = CostTable(4), Place()
        self.shape: ShapeCosts = table.shape(compatibility(FEEDS), 2)
        for _ in range(2 + known):  # The first two don't count.
            self.shape.observe(1, RUN_SECONDS)
        self.shape.warmed_up()
        place.measured(1.0)
        self._backlog = Backlog(BatchPolicy(4, 0.0, 64), table, place)
        self._now = 0.0

    def looked_at(self, number: int, apart: float, seconds: float = RUN_SECONDS) -> int:
        """How many of so many more runs were taken into account; each began `apart` after the one before."""
        before = self.shape._seen
        for _ in range(number):
            self.run(seconds)
            self._now += apart
        return self.shape._seen - before

    def follow(self, seconds: Iterable[float]) -> None:
        """Runs that take so long and follow each other at once."""
        for each in seconds:
            self.run(each)
            self._now += each

    def run(self, seconds: float) -> None:
        alike = Alike(FEEDS, 1, inf, inf, lambda: [(FEEDS, inf, lambda _: None, None)])
        queue = self._backlog.pass_by(alike, 1, 8, self._now)
        assert queue is not None
        self._backlog.passed(queue, 1, seconds, self._now + seconds)


@pytest.mark.parametrize(
    ("known", "apart", "taken"),
    [
        pytest.param(128, 0.00025, 5, id="one in four of those that come four times a millisecond"),
        pytest.param(128, 0.002, 20, id="each of those that come by the two milliseconds"),
        pytest.param(107, 0.00025, 20, id="each until a window is full"),
    ],
)
def test_of_what_is_known_well_one_in_a_millisecond_is_looked_at(known: int, apart: float, taken: int) -> None:
    lone = Lone(known)
    assert lone.looked_at(20, apart) == taken


def test_what_has_come_to_cost_more_is_noticed_within_milliseconds() -> None:
    lone = Lone(128)
    lone.looked_at(4 * 64, 0.00025, 2 * RUN_SECONDS)
    cost = lone.shape.at(1)
    assert cost is not None
    # Sixty-four of them, each a sixteenth of what is missing: 1 - (15/16) ** 64 = 0.98; worked out anew each 32.
    assert cost.mean == pytest.approx(2 * RUN_SECONDS, rel=0.1)


def test_pauses_of_the_host_are_looked_at_no_more_often_than_other_runs() -> None:
    lone, chance = Lone(128), random.Random(7)
    # Two in a thousand take forty times as long, and so 7 % of the time.
    lone.follow(40 * RUN_SECONDS if chance.random() < 0.002 else RUN_SECONDS for _ in range(20_000))
    cost = lone.shape.at(1)
    assert cost is not None
    assert cost.p99 == pytest.approx(RUN_SECONDS, rel=0.01)


def test_each_run_is_looked_at_while_a_smaller_batch_is_to_be_tried() -> None:
    lone = Lone(128)
    lone.shape._trials._open.add(2)
    assert lone.looked_at(20, 0.00025) == 20
