from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.adapter.exposition import Reading
from tidegate_operator.adapter.percentile import Bucket
from tidegate_operator.adapter.scaling_signal import Replica, load, p95
from tidegate_operator.adapter.windows import PodWindow

ReadingOf = Callable[..., Reading]
LONG_AGO = -1000.0


def steady(reading: ReadingOf, upper: float, per_interval: int = 100, *, begin: int = 0, end: int = 60) -> PodWindow:
    """A pod read every other second that answers `per_interval` requests in the bucket up to `upper` in between."""
    window = PodWindow(30.0)
    for number, at in enumerate(range(begin, end + 1, 2)):
        window.record(reading({upper: number * per_interval}), float(at))
    return window


def test_load_is_the_mean_of_the_last_15_seconds(reading: ReadingOf) -> None:
    window = PodWindow(30.0)
    for at, queue in [(80.0, 1000), (86.0, 4), (99.0, 8)]:
        window.record(reading(queue=queue), at)
    assert load(window, "tidegate_queue_depth", now=100.0) == 6.0
    assert load(window, "tidegate_queue_depth", now=114.5) is None


def test_p95_of_pods_that_cannot_be_reached_is_no_data(reading: ReadingOf) -> None:
    assert p95([], 0.1, now=60) is None
    assert p95([Replica(PodWindow(30.0), LONG_AGO, None)], 0.1, now=60) is None
    assert p95([Replica(steady(reading, 0.2), LONG_AGO, None)], 0.1, now=120) is None


def test_p95_of_a_pod_read_once_is_no_data(reading: ReadingOf) -> None:
    window = PodWindow(30.0)
    window.record(reading({0.1: 5}), 59.0)
    assert p95([Replica(window, LONG_AGO, None)], 0.1, now=60) is None


def test_p95_of_a_reachable_revision_without_requests_is_zero(reading: ReadingOf) -> None:
    assert p95([Replica(steady(reading, 0.2, per_interval=0), LONG_AGO, None)], 0.1, now=60) == 0.0


def test_p95_merges_the_pods(reading: ReadingOf) -> None:
    # 14 intervals each: 1,400 in (0, 0.1] and 1,400 in (0.2, 0.4]; rank 2,660 is 1,260 of 1,400 into the second.
    fast, slow = steady(reading, 0.1), steady(reading, 0.4)
    replicas = [Replica(fast, LONG_AGO, None), Replica(slow, LONG_AGO, None)]
    assert p95(replicas, None, now=60) == pytest.approx(0.2 + 0.2 * 0.9)


@pytest.mark.parametrize(
    ("ready_since", "unready_since", "target", "expected"),
    [
        # Every request takes (0.2, 0.4]: p95 is 0.39. Read every 2 s up to now = 60; the window begins at 30.
        pytest.param(LONG_AGO, None, None, 0.39, id="no target: as measured"),
        pytest.param(LONG_AGO, None, 0.3, 0.39, id="above the target: as measured"),
        pytest.param(LONG_AGO, None, 0.1, 0.2, id="far above the target: twice the target"),
        pytest.param(LONG_AGO, None, 0.5, 0.39, id="below the target: as measured"),
        pytest.param(None, 50.0, 0.3, 0.3, id="a replica is starting: no more than the target"),
        pytest.param(None, 50.0, 0.5, 0.39, id="a replica is starting and p95 is below the target: as measured"),
        pytest.param(None, -250.0, 0.3, 0.39, id="a replica has not become ready in 5 min: not waited for"),
        pytest.param(59.9, None, 0.3, 0.3, id="just became ready: the target until requests begun since are seen"),
        # An interval counts if it began 10 + 0.4 s or more after the replica became ready: [58, 60] from 47.6 on.
        pytest.param(47.6, None, 0.3, 0.39, id="settled for a while: requests that began since"),
        pytest.param(47.7, None, 0.3, 0.3, id="settled, but the requests may have begun before"),
        pytest.param(None, None, 0.3, 0.39, id="the pod is being deleted: its requests count"),
    ],
)
def test_p95_rises_above_its_target_only_by_requests_that_saw_the_newest_replica(
    reading: ReadingOf, ready_since: float | None, unready_since: float | None, target: float | None, expected: float
) -> None:
    replicas = [
        Replica(steady(reading, 0.4), LONG_AGO, None),
        Replica(PodWindow(30.0), ready_since, unready_since),
    ]
    assert p95(replicas, target, now=60) == pytest.approx(expected)


def test_p95_keeps_the_target_while_slow_requests_are_in_the_window_and_falls_when_they_have_left_it(
    reading: ReadingOf,
) -> None:
    window = PodWindow(30.0)
    # Slow until the second replica became ready at 20, fast from then on.
    for number, at in enumerate(range(0, 61, 2)):
        slow = min(number, 10) * 100
        window.record(reading({0.4: slow, 0.1: (number - min(number, 10)) * 100}), float(at))
        if at == 40:
            replicas = [Replica(window, LONG_AGO, None), Replica(PodWindow(30.0), 20.0, None)]
            # In the window [10, 40]: 500 slow, 1,000 fast, so 0.38 over all; those begun since 20 are all fast.
            assert p95(replicas, 0.3, now=40) == pytest.approx(0.3)
    # All in [30, 60] are fast, but until 20 + 10 + 30 what is told may not be less than all of them together.
    assert p95(replicas, 0.3, now=60) == pytest.approx(0.095)


def test_p95_falls_below_the_target_at_once_when_there_is_no_load(reading: ReadingOf) -> None:
    idle = steady(reading, 0.1, per_interval=0)
    assert p95([Replica(idle, LONG_AGO, None), Replica(PodWindow(30.0), None, 55.0)], 0.3, now=60) == 0.0


def test_p95_counts_requests_beyond_the_last_bound(reading: ReadingOf) -> None:
    window = steady(reading, float("inf"))
    assert p95([Replica(window, LONG_AGO, None)], 1.0, now=60) == 1.6


@given(
    target=st.floats(0.001, 10),
    ready_since=st.floats(0, 60),
    growth=st.lists(st.dictionaries(st.sampled_from([0.1, 0.4, 1.6]), st.integers(0, 9)), min_size=2, max_size=30),
)
def test_p95_never_exceeds_twice_its_target_nor_what_was_measured_or_held(
    target: float, ready_since: float, growth: list[dict[float, int]]
) -> None:
    window, counters = PodWindow(30.0), {Bucket(upper, upper / 2): 0 for upper in (0.1, 0.4, 1.6)}
    for number, grown in enumerate(growth):
        for upper, count in grown.items():
            counters[Bucket(upper, upper / 2)] += count
        window.record(Reading({}, dict(counters)), 2.0 * number)
    now = 2.0 * (len(growth) - 1)
    told = p95([Replica(window, ready_since, None)], target, now)
    assert told is not None
    assert 0 <= told <= 2 * target
