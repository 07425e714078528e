import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.batching.policy import BatchPolicy, Waiting, cut, next_queue

POLICY = BatchPolicy(max_rows=8, max_delay_seconds=0.25, queue_size=512)


@pytest.mark.parametrize(
    ("queues", "now", "chosen"),
    [
        pytest.param([Waiting(1.000, 1)], 1.000, 0, id="the only queue, though its request came just now"),
        pytest.param([Waiting(1.000, 1), Waiting(1.125, 4)], 1.1875, 1, id="the fuller queue while none is overdue"),
        pytest.param([Waiting(1.125, 9), Waiting(1.000, 8)], 1.1875, 1, id="the older of two that fill a batch"),
        pytest.param([Waiting(1.000, 1), Waiting(1.125, 8)], 1.25, 0, id="a head that waited the whole delay"),
        pytest.param([Waiting(1.125, 8), Waiting(1.000, 1)], 2.0, 1, id="the oldest head when all are overdue"),
    ],
)
def test_next_queue_is(queues: list[Waiting], now: float, chosen: int) -> None:
    assert next_queue(queues, POLICY, now) == chosen


@pytest.mark.parametrize(
    ("rows", "taken"),
    [
        pytest.param([1], 1, id="a lone request goes at once"),
        pytest.param([1] * 20, 8, id="up to the largest batch"),
        pytest.param([3, 3, 3], 2, id="a request is not split"),
        pytest.param([8, 1], 1, id="a full batch takes no more"),
        pytest.param([5, 4, 1], 1, id="a small one does not overtake"),
        pytest.param([9, 1], 1, id="one that is too large alone goes alone"),
    ],
)
def test_cut_takes(rows: list[int], taken: int) -> None:
    assert cut(rows, 8) == taken


@given(st.lists(st.integers(1, 8), min_size=1), st.integers(8, 64))
def test_cut_fills_a_batch_as_far_as_requests_in_order_allow(rows: list[int], limit: int) -> None:
    taken = cut(rows, limit)
    assert 1 <= taken <= len(rows)
    assert sum(rows[:taken]) <= limit
    assert taken == len(rows) or sum(rows[: taken + 1]) > limit


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 100)), min_size=1), st.floats(10, 20))
def test_no_queue_is_passed_over_once_its_head_is_the_oldest_and_overdue(
    queues: list[tuple[float, int]], now: float
) -> None:
    waiting = [Waiting(oldest, rows) for oldest, rows in queues]
    overdue = [queue.oldest for queue in waiting if now - queue.oldest >= POLICY.max_delay_seconds]
    chosen = waiting[next_queue(waiting, POLICY, now)]
    if overdue:
        assert chosen.oldest == min(overdue)
