from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.adapter.exposition import Reading
from tidegate_operator.adapter.percentile import Bucket, Counts, merge
from tidegate_operator.adapter.windows import CAPACITY, PodWindow, increase

FAST, SLOW = Bucket(0.1, 0.0), Bucket(0.2, 0.1)
ReadingOf = Callable[..., Reading]
growth = st.dictionaries(st.sampled_from([FAST, SLOW]), st.integers(0, 50))


def window_of(*readings: tuple[float, Reading], span: float = 30.0) -> PodWindow:
    window = PodWindow(span)
    for at, reading in readings:
        window.record(reading, at)
    return window


def answered(window: PodWindow, since: float) -> Counts:
    return merge(interval.answered for interval in window.intervals(since))


def without_zeros(counts: Counts) -> dict[Bucket, int]:
    return {bucket: count for bucket, count in counts.items() if count}


def test_mean_is_over_the_readings_in_the_time_asked_for(reading: ReadingOf) -> None:
    window = window_of((0, reading(queue=100)), (10, reading(queue=2)), (12, reading(queue=6)))
    assert window.mean("tidegate_queue_depth", since=10) == 4.0
    assert window.mean("tidegate_inflight", since=0) == pytest.approx((101 + 3 + 7) / 3)


def test_mean_is_none_without_a_reading_in_that_time(reading: ReadingOf) -> None:
    window = window_of((0, reading(queue=100)))
    assert window.mean("tidegate_queue_depth", since=1) is None
    assert PodWindow(30).mean("tidegate_queue_depth", since=0) is None


def test_mean_is_none_for_a_gauge_that_the_pod_does_not_have() -> None:
    assert window_of((0, Reading({}, {}))).mean("tidegate_queue_depth", since=0) is None


def test_intervals_hold_what_was_answered_between_two_readings(reading: ReadingOf) -> None:
    window = window_of((0, reading({0.1: 100})), (2, reading({0.1: 103})), (4, reading({0.1: 103, 0.2: 1})))
    first, second = window.intervals(since=0)
    assert (first.start, first.end, first.answered) == (0, 2, {FAST: 3})
    assert (second.start, second.end, second.answered) == (2, 4, {SLOW: 1})
    assert window.intervals(since=1) == [second]


def test_one_reading_makes_no_interval(reading: ReadingOf) -> None:
    assert window_of((0, reading({0.1: 100}))).intervals(since=0) == []


def test_readings_that_go_back_in_time_are_dropped(reading: ReadingOf) -> None:
    window = window_of((5, reading({0.1: 1})), (5, reading({0.1: 9})), (4, reading({0.1: 9})), (6, reading({0.1: 2})))
    assert answered(window, since=0) == {FAST: 1}


def test_a_gap_longer_than_the_window_is_not_counted_as_recent(reading: ReadingOf) -> None:
    window = window_of((0, reading({0.1: 1})), (40, reading({0.1: 500})))
    assert window.intervals(since=10) == []


def test_window_stays_bounded_however_often_it_is_fed(reading: ReadingOf) -> None:
    window = PodWindow(span=1e9)
    for tick in range(10 * CAPACITY):
        window.record(reading({0.1: tick}), float(tick))
    assert len(window.intervals(since=0)) == CAPACITY


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({FAST: 5}, {FAST: 7, SLOW: 1}, {FAST: 2, SLOW: 1}, id="growth"),
        pytest.param({FAST: 5}, {FAST: 5}, {}, id="nothing new"),
        pytest.param({FAST: 5}, {FAST: 3}, {FAST: 3}, id="a restart, seen by a smaller count"),
        pytest.param({FAST: 5, SLOW: 2}, {FAST: 9}, {FAST: 9}, id="a restart, seen in one bucket only"),
        pytest.param({FAST: 5}, {}, {}, id="a restart with nothing answered yet"),
    ],
)
def test_increase_is_what_was_counted_between_two_readings(before: Counts, after: Counts, expected: Counts) -> None:
    assert increase(before, after) == expected


@given(st.lists(st.tuples(growth, st.booleans()), min_size=1, max_size=14))
def test_a_restart_never_gives_a_negative_count_and_never_more_than_was_answered(
    steps: list[tuple[dict[Bucket, int], bool]],
) -> None:
    window, counters, total = PodWindow(30.0), merge([]), 0
    window.record(Reading({}, counters), 0.0)
    for number, (grown, restarts) in enumerate(steps, start=1):
        counters = merge([{} if restarts else counters, grown])
        total += sum(grown.values())
        window.record(Reading({}, counters), 2.0 * number)
    counts = [count for interval in window.intervals(since=0) for count in interval.answered.values()]
    assert all(count >= 0 for count in counts)
    assert sum(counts) <= total


@given(st.lists(st.lists(growth, min_size=5, max_size=5), min_size=1, max_size=4), st.integers(0, 10))
def test_merging_the_windows_of_pods_equals_the_window_of_their_merged_counters(
    pods: list[list[dict[Bucket, int]]], since: int
) -> None:
    together, apart = PodWindow(30.0), [PodWindow(30.0) for _ in pods]
    counters: list[Counts] = [{} for _ in pods]
    for number in range(5):
        counters = [merge([counter, pod[number]]) for counter, pod in zip(counters, pods, strict=True)]
        for window, counter in zip(apart, counters, strict=True):
            window.record(Reading({}, counter), 2.0 * number)
        together.record(Reading({}, merge(counters)), 2.0 * number)
    merged = merge(answered(window, since) for window in apart)
    assert without_zeros(merged) == without_zeros(answered(together, since))
