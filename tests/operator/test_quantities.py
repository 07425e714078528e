"""What durations and sizes stand for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.api.schema import seconds, size_in_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0ms", 0), ("1ms", 0.001), ("9ms", 0.009), ("120ms", 0.12), ("30s", 30), ("5m", 300), ("2h", 7200)],
)
def test_seconds_of(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "5 s", "-5s", "1.5s", "5d", "5s\n", "٣s"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        seconds(text)


@given(st.integers(0, 999_999))
def test_milliseconds_are_read_as_exactly_as_floats_can(count: int) -> None:
    assert str(seconds(f"{count}ms")) == str(count / 1000)


@pytest.mark.parametrize(
    ("text", "expected"), [("1", 1), ("1048576", 1048576), ("1Ki", 1024), ("10Mi", 10485760), ("2Gi", 2147483648)]
)
def test_bytes_of(text: str, expected: int) -> None:
    assert size_in_bytes(text) == expected
