"""The bucket by which a tenant's requests are let in: by hand, and that no window ever has more."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.access.rate import Bucket


def test_row_34_a_burst_is_let_in_then_what_the_rate_brings() -> None:
    bucket = Bucket(rate=4, burst=2, now=10.0)
    # Two at once; the third in a quarter of a second, of which an eighth is half.
    assert [bucket.take(10.0) for _ in range(3)] == [0, 0, 0.25]
    assert bucket.take(10.125) == 0.125
    assert bucket.take(10.25) == 0
    assert bucket.take(10.25) == 0.25


def test_row_34_who_waits_has_the_burst_again_and_no_more() -> None:
    bucket = Bucket(rate=4, burst=2, now=0.0)
    assert [bucket.take(0.0) for _ in range(2)] == [0, 0]
    assert [bucket.take(1000.0) for _ in range(3)] == [0, 0, 0.25]


def test_a_clock_that_goes_backwards_brings_nothing() -> None:
    bucket = Bucket(rate=1, burst=1, now=100.0)
    assert bucket.take(100.0) == 0
    assert bucket.take(50.0) == 1
    assert bucket.take(100.5) == 0.5


def test_another_rate_keeps_what_is_left_of_the_burst() -> None:
    bucket = Bucket(rate=1, burst=8, now=0.0)
    assert [bucket.take(0.0) for _ in range(6)] == [0] * 6
    wider = bucket.changed(rate=2, burst=100, now=0.0)
    # Two were left.
    assert [wider.take(0.0) for _ in range(3)] == [0, 0, 0.5]
    narrower = Bucket(rate=1, burst=8, now=0.0).changed(rate=1, burst=1, now=0.0)
    assert [narrower.take(0.0) for _ in range(2)] == [0, 1]


# Multiples of 1/64, which floats hold exactly, so that nothing is let in by rounding.
sixty_fourths = st.integers(0, 640).map(lambda count: count / 64)


@given(
    rate=st.integers(1, 256).map(lambda count: count / 8),
    burst=st.integers(8, 80).map(lambda count: count / 8),
    gaps=st.lists(sixty_fourths, max_size=60),
)
def test_no_window_has_more_than_the_burst_and_what_the_rate_brings_in_it(
    rate: float, burst: float, gaps: list[float]
) -> None:
    bucket, now, admitted = Bucket(rate, burst, 0.0), 0.0, []
    for gap in gaps:
        now += gap
        if bucket.take(now) == 0:
            admitted.append(now)
    for first, begin in enumerate(admitted):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + rate * (admitted[last] - begin)


@given(rate=st.floats(1e-3, 1e9), burst=st.floats(1, 1e9), gaps=st.lists(st.floats(0, 100), max_size=40))
def test_who_comes_back_when_told_is_let_in(rate: float, burst: float, gaps: list[float]) -> None:
    bucket, now = Bucket(rate, burst, 0.0), 0.0
    for gap in gaps:
        now += gap
        wait = bucket.take(now)
        assert 0 <= wait <= 1 / rate
        if wait:
            # Clients are told whole seconds.
            now += -(-wait // 1) + 1e-6
            assert bucket.take(now) == 0


@given(burst=st.integers(1, 20), rates=st.lists(st.integers(1, 50), min_size=2, max_size=6))
def test_a_change_of_rate_lets_nobody_in(burst: int, rates: list[int]) -> None:
    bucket = Bucket(rates[0], burst, 0.0)
    while bucket.take(0.0) == 0:
        pass
    for _, rate in pairwise(rates):
        bucket = bucket.changed(rate, burst, 0.0)
        assert bucket.take(0.0) > 0
