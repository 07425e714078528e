"""How much room predictions are given, by what became of those let in; costs are 1 s a run whatever its rows."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.batching import entrance
from tidegate_runtime.batching.margin import GAIN, MOST, RATE, Margin
from tidegate_runtime.batching.policy import MARGIN
from tidegate_runtime.batching.tickets import WAITING, Batch, Ticket
from tidegate_runtime.errors import ExecutionFailed, Overloaded, RejectedByModel, RunEnded

from .simulation import Arrival, Cost, poisson, simulate, warm
from .test_admission import Door
from .test_scheduling_simulation import policy


def after(*told: tuple[int, bool]) -> float:
    margin = Margin()
    for number, late in told:
        for _ in range(number):
            margin.told(late=late)
    return margin.value


@pytest.mark.parametrize(
    ("told", "value"),
    [
        pytest.param([], 1.03, id="nothing told"),
        pytest.param([(100, False)], 1.03, id="never less"),
        pytest.param([(1, True)], 1.04992, id="one late: 0.02 · (1 - 0.004) more"),
        pytest.param([(1, True), (100, False)], 1.04192, id="each in time: 0.00008 less"),
        pytest.param([(1, True), (249, False)], 1.03, id="and 249 of them take it back"),
        pytest.param([(100, True)], 1.2, id="never more than a fifth"),
    ],
)
def test_the_margin_follows_the_share_of_runs_that_were_late(told: list[tuple[int, bool]], value: float) -> None:
    assert after(*told) == pytest.approx(value, abs=1e-9)


@given(st.lists(st.booleans(), max_size=300))
def test_the_margin_is_within_its_bounds_and_holds_the_rate(told: list[bool]) -> None:
    margin, risen = Margin(), 0.0
    for late in told:
        before = margin.value
        margin.told(late=late)
        assert MARGIN <= margin.value <= MOST
        assert (margin.value - before) * (1 if late else -1) >= 0
        if margin.value < MOST:
            risen += GAIN * (late - RATE)
        else:
            risen = MOST - MARGIN
        # More than the rate alone would make it, where the lower bound holds what was in time before against nobody.
        assert margin.value - MARGIN >= risen - 1e-9


def with_one_in_progress() -> tuple[Door, Batch]:
    """A run that began at 0 and tells nothing itself: what it is of has time to spare."""
    door = Door()
    door.come(0.0, 60.0)
    batch = door.cut(0.0)
    assert batch is not None
    return door, batch


def test_after_a_run_that_was_late_a_request_has_to_have_more_time() -> None:
    door, first = with_one_in_progress()
    door.come(0.0, 2 * MARGIN + 1e-9)
    door.backlog.ended(first, 1.0, 1.0)
    batch = door.cut(1.0)
    assert batch is not None
    door.backlog.ended(batch, 1.0, 2.1)
    assert door.backlog.margin.value == pytest.approx(MARGIN + GAIN * (1 - RATE))
    for _ in range(4):
        door.come(2.1, 60.0)
    with pytest.raises(Overloaded):
        door.come(2.1, 2 * MARGIN + 0.01)
    door.come(2.1, 2 * door.backlog.margin.value + 0.01)


def test_a_late_run_of_what_came_to_an_idle_engine_tells_nothing() -> None:
    door = Door()
    door.come(0.0, MARGIN + 1e-9)
    batch = door.cut(0.0)
    assert batch is not None
    door.backlog.ended(batch, 1.5, 1.5)
    assert door.backlog.margin.value == MARGIN


def test_a_request_that_is_given_up_widens_the_margin_too() -> None:
    door = Door()
    for _ in range(4):
        door.come(0.0, 60.0)
    assert door.cut(0.0) is not None
    door.come(0.5, 2.0)
    door.come(0.5, 60.0)
    batch = door.device.load.running
    assert batch is not None
    door.backlog.ended(batch, 2.4, 2.4)
    assert door.cut(2.4) is not None
    assert [ticket.deadline for ticket in door.dropped] == [2.5]
    batch = door.device.load.running
    assert batch is not None
    door.backlog.ended(batch, 1.0, 3.4)
    assert door.backlog.margin.value == pytest.approx(MARGIN + GAIN * (1 - RATE))


def test_a_run_behind_which_many_are_given_up_tells_once() -> None:
    door, batch = with_one_in_progress()
    for _ in range(31):
        door.come(0.0, 60.0).tight = True
    door.come(0.0, 600.0)
    door.backlog.ended(batch, 59.5, 59.5)
    following = door.cut(59.5)
    assert following is not None
    assert len(door.dropped) == 31
    door.backlog.ended(following, 1.0, 60.5)
    assert door.backlog.margin.value == pytest.approx(MARGIN + GAIN * (1 - RATE))


def test_what_runs_again_by_parts_tells_nothing() -> None:
    door, first = with_one_in_progress()
    for _ in range(4):
        door.come(0.0, 2.5)
    door.backlog.ended(first, 1.0, 1.0)
    batch, now = door.cut(1.0), 2.0
    assert batch is not None
    assert batch.tickets[0].tight
    door.backlog.failed(batch, RejectedByModel("one of them"), 1.0, now)
    parts = 0
    while (part := door.cut(now)) is not None:
        now += 1.0
        door.backlog.ended(part, 1.0, now)
        parts += 1
        if not door.backlog.depth:
            break
    assert parts >= 2
    assert now > 2.5
    assert door.backlog.margin.value == MARGIN


def test_a_late_run_of_requests_with_time_to_spare_tells_nothing() -> None:
    door, first = with_one_in_progress()
    door.come(0.0, 10.0)
    door.backlog.ended(first, 1.0, 1.0)
    batch = door.cut(1.0)
    assert batch is not None
    door.backlog.ended(batch, 10.0, 11.0)
    assert door.backlog.margin.value == MARGIN


WIDER = MARGIN + GAIN * (1 - RATE)
"""After one telling of late."""


def test_a_run_tells_that_somebody_gave_up_waiting_behind_it() -> None:
    door, batch = with_one_in_progress()
    ticket = door.come(0.0, 2.1)
    assert door.backlog.expire(2.1) == [ticket]
    assert door.backlog.margin.value == MARGIN
    door.backlog.ended(batch, 3.0, 3.0)
    assert door.backlog.margin.value == pytest.approx(WIDER)


def test_a_stall_that_makes_ten_give_up_counts_once() -> None:
    door, batch = with_one_in_progress()
    for number in range(10):
        door.come(0.0, 2.5 + number // 4)
    assert [len(door.backlog.expire(at)) for at in (2.5, 3.5, 4.5)] == [4, 4, 2]
    door.backlog.ended(batch, 5.0, 5.0)
    assert door.backlog.margin.value == pytest.approx(WIDER)
    door.come(5.0, 60.0)
    after = door.cut(5.0)
    assert after is not None
    door.backlog.ended(after, 1.0, 6.0)
    assert door.backlog.margin.value == pytest.approx(WIDER)


def test_a_late_run_tells_once_of_itself_and_of_who_gave_up_behind_it() -> None:
    door, first = with_one_in_progress()
    for _ in range(4):
        door.come(0.0, 2.1)
    door.come(0.0, 3.2)
    door.backlog.ended(first, 1.0, 1.0)
    batch = door.cut(1.0)
    assert batch is not None
    assert [len(door.backlog.expire(at)) for at in (2.1, 3.2)] == [4, 1]
    door.backlog.ended(batch, 3.0, 4.0)
    assert door.backlog.margin.value == pytest.approx(WIDER)


def test_a_run_tells_nothing_of_who_had_time_to_spare_and_gave_up_behind_it() -> None:
    door, batch = with_one_in_progress()
    door.come(0.0, 10.0)
    assert len(door.backlog.expire(10.0)) == 1
    door.backlog.ended(batch, 11.0, 11.0)
    assert door.backlog.margin.value == MARGIN


def test_a_run_tells_nothing_of_who_left_behind_it_before_the_deadline() -> None:
    door, batch = with_one_in_progress()
    door.backlog.withdraw(door.come(0.0, 2.1))
    assert door.backlog.expire(2.1) == []
    door.backlog.ended(batch, 3.0, 3.0)
    assert door.backlog.margin.value == MARGIN


def test_who_gives_up_while_nothing_runs_and_is_the_last_is_told_of_at_once() -> None:
    door, batch = with_one_in_progress()
    door.come(0.0, 2.1)
    door.backlog.ended(batch, 1.0, 1.0)
    door.backlog.expire(2.1)
    assert door.backlog.margin.value == pytest.approx(WIDER)
    assert not door.backlog.margin.missed


def test_who_gave_up_while_nothing_runs_is_told_of_when_the_last_other_has_left() -> None:
    door, batch = with_one_in_progress()
    door.come(0.0, 2.1)
    other = door.come(0.0, 60.0)
    door.backlog.ended(batch, 1.0, 1.0)
    door.backlog.expire(2.1)
    assert door.backlog.margin.value == MARGIN
    door.backlog.withdraw(other)
    assert door.backlog.margin.value == pytest.approx(WIDER)


def test_behind_a_run_that_failed_who_gave_up_is_told_of_at_once_if_nothing_waits() -> None:
    door, batch = with_one_in_progress()
    door.come(0.0, 2.1)
    door.backlog.expire(2.1)
    door.backlog.failed(batch, ExecutionFailed("broken"), 3.0, 3.0)
    assert door.backlog.margin.value == pytest.approx(WIDER)


def test_a_run_that_is_ended_since_nobody_waits_for_it_any_more_tells_that_it_was_late() -> None:
    door, first = with_one_in_progress()
    ticket = door.come(0.0, 2.1)
    door.backlog.ended(first, 1.0, 1.0)
    batch = door.cut(1.0)
    assert batch is not None
    assert door.backlog.expire(2.1) == [ticket]
    assert not batch.awaited
    assert door.backlog.failed(batch, RunEnded("nobody waits for it"), 1.2, 2.2) == []
    assert door.backlog.margin.value == pytest.approx(WIDER)


@pytest.mark.parametrize("put_back", [False, True])
def test_behind_a_run_that_failed_or_has_to_run_again_who_gave_up_is_told_of_by_the_next(put_back: bool) -> None:
    door, batch = with_one_in_progress()
    door.come(0.0, 2.1)
    door.come(0.0, 60.0)
    door.backlog.expire(2.1)
    if put_back:
        door.backlog.put_back(batch)
    else:
        door.backlog.failed(batch, ExecutionFailed("broken"), 3.0, 3.0)
    assert door.backlog.margin.value == MARGIN
    after = door.cut(3.0)
    assert after is not None
    door.backlog.ended(after, 1.0, 4.0)
    assert door.backlog.margin.value == pytest.approx(WIDER)


@given(st.lists(st.sampled_from(["come", "leave", "cut", "end", "fail", "put back", "wait"]), min_size=10, max_size=20))
def test_a_deadline_that_came_is_never_held_against_a_run_of_what_came_after_nothing_waited_or_ran(
    steps: list[str],
) -> None:
    (door, _), now = with_one_in_progress(), 0.0
    backlog, waiting = door.backlog, list[Ticket]()
    for step in steps:
        batch = backlog.running
        if step == "come":
            # Behind a run that takes longer than any did, who comes is predicted to be in the next.
            with suppress(Overloaded):
                waiting.append(door.come(now, 2.1 if batch is not None and now == batch.started else 1.1))
        elif step == "leave" and waiting:
            backlog.withdraw(waiting.pop())
        elif step == "cut" and batch is None:
            door.cut(now)
        elif step == "end" and batch is not None:
            backlog.ended(batch, now - batch.started, now)
        elif step == "fail" and batch is not None:
            backlog.failed(batch, ExecutionFailed("broken"), now - batch.started, now)
        elif step == "put back" and batch is not None:
            backlog.put_back(batch)
        elif step == "wait":
            now += 2.2
            backlog.expire(now)
        waiting = [ticket for ticket in waiting if ticket.state == WAITING]
        assert not backlog.margin.missed or backlog.depth or backlog.running is not None


def moody(seed: int) -> Cost:
    """A host that for about 0.7 s at a time is quicker, as ever, or a tenth or a quarter slower; a row costs more in
    company."""
    generator = np.random.default_rng(seed)
    left = factor = 0.0

    def seconds(_: int, rows: int) -> float:
        nonlocal left, factor
        usual = plain(1, rows)
        left -= usual
        if left <= 0:
            left, factor = generator.exponential(0.7), generator.choice([0.95, 1.0, 1.0, 1.1, 1.25])
        return usual * float(factor) * float(np.exp(generator.normal(0, 0.03)))

    return seconds


def plain(_: int, rows: int) -> float:
    return 0.009 * rows * (1 + 0.06 * float(np.log2(rows)))


def test_of_those_let_in_few_are_late_on_a_host_that_slows_down_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    def days() -> tuple[float, float]:
        """Which share of those let in was late, and answers in time a second."""
        outcomes = []
        for seed in range(1, 5):
            arrivals = [Arrival(at, within=0.5) for at in poisson(2 / 0.0095, 40.0, seed=seed + 50)]
            outcomes.append(simulate(arrivals, moody(seed), policy(32), warm(plain, [1], 32)))
        late = sum(len(outcome.late) for outcome in outcomes)
        answered = sum(len(outcome.answered) for outcome in outcomes)
        return late / (late + answered), answered / 160.0

    share, rate = days()
    monkeypatch.setattr(entrance, "TIGHT", np.inf)
    share_by_a_fixed_margin, rate_by_a_fixed_margin = days()
    assert share <= 0.012
    assert share <= 0.5 * share_by_a_fixed_margin
    assert rate >= 0.98 * rate_by_a_fixed_margin
