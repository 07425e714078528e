import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.adapter.percentile import Bucket, merge, percentile

BOUNDS = [0.0001 * 1.25**k for k in range(61)]
BUCKETS = [Bucket(upper, lower) for lower, upper in zip([0.0, *BOUNDS], [*BOUNDS, math.inf], strict=False)]


def bucket_of(seconds: float) -> Bucket:
    return next(bucket for bucket in BUCKETS if seconds <= bucket.upper)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param({}, 0.0, id="no requests"),
        pytest.param({Bucket(0.2, 0.1): 0}, 0.0, id="buckets without requests"),
        # rank 95 of 100 in one bucket: 95 % of the way from 0.1 to 0.2
        pytest.param({Bucket(0.2, 0.1): 100}, 0.195, id="all in one bucket"),
        # rank 95: 90 below, the 5th of 10 in (0.2, 0.4]
        pytest.param({Bucket(0.1, 0.0): 90, Bucket(0.4, 0.2): 10}, 0.3, id="halfway into the last bucket"),
        # rank 95 is the last one of the first bucket
        pytest.param({Bucket(0.1, 0.0): 95, Bucket(0.4, 0.2): 5}, 0.1, id="exactly at a bound"),
        # rank 0.95 of 1
        pytest.param({Bucket(0.4, 0.2): 1}, 0.39, id="one request"),
        pytest.param({Bucket(0.1, 0.0): 1, Bucket(math.inf, 1.6): 9}, 1.6, id="beyond the last bound"),
        # two releases' bounds: 50 in (0, 0.3], 50 in (0, 0.2]; rank 95 is the 45th of the 50 in (0, 0.3]
        pytest.param({Bucket(0.3, 0.0): 50, Bucket(0.2, 0.0): 50}, 0.27, id="different bounds"),
    ],
)
def test_percentile_is_what_the_histogram_says_by_hand(counts: dict[Bucket, int], expected: float) -> None:
    assert percentile(counts, 95) == pytest.approx(expected)


@given(st.lists(st.floats(min_value=0.00011, max_value=60), min_size=1, max_size=200))
def test_percentile_lies_in_the_bucket_of_the_exact_one(durations: list[float]) -> None:
    exact = sorted(durations)[math.ceil(95 * len(durations) / 100) - 1]
    estimate = percentile(merge({bucket_of(duration): 1} for duration in durations), 95)
    bucket = bucket_of(exact)
    assert bucket.lower <= estimate <= bucket.upper


@given(
    st.lists(
        st.dictionaries(st.sampled_from(BUCKETS), st.integers(0, 1000)),
        max_size=5,
    )
)
def test_merging_keeps_every_request(parts: list[dict[Bucket, int]]) -> None:
    assert sum(merge(parts).values()) == sum(sum(part.values()) for part in parts)
