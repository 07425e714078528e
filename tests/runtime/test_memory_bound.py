"""How large batches may be after memory ran out, and when larger ones are tried again."""

import pytest

from tidegate_runtime.batching.memory_bound import MemoryBound


def test_without_a_failure_it_stays_what_it_is() -> None:
    bound = MemoryBound(32)
    assert not bound.grown(1e9)
    assert bound.rows == 32


@pytest.mark.parametrize(("failed", "rows"), [(32, 16), (5, 2), (3, 1), (2, 1)])
def test_it_is_half_of_what_failed(failed: int, rows: int) -> None:
    bound = MemoryBound(32)
    bound.failed(failed, 0.0)
    assert bound.rows == rows


def test_it_doubles_after_a_minute_each_until_it_is_what_it_was() -> None:
    bound = MemoryBound(12)
    bound.failed(12, 100.0)
    bound.failed(6, 100.1)  # A half of the first.
    seen = []
    for now in (130.0, 160.0, 160.2, 219.0, 221.0, 1e9):
        bound.grown(now)
        seen.append(bound.rows)
    assert seen == [3, 3, 6, 6, 12, 12]


def test_each_further_failure_doubles_the_time_up_to_an_hour() -> None:
    bound = MemoryBound(2)
    now, pauses = 0.0, []
    for _ in range(9):
        bound.failed(2, now)
        began = now
        while not bound.grown(now):
            now += 1
        pauses.append(now - began)
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
