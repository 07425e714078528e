"""Kubernetes quantities in the forms that our fields take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tidegate_operator.api.schema import Cpu, Memory
from tidegate_operator.cli.conversion.quantities import memory, parsed, processors


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("2", "2"),
        (2, "2"),
        (0.5, "500m"),
        ("1.5", "1500m"),
        ("250m", "250m"),
        ("0.0001", "1m"),
        ("2000m", "2"),
        ("1k", "1000"),
    ],
)
def test_processors(quantity: object, expected: str) -> None:
    assert processors(quantity) == expected


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("4Gi", "4Gi"),
        ("1.5Gi", "1536Mi"),
        ("512M", "500000Ki"),
        ("1000", "1Ki"),
        (1073741824, "1Gi"),
        ("2048Gi", "2Ti"),
        ("1e9", "976563Ki"),
        ("16G", "15625000Ki"),
    ],
)
def test_memory(quantity: object, expected: str) -> None:
    assert memory(quantity) == expected


@pytest.mark.parametrize("quantity", ["", "much", "1 Gi", "-1", "1Gib", None, True, [], "٣", "1e999"])
def test_what_is_no_quantity(quantity: object) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        parsed(quantity)


@given(st.integers(64 * 2**20, 16 * 2**40))
def test_memory_is_never_less_than_it_was_and_fits_the_field(count: int) -> None:
    converted = memory(str(count))
    TypeAdapter(Memory).validate_python(converted)
    assert 0 <= parsed(converted) - count < (1024 if count < 10 * 10**12 else 2**20)


@given(st.integers(1, 1_024_000))
def test_processors_are_as_many_as_they_were_and_fit_the_field(thousandths: int) -> None:
    converted = processors(f"{thousandths}m")
    TypeAdapter(Cpu).validate_python(converted)
    assert parsed(converted) * 1000 == thousandths
