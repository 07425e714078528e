"""Where a batch runs: on the event loop, or on the launch thread."""

import pytest

from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.costs import ShapeCosts
from tidegate_runtime.batching.place import BARRED_SECONDS, NEAR_SECONDS, TRIED_SECONDS, Place

HOP = 0.0001


@pytest.mark.parametrize(
    ("runs", "on_loop"),
    [
        ([0.00002] * 200, True),
        ([0.0002] * 200, True),  # Two hops, always.
        ([0.00021] * 200, False),
        (([0.00002] * 19 + [0.009]) * 10, True),  # Suspended by the machine once in twenty.
        (([0.00019] * 19 + [0.0003]) * 10, True),  # Two hops mostly, on a machine that is no quiet one.
        (([0.00019] * 4 + [0.0003]) * 40, False),  # Two hops in four of five cases.
        (([0.00002] * 19 + [0.011]) * 10, False),  # For longer than the loop may be.
        (([0.00002] * 4 + [0.009]) * 40, False),  # Once in five: it takes so long by itself.
        ([0.00002] * 20, True),  # Few runs: by their mean.
        ([0.0002] * 4 + [0.0004] * 20, False),
        ([], False),  # Never measured.
    ],
)
def test_a_run_is_on_the_loop_if_it_usually_takes_less_than_the_way_to_the_thread(
    runs: list[float], on_loop: bool
) -> None:
    assert placed(measured(runs)) is on_loop


def test_a_run_of_a_fifth_of_a_millisecond_is_on_the_loop_however_short_the_way_to_the_thread() -> None:
    for seconds, on_loop in [(NEAR_SECONDS, True), (NEAR_SECONDS * 1.05, False)]:
        assert placed(measured([seconds] * 200), hop=NEAR_SECONDS / 10) is on_loop


def test_what_only_waits_for_a_core_on_the_thread_is_back_on_the_loop_once_that_is_free() -> None:
    shape, place = measured([0.0005] * 200), Place()
    place.measured(HOP)
    assert place.on_loop(shape, 1, 0.0), "to be tried"
    place.ran(shape, 1, 0.0005, 0.0)
    assert not place.on_loop(shape, 1, TRIED_SECONDS * 0.9), "it did no better there"
    # Tried again, it takes what it takes by itself; what the thread says of it no longer matters.
    for run in range(80):
        assert place.on_loop(shape, 1, TRIED_SECONDS + run * 0.001)
        place.ran(shape, 1, 0.00005, TRIED_SECONDS + run * 0.001)
    place.ran(shape, 1, 0.009, 1.0)
    assert place.on_loop(shape, 1, 1.0), "suspended once in eighty"
    for _ in range(3):
        place.ran(shape, 1, 0.0003, 1.0)
    assert not place.on_loop(shape, 1, 1.0), "it has come to take longer"


def test_what_takes_long_by_itself_is_never_tried_nor_are_many_rows_for_what_few_of_them_took() -> None:
    place = Place()
    place.measured(HOP)
    assert not place.on_loop(measured([0.0009] * 200), 1, 0.0)
    shape = measured([0.0005] * 200)
    for _ in range(200):
        shape.observe(4, 0.0006)
    for rows, seconds in [(1, 0.00005), (4, 0.0006)]:
        assert place.on_loop(shape, rows, 0.0)
        place.ran(shape, rows, seconds, 0.0)
    assert (place.on_loop(shape, 1, 0.01), place.on_loop(shape, 4, 0.01)) == (True, False)


def test_nothing_is_on_the_loop_before_the_way_to_the_thread_was_measured() -> None:
    assert not Place().on_loop(measured([0.00002] * 200), 1, 0.0)


def test_counts_between_measured_ones_go_by_their_p99_alone() -> None:
    shape = measured([0.00002] * 200)
    for _ in range(200):
        shape.observe(3, 0.00004)
    assert placed(shape, rows=2)
    for _ in range(10):
        for seconds in [0.00004] * 19 + [0.009]:
            shape.observe(3, seconds)
    assert (placed(shape, rows=3), placed(shape, rows=2)) == (True, False)


def test_a_shape_whose_run_had_to_be_ended_stays_off_for_a_minute() -> None:
    shape, place = measured([0.00002] * 200), Place()
    place.measured(HOP)
    place.bar(shape, 5.0)
    assert not place.on_loop(shape, 1, 5.0 + BARRED_SECONDS - 1)
    assert place.on_loop(shape, 1, 5.0 + BARRED_SECONDS)


def placed(shape: ShapeCosts, rows: int = 1, hop: float = HOP) -> bool:
    place = Place()
    place.measured(hop)
    # Whatever is tried there is late.
    place.on_loop(shape, rows, 0.0)
    place.ran(shape, rows, 1.0, 0.0)
    return place.on_loop(shape, rows, 0.0)


def measured(runs: list[float]) -> ShapeCosts:
    """The costs of a shape of which one row took so long each time; the first two runs don't count."""
    shape = CostTable(4).shape("x", 1)
    for seconds in [1.0, 1.0, *runs]:
        shape.observe(1, seconds)
    return shape
