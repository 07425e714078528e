"""Figures, their bars, and the page that they are written into."""

import pytest

from scale.figures import Figure, latencies, percentile, table, written


@pytest.mark.parametrize(
    ("value", "bar", "met"), [(40, 40, True), (40.1, 40, False), (7, None, True), (0, 0, True), (1, 0, False)]
)
def test_a_figure_is_met_up_to_its_bar(value: float, bar: float | None, met: bool) -> None:
    assert Figure("what", value, "ms", bar).met is met


def test_a_missed_bar_is_told_in_the_table() -> None:
    told = table([Figure("slow", 1234.4, "ms", 90), Figure("told", 1.25, "", digits=2)])
    assert told.splitlines()[2:] == ["| slow | 1,234 ms | ≤ 90 ms | **missed** |", "| told | 1.25 | – |  |"]


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (5, 5), (100, 99), (200, 198), (1000, 990)])
def test_the_99th_percentile_is_exceeded_by_one_in_a_hundred_at_most(count: int, expected: int) -> None:
    assert percentile(range(1, count + 1), 0.99) == expected


def test_latencies_are_told_in_milliseconds() -> None:
    median, last = latencies("create", [0.010, 0.030, 0.020], 25, 25)
    assert [median.value, last.value] == pytest.approx([20, 30])
    assert [median.met, last.met] == [True, False]


def test_a_page_keeps_what_is_around_the_section() -> None:
    page = "# Title\n\n<!-- make scale -->\nold\n<!-- end of make scale -->\n\nmore\n"
    assert written(page, "make scale", "new\n") == page.replace("old", "new")


def test_a_page_without_the_section_is_refused() -> None:
    with pytest.raises(ValueError, match="no section make scale"):
        written("# Title\n", "make scale", "new")
