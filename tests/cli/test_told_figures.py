"""Ages, shares and texts as people read them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.cli.words import age, moment, percent, plain, span, step_of


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (250, "4m10s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (11_100, "3h5m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
    ],
)
def test_a_span_is_told_as_kubectl_tells_ages(seconds: int, expected: str) -> None:
    assert span(timedelta(seconds=seconds)) == expected


def test_an_age_that_is_not_known_is_a_dash() -> None:
    assert age(None, datetime(2026, 11, 22, tzinfo=UTC)) == "–"


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(0, 0, "–"), (0, 10, "0.0 %"), (3, 2140, "0.14 %"), (1, 100, "1.0 %"), (5, 10, "50.0 %")],
)
def test_a_share_is_told_to_what_it_is_known(part: int, whole: int, expected: str) -> None:
    assert percent(part, whole) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22T10:00:00.250000Z", datetime(2026, 11, 22, 10, 0, 0, 250_000, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_a_time_of_kubernetes_is_read_or_not_known(text: str | None, expected: datetime | None) -> None:
    assert moment(text) == expected


@pytest.mark.parametrize(("number", "steps", "expected"), [(0, 3, "step 0 of 0–2"), (2, None, "step 2")])
def test_steps_are_counted_as_the_api_counts_them(number: int, steps: int | None, expected: str) -> None:
    assert step_of(number, steps) == expected


@given(st.text())
def test_a_plain_text_is_one_printable_line(text: str) -> None:
    assert plain(text).isprintable()
