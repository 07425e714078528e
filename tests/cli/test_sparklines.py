"""Graphs of one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.cli.sparkline import BARS, WIDTH, Seen, sparkline

from .builders import A, B, a_service, at_ten


@pytest.mark.parametrize(
    ("values", "top", "expected"),
    [
        ([], None, ""),
        ([0, 0], None, "▁▁"),
        ([0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█"),
        ([8, 4], None, "█▅"),
        ([None, 5, None], None, " █ "),
        ([150], 100, "█"),
    ],
)
def test_each_value_is_a_bar_of_its_height(values: list[float | None], top: float | None, expected: str) -> None:
    assert sparkline(values, top) == expected


@given(st.lists(st.none() | st.floats(0, 1e9), max_size=50))
def test_a_graph_is_as_long_as_its_values_whatever_they_are(values: list[float | None]) -> None:
    drawn = sparkline(values)
    assert len(drawn) == len(values)
    assert set(drawn) <= {*BARS, " "}


def test_errors_are_a_share_of_the_requests_so_far() -> None:
    seen = Seen()
    for failures in (0, 5):
        counts = {"requests": 100, "failures": failures}
        analysis = {"verdict": "Pass", "reason": "x", "message": "x", "at": "2026-11-22T10:00:00Z"}
        seen.take(a_service(at_ten(analysis={**analysis, "canary": counts, "stable": {}})))
    canary, stable = seen.of(B), seen.of(A)
    assert canary is not None
    assert stable is not None
    assert list(canary.errors) == [0, 5]
    assert list(stable.errors) == [None, None]
    assert list(stable.share) == [90, 90]


def test_old_looks_leave_the_graph() -> None:
    seen = Seen()
    for _ in range(WIDTH + 5):
        seen.take(a_service(at_ten()))
    series = seen.of(B)
    assert series is not None
    assert len(series.share) == WIDTH
