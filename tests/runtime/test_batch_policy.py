from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.batching.policy import (
    MARGIN,
    Head,
    completion,
    due,
    filled,
    fit,
    hold,
    in_time,
    level,
    next_queue,
    retry_after,
)
from tidegate_runtime.batching.work import Work


def head(*, due: float, seconds: float = 0.1, rows: int = 1, level: int = 4) -> Head:
    return Head(arrived=0.0, deadline=due, due=due, level=level, rows=rows, seconds=seconds)


@pytest.mark.parametrize(
    ("heads", "max_delay", "chosen"),
    [
        pytest.param([head(due=9.0)], 0.0, 0, id="the only queue"),
        pytest.param([head(due=9.0), head(due=8.0)], 0.0, 1, id="the earlier deadline"),
        pytest.param([head(due=8.0), head(due=8.5, seconds=1.0)], 0.0, 1, id="the later deadline of the longer work"),
        pytest.param([head(due=8.0), head(due=8.0)], 0.0, 0, id="the first of equals"),
        pytest.param([head(due=8.0), head(due=9.0, rows=4)], 2.0, 1, id="a fuller batch while the other can wait"),
        pytest.param([head(due=8.0), head(due=9.0, rows=4)], 1.0, 0, id="not a fuller one after the longest delay"),
        pytest.param([head(due=2.0, seconds=0.5), head(due=9.0, rows=4, seconds=0.6)], 2.0, 0, id="nor one too long"),
        pytest.param(
            [head(due=2.0, seconds=0.5), head(due=9.0, rows=4, seconds=0.5)], 2.0, 1, id="but one just in time"
        ),
        pytest.param([head(due=8.0, level=3), head(due=9.0, rows=4)], 2.0, 0, id="nor one of lower priority"),
    ],
)
def test_at_one_second_the_next_queue_is(heads: list[Head], max_delay: float, chosen: int) -> None:
    assert next_queue(heads, max_delay, 1.0) == chosen


@pytest.mark.parametrize(
    ("priority", "virtual"), [(0, 108.0), (1, 102.0), (2, 104.0), (3, 106.0), (4, 108.0), (99, 108.0)]
)
def test_priority_moves_the_virtual_deadline_forward_within_the_requests_own_time(
    priority: int, virtual: float
) -> None:
    assert due(100.0, 108.0, level(priority)) == virtual


def affine(rows: int) -> float:
    return 0.5 + 0.25 * rows


@pytest.mark.parametrize(
    ("requests", "taken"),
    [
        pytest.param([(1, 9.0)], 1, id="a lone request"),
        pytest.param([(1, 0.1), (1, 9.0)], 2, id="company does not matter to one that is late anyway"),
        pytest.param([(1, 9.0)] * 20, 8, id="up to the largest batch"),
        pytest.param([(3, 9.0)] * 3, 2, id="a request is not split"),
        pytest.param([(5, 9.0), (4, 9.0), (1, 9.0)], 1, id="a small one does not overtake"),
        pytest.param([(9, 9.0), (1, 9.0)], 1, id="one too large for a batch goes alone"),
        # 1 row 0.75 s, 2 rows 1 s, 3 rows 1.25 s
        pytest.param([(1, 1.0), (1, 9.0), (1, 9.0)], 2, id="as many as leave the head in time"),
        pytest.param([(1, 9.0), (1, 1.0), (1, 9.0)], 2, id="or whoever of them is the most urgent"),
        pytest.param([(1, 0.75), (1, 9.0)], 1, id="a head with no time to spare goes alone"),
    ],
)
def test_a_batch_takes(requests: list[tuple[int, float]], taken: int) -> None:
    assert fit(requests, 8, 0.0, affine) == taken


@given(st.lists(st.tuples(st.integers(1, 8), st.floats(0, 5)), min_size=1), st.integers(8, 64))
def test_nobody_in_a_batch_is_made_late_by_who_joined_after(requests: list[tuple[int, float]], limit: int) -> None:
    taken = fit(requests, limit, 0.0, affine)
    rows = [count for count, _ in requests]
    end = affine(sum(rows[:taken]))
    assert 1 <= taken <= len(requests)
    assert sum(rows[:taken]) <= limit
    for index, (_, deadline) in enumerate(requests[:taken]):
        assert end <= deadline or affine(sum(rows[: index + 1])) > deadline


@pytest.mark.parametrize(
    ("count", "rate", "own", "joined", "seconds"),
    [
        # Those there are take as long as one alone; company costs 1 ms. One waits: 10 / 2 - 1 = 4 ms pay off.
        pytest.param(1, 240.0, 0.010, 0.011, 0.0, id="the next is expected after 4.2 ms, too late"),
        pytest.param(1, 260.0, 0.010, 0.011, 0.004, id="after 3.8 ms: for as long as it pays off"),
        pytest.param(3, 1000.0, 0.010, 0.011, 0.0015, id="three wait: 10 / 4 - 1"),
        pytest.param(7, 9000.0, 0.010, 0.011, 0.0, id="seven wait: 10 / 8 - 1 is below a timer's resolution"),
        pytest.param(1, 1e9, 0.010, 0.020, 0.0, id="a batch of two costs as much as two runs"),
        pytest.param(1, 1e9, 0.002, 0.002, 0.001, id="2 ms are the shortest run that waits"),
        pytest.param(1, 1e9, 0.0019, 0.0019, 0.0, id="a shorter one never does"),
        pytest.param(1, 0.0, 0.010, 0.010, 0.0, id="nobody is expected"),
    ],
)
def test_an_idle_engine_waits_for_as_long_as_it_is_expected_to_pay_off(
    count: int, rate: float, own: float, joined: float, seconds: float
) -> None:
    assert hold(count, rate, own, own, joined) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("first", "count"),
    [
        # 1 row takes 0.75 s, 2 rows 1 s, 4 rows 1.5 s
        pytest.param(1, 1, id="the head after 0.75 s; the four after 2.25 s and the last after 3 s are late"),
        pytest.param(4, 3, id="two of four after 1.5 s, and the last of two after 2.5 s"),
    ],
)
def test_who_is_in_time_is_counted_over_the_whole_queue(first: int, count: int) -> None:
    requests = [(1, 1.2), (1, 1.2), (1, 1.5), (1, 1.5), (1, 1.5), (1, 2.5)]
    assert in_time(requests, first, 4, 0.0, affine) == count


@pytest.mark.parametrize(("start", "count"), [(0, 2), (1, 1), (2, 2), (3, 1)])
def test_a_batch_is_filled_in_order(start: int, count: int) -> None:
    assert filled([(2, 0.0), (2, 0.0), (3, 0.0), (1, 0.0)], start, 4) == count


@pytest.mark.parametrize(
    ("works", "seconds"),
    [
        pytest.param([Work(1.0, 0.25)], 1.5, id="alone, the p99 of its own batch"),
        pytest.param([Work(1.0, 0.0)] * 3, 3.0, id="means add up"),
        pytest.param([Work(1.0, 9.0), Work(2.0, 16.0)], 8.0, id="deviations add in quadrature"),
        pytest.param([], 0.0, id="nothing"),
    ],
)
def test_completion_is_predicted(works: Sequence[Work], seconds: float) -> None:
    assert completion(works) == MARGIN * seconds


@pytest.mark.parametrize(("seconds", "told"), [(0.0, 1), (0.9, 1), (1.0, 1), (1.1, 2), (59.5, 60), (1e9, 3600)])
def test_retry_after_is_whole_seconds_rounded_up(seconds: float, told: int) -> None:
    assert retry_after(seconds) == told
