"""What durations, sizes and Kubernetes' quantities stand for."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.api.schema import seconds, size_in_bytes
from tidegate_operator.quantities import number, told


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("500m", Fraction(1, 2)),
        ("2", 2),
        (110, 110),
        ("1.5Gi", 3 * 2**29),
        ("64Mi", 2**26),
        ("1k", 1000),
        ("1e3", 1000),
        ("12E2", 1200),
        ("1E", 10**18),
        ("5n", Fraction(5, 10**9)),
        ("-1", -1),
        (".5", Fraction(1, 2)),
    ],
)
def test_number_of(text: str | int, expected: Fraction) -> None:
    assert number(text) == expected


@pytest.mark.parametrize("text", ["", "Gi", "1Zi", "1 Gi", "two", "1ee3", "0x10", "1Gi\n"])
def test_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        number(text)


@pytest.mark.parametrize(
    ("resource", "text", "expected"),
    [
        ("memory", "2147483648", "2Gi"),
        ("requests.memory", "1536Mi", "1.5Gi"),
        ("memory", "512", "512"),
        ("ephemeral-storage", "1Ti", "1Ti"),
        ("cpu", "7500m", "7.5"),
        ("pods", "110", "110"),
    ],
)
def test_an_amount_is_told_in_units_that_people_read(resource: str, text: str, expected: str) -> None:
    assert told(resource, number(text)) == expected
