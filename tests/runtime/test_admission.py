"""What is let in: costs are 1 s a run whatever its rows, unless a test says otherwise; batches of up to four."""

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
import pytest

from tidegate_runtime.batching.backlog import Backlog
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.device import Device
from tidegate_runtime.batching.policy import MARGIN, BatchPolicy
from tidegate_runtime.batching.rows import compatibility
from tidegate_runtime.batching.shapes import MAX_SHAPES
from tidegate_runtime.batching.tickets import OVER, WAITING, Batch, Outputs, Ticket
from tidegate_runtime.batching.turns import Turns
from tidegate_runtime.errors import DeadlineExceeded, Overloaded, RejectedByModel, RuntimeFault
from tidegate_runtime.tensors import Feeds


def request(width: int = 1, rows: int = 1) -> Feeds:
    return {"x": np.zeros((rows, width), np.float32)}


def ignored(_: Outputs | RuntimeFault) -> None:
    pass


class Door:
    """A backlog, and requests of one row that come to it."""

    def __init__(
        self, seconds: Callable[[int], float] | None = lambda _rows: 1.0, *, trials: bool = False, **policy: Any
    ) -> None:
        table = CostTable(4)
        if seconds is not None:
            self.shape = table.shape(compatibility(request()), 1)
            for rows in [1, 1, 1, 2, 4]:
                self.shape.observe(rows, seconds(rows))
            self.shape.trial_at = 0.0 if trials else inf
        defaults: dict[str, Any] = {"max_rows": 4, "max_delay_seconds": 0.0, "queue_size": 100}
        self.backlog = Backlog(BatchPolicy(**(defaults | policy)), table)
        self.device = Device()
        self.device.join(self.backlog)

    @property
    def dropped(self) -> list[Ticket]:
        return [ticket for _, ticket in self.device.dropped]

    def cut(self, now: float) -> Batch | None:
        cut = self.device.cut(now)
        return cut[1] if cut is not None else None

    def come(self, at: float, within: float, width: int = 1, **options: Any) -> Ticket:
        return self.backlog.admit(request(width), 1, at, at + within, ignored, **options)


@pytest.mark.parametrize(
    ("waiting", "running", "enough"),
    [
        pytest.param(0, False, 1.0, id="idle: its own run"),
        pytest.param(3, False, 1.0, id="company in its own batch costs nothing here"),
        pytest.param(4, False, 2.0, id="a full batch before it"),
        pytest.param(9, False, 3.0, id="two full batches before it"),
        pytest.param(0, True, 1.75, id="what is left of the run in progress, and its own"),
        pytest.param(5, True, 2.75, id="the run in progress, a full batch, its own"),
    ],
)
def test_a_request_is_let_in_if_it_is_predicted_to_be_in_time(waiting: int, running: bool, enough: float) -> None:
    door = Door()
    now = 100.0
    if running:
        door.come(now, 60.0)
        assert door.cut(now) is not None
        now += 0.25
    for _ in range(waiting):
        door.come(now, 60.0)
    if waiting or running:
        with pytest.raises(Overloaded) as refused:
            door.come(now, MARGIN * enough - 0.01)
        assert refused.value.refusal == "Deadline"
        assert refused.value.retry_after_seconds == np.ceil(MARGIN * enough)
    door.come(now, MARGIN * enough + 1e-9)


def test_nobody_is_let_in_who_makes_late_what_was_let_in_before() -> None:
    door = Door(float)
    door.come(0.0, 60.0)
    door.cut(0.0)
    # 1 s is left of the run in progress; two rows take 2 s, three 3 s.
    door.come(0.0, MARGIN * 3.0 + 0.1)
    door.come(0.0, 60.0)
    with pytest.raises(Overloaded) as refused:
        # The next batch is full for the first one's sake, so it would be the one after it: 1 s + 2 s + 1 s.
        door.come(0.0, MARGIN * 4.0 - 0.01)
    assert refused.value.retry_after_seconds == np.ceil(MARGIN * 4.0)
    door.come(0.0, MARGIN * 4.0 + 1e-9)


def test_what_the_event_loop_does_between_runs_is_waited_for_too() -> None:
    door = Door()
    now = queued_runs(door, 12, between=0.5, more=1)
    # Nine turns tell what is usual, and of the last run not all is known: three are added to the way alone, 0 s.
    assert door.shape.overhead(4) == pytest.approx(3 * 0.5 / 4)
    # Of one row, which runs, and of the request's own run a quarter of that is expected.
    overhead = 3 * 0.5 / 16
    with pytest.raises(Overloaded):
        door.come(now, MARGIN * (2 + 2 * overhead) - 0.01)
    door.come(now, MARGIN * (2 + 2 * overhead) + 1e-9)


def queued_runs(door: Door, count: int, *, between: float, more: int, now: float = 0.0) -> float:
    """So many runs of four rows, of 1 s each, one after another, and `more` rows behind them; the time after them."""
    for _ in range(4 * count + more):
        door.come(now, 600.0)
    batch = door.cut(now)
    for _ in range(count):
        assert batch is not None
        now += 1.0
        door.backlog.ended(batch, 1.0, now)
        now += between
        batch = door.cut(now)
    return now


def test_a_small_batch_does_not_pay_for_the_answers_of_the_large_one_before_it() -> None:
    door = Door()
    turns = Turns(CostTable(4))
    for rows in (4, 1) * 7:
        turns.ended(door.shape, rows, 0.0)
        turns.cut(0.4 if rows == 1 else 0.1)
    # 0.5 s pass for five rows; to begin with the way alone was expected, 0 s, and it was told of each but the last.
    assert door.shape.overhead(4) == pytest.approx(0.4 * 3 / 4)
    assert door.shape.overhead(1) == pytest.approx(0.1 * 2 / 3)


def test_a_stop_of_the_whole_process_between_two_runs_is_not_expected_again() -> None:
    door = Door()
    turns = Turns(CostTable(4))
    for turn in range(40):
        # Counts that are seen rarely would keep it.
        turns.ended(door.shape, 3 if turn == 30 else 4, 0.0)
        turns.cut(60.0 if turn == 30 else 0.008)
    assert door.shape.overhead(4) < 0.02
    assert door.shape.overhead(3) < 0.05


def test_what_passes_while_nothing_waits_is_no_work_of_the_event_loop() -> None:
    door = Door()
    now = queued_runs(door, 12, between=0.1, more=4)
    expected = door.shape.overhead(4)
    assert expected > 0.0
    for queue in list(door.backlog.active):
        for ticket in list(queue):
            door.backlog.withdraw(ticket)
    running = door.device.load.running
    assert running is not None
    door.backlog.ended(running, 1.0, now + 1.0)
    queued_runs(door, 4, between=0.1, more=1, now=now + 100.0)
    assert expected <= door.shape.overhead(4) <= 0.1


def test_other_shapes_before_it_count() -> None:
    door = Door()
    door.come(0.0, 60.0, width=1)
    with pytest.raises(Overloaded):
        door.come(0.0, 2.9, width=2)
    # 1 s, and 2 s for rows twice as wide, of which nothing else is known.
    door.come(0.0, MARGIN * 3.0 + 1e-9, width=2)


def test_a_run_that_takes_longer_than_its_mean_is_expected_to_end_by_its_p99() -> None:
    door = Door(None)
    shape = door.backlog._table.shape(compatibility(request()), 1)
    for seconds in (9.0, 9.0, 1.0, 1.0, 1.0, 5.0):
        shape.observe(1, seconds)
    # mean 2 s, p99 5 s
    door.come(0.0, 60.0)
    door.cut(0.0)
    with pytest.raises(Overloaded):
        door.come(4.0, 5.9)
    door.come(4.0, MARGIN * 6.0 + 1e-9)


def test_a_deadline_in_the_past_is_not_a_matter_of_load() -> None:
    with pytest.raises(DeadlineExceeded):
        Door().come(1.0, 0.0)


def test_an_idle_engine_tries_what_will_probably_be_in_time() -> None:
    door = Door(None)
    shape = door.backlog._table.shape(compatibility(request()), 1)
    for seconds in (9.0, 9.0, 1.0, 1.0, 1.0, 5.0):
        shape.observe(1, seconds)
    shape.trial_at = inf
    door.come(0.0, 2.5)
    with pytest.raises(Overloaded):
        door.come(0.0, 2.5)


def test_what_was_refused_by_an_old_figure_is_tried_again_after_longer_and_longer_times() -> None:
    door = Door(trials=True)
    tried = []
    for second in range(40):
        try:
            ticket = door.come(float(second), 0.5)
        except Overloaded:
            continue
        tried.append(second)
        assert ticket.trial
        assert door.cut(float(second)) is not None
        door.backlog.expire(second + 0.5)
        door.device.load.running = None
    assert tried == [0, 1, 3, 7, 15, 31]


def test_figures_that_a_trial_proves_wrong_are_forgotten() -> None:
    door = Door(trials=True)
    door.come(0.0, 0.5)
    batch = door.cut(0.0)
    assert batch is not None
    door.backlog.ended(batch, 0.01, 0.01)
    assert batch.shape.at(1) == (0.01, 0.01)


def test_nothing_is_refused_for_its_deadline_while_nothing_is_known() -> None:
    door = Door(None)
    for _ in range(20):
        door.come(0.0, 0.001)


def test_the_request_over_the_bound_is_refused() -> None:
    door = Door(queue_size=9)
    for _ in range(9):
        door.come(0.0, 60.0)
    with pytest.raises(Overloaded, match="9 requests are waiting, the limit; try again after 4 s") as refused:
        door.come(0.0, 60.0)
    assert (refused.value.refusal, refused.value.retry_after_seconds) == ("QueueFull", 4)


def test_the_bytes_that_wait_are_bounded_and_any_one_request_fits() -> None:
    door = Door(queue_bytes=100)
    door.backlog.admit(request(width=50), 1, 0.0, 60.0, ignored)
    with pytest.raises(Overloaded, match="hold 200 of 100 bytes") as refused:
        door.come(0.0, 60.0)
    assert refused.value.refusal == "QueueBytes"
    assert door.cut(0.0) is not None
    assert door.backlog.bytes == 0
    door.come(0.0, 60.0)


def test_a_request_that_left_makes_room_at_once() -> None:
    door = Door(queue_size=2)
    first, _ = door.come(0.0, 60.0), door.come(0.0, 60.0)
    door.backlog.withdraw(first)
    assert (door.backlog.depth, door.backlog.bytes, first.state) == (1, 4, OVER)
    assert first.feeds is None
    assert door.come(0.0, 60.0).state == WAITING


def test_shapes_beyond_the_bound_share_a_queue_and_run_alone() -> None:
    door = Door(queue_size=1000)
    for width in range(1, MAX_SHAPES + 3):
        for _ in range(2):
            door.come(0.0, 1e6, width=width)
    sizes = []
    while (batch := door.cut(0.0)) is not None:
        sizes.append(len(batch.tickets))
        door.backlog.ended(batch, 1.0, 0.0)
    assert sorted(sizes) == [1] * 4 + [2] * MAX_SHAPES


def test_a_new_shape_takes_the_place_of_the_one_not_used_for_longest() -> None:
    door = Door(None)
    for width in range(1, MAX_SHAPES + 1):
        door.backlog.withdraw(door.come(float(width), 60.0, width=width))
    door.backlog.withdraw(door.come(70.0, 60.0, width=1))
    door.come(71.0, 60.0, width=1000)
    shapes = {shape.elements for shape in door.backlog._table.shapes.values()}
    assert len(shapes) == MAX_SHAPES
    assert {1, 1000} <= shapes
    assert 2 not in shapes


def test_what_can_not_be_in_time_any_more_gives_way_to_what_can() -> None:
    door = Door()
    late, good = door.come(0.0, 1.1), door.come(0.0, 60.0)
    batch = door.cut(0.5)
    assert door.dropped == [late]
    assert batch is not None
    assert batch.tickets == [good]


def test_what_is_late_by_the_figures_runs_all_the_same_where_nothing_else_waits() -> None:
    door = Door()
    late = door.come(0.0, 1.1)
    batch = door.cut(0.5)
    assert batch is not None
    assert (batch.tickets, door.dropped) == ([late], [])


@pytest.mark.parametrize(
    ("deadlines", "sizes"),
    [
        # 1 row takes 1 s, 2 rows 1.5 s, 3 rows 2 s, 4 rows 2.5 s
        pytest.param([9.0, 9.0, 9.0, 9.0], 4, id="all where there is time"),
        pytest.param([1.6, 9.0, 9.0, 9.0], 2, id="few for the sake of the most urgent"),
        pytest.param([2.4, 2.6, 2.9, 2.9], 4, id="all but the most urgent where that answers more in time"),
    ],
)
def test_a_batch_is_as_large_as_serves_most(deadlines: list[float], sizes: int) -> None:
    door = Door(lambda rows: 0.5 + 0.5 * rows)
    door.backlog._check = lambda *_: (False, 0.0)  # type: ignore[method-assign]
    for deadline in deadlines:
        door.come(0.0, deadline)
    batch = door.cut(0.0)
    assert batch is not None
    assert len(batch.tickets) + len(door.dropped) == sizes


def reject(door: Door, bad: set[Ticket], seconds: float, now: float = 0.0) -> tuple[list[int], list[Ticket]]:
    """Runs all that waits; a batch with a bad request in it is refused. The sizes of the batches, and who was told."""
    sizes, told = [], []
    while (batch := door.cut(now)) is not None:
        sizes.append(len(batch.tickets))
        if bad.intersection(batch.tickets):
            told += door.backlog.failed(batch, RejectedByModel("bad"), seconds, now)
        else:
            door.backlog.ended(batch, seconds, now)
    return sizes, told


def test_a_bad_request_is_found_by_halving() -> None:
    door = Door(lambda _rows: 0.01)
    tickets = [door.come(0.0, 60.0) for _ in range(4)]
    assert reject(door, {tickets[2]}, 0.01) == ([4, 2, 2, 1, 1], [tickets[2]])


def test_beyond_the_budget_a_bad_batch_runs_one_by_one_and_offenders_stay_alone() -> None:
    door = Door(lambda _rows: 0.2)
    spoilt = [door.come(0.0, 60.0, client=client) for client in ("good", "bad", "good", "good")]
    assert reject(door, {spoilt[1]}, 0.2)[0] == [4, 2, 2, 1, 1]
    # Four parts ran for 0.8 s; another 0.3 s are over a tenth of ten seconds.
    spoilt = [door.come(1.0, 60.0, client=client) for client in ("good", "worse", "good", "good")]
    sizes, told = reject(door, {spoilt[1]}, 0.3, now=1.0)
    assert (sizes, told) == ([4, 1, 1, 1, 1], [spoilt[1]])
    for client in ("good", "bad", "good", "worse"):
        door.come(2.0, 60.0, client=client)
    assert sorted(reject(door, set(), 0.1, now=2.0)[0]) == [1, 1, 2]
    for client in ("good", "bad", "good", "worse"):
        door.come(15.0, 60.0, client=client)
    assert reject(door, set(), 0.1, now=15.0)[0] == [4]


def test_parts_of_a_bad_batch_are_given_up_where_there_is_no_time_left_for_them() -> None:
    door = Door(lambda _rows: 0.1)
    hurried, patient, bad = door.come(0.0, 0.15), door.come(0.0, 60.0), door.come(0.0, 60.0)
    batch = door.cut(0.0)
    assert batch is not None
    assert door.backlog.failed(batch, RejectedByModel("bad"), 0.1, 0.1) == []
    batch = door.cut(0.1)
    assert batch is not None
    assert door.dropped == [hurried]
    assert batch.tickets in ([patient], [bad])


@pytest.mark.parametrize("priority", [0, 1])
def test_the_urgent_and_the_important_go_first(priority: int) -> None:
    door = Door(max_rows=1)
    first = door.come(0.0, 60.0)
    second = door.come(0.0, 60.0 if priority else 50.0, priority=priority)
    order = []
    while (batch := door.cut(0.0)) is not None:
        order += batch.tickets
        door.backlog.ended(batch, 1.0, 0.0)
    assert order == [second, first]
