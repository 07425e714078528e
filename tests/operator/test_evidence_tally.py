"""From counts that only grow to what happened in a step."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.evidence.readings import Calls, Copies, Readings, Times
from tidegate_operator.evidence.tally import Tally, Window

from .builders import NOW, after

ROUTER, POD = "10.0.0.1/9:00", "uid/0"


def calls(**by_source: tuple[int, int]) -> Readings:
    return Readings(calls={source: Calls(*counted) for source, counted in by_source.items()})


def tallied(*readings: Readings) -> Window:
    tally = Tally(NOW)
    for each in readings:
        tally = tally.read(each)
    return tally.window


@pytest.mark.parametrize(
    ("readings", "requests", "failures"),
    [
        pytest.param([calls(a=(100, 5))], 0, 0, id="the first reading is the baseline"),
        pytest.param([calls(a=(100, 5)), calls(a=(130, 6))], 30, 1, id="what comes on top counts"),
        pytest.param([calls(a=(100, 5), b=(7, 0)), calls(a=(101, 5), b=(9, 1))], 3, 1, id="of all sources"),
        pytest.param(
            [calls(a=(100, 5)), calls(), calls(), calls(a=(150, 9))], 50, 4, id="what came while one was missing counts"
        ),
        pytest.param([calls(a=(100, 5)), calls(a=(20, 1))], 20, 1, id="a count that shrinks began anew"),
        pytest.param([calls(a=(100, 5)), calls(a=(120, 1))], 120, 1, id="if only that of failures does, too"),
        pytest.param(
            [calls(a=(100, 5)), calls(a=(110, 5), b=(900, 50)), calls(a=(110, 5), b=(905, 51))],
            15,
            1,
            id="one that is seen first in between may be old",
        ),
    ],
)
def test_what_is_known_to_belong_to_the_step_counts(readings: list[Readings], requests: int, failures: int) -> None:
    assert tallied(*readings) == Window(requests=requests, failures=failures)


@pytest.mark.parametrize(
    ("started", "requests"),
    [
        pytest.param(after(1), 40, id="born in the step: all of it"),
        pytest.param(NOW, 40, id="with the step"),
        pytest.param(after(-1), 0, id="before: from now on"),
    ],
)
def test_a_source_counts_from_its_start_if_that_was_in_the_step(started: object, requests: int) -> None:
    born = Readings(calls={ROUTER: Calls(40, 2)}, started={ROUTER: started})  # type: ignore[dict-item]
    assert tallied(calls(), born).requests == requests
    assert tallied(born).requests == 0, "what comes first may have been counted by whoever tallied before"


def test_copies_count_as_calls_do() -> None:
    first, second = (Readings(copies={POD: Copies(*counts)}) for counts in ((5, 0, 3, 7, 1), (6, 2, 3, 10, 1)))
    assert tallied(first, second) == Window(copies=Copies(1, 2, 0, 3, 0))
    assert tallied(first, Readings(), second) == Window(copies=Copies(1, 2, 0, 3, 0)), (
        "what came while it was away counts"
    )
    anew = Readings(copies={POD: Copies(2, 2, 3, 0, 1)})
    assert tallied(second, anew) == Window(copies=Copies(2, 2, 3, 0, 1)), "a count that shrinks began anew"
    born = Readings(copies={POD: Copies(5, 0, 3, 7, 1), "uid/1": Copies(1, 1, 0, 0, 0)}, started={"uid/1": after(5)})
    assert tallied(first, born) == Window(copies=Copies(1, 1, 0, 0, 0))
    assert tallied(first, Readings(mute=3)) == Window(mute=3)
    assert Tally(NOW).read(first).begun(after(9)).read(second).window.copies == Copies(1, 2, 0, 3, 0)


def test_times_count_by_bucket() -> None:
    first, second = (Readings(times={POD: Times(counts)}) for counts in ((5, 0, 7), (6, 0, 10)))
    assert tallied(first, second) == Window(counts=(1, 0, 3))
    anew = Readings(times={POD: Times((6, 0, 2))})
    assert tallied(first, anew) == Window(counts=(6, 0, 2)), "a bucket that shrinks began anew"
    renamed = Readings(times={POD: Times((5, 0, 7)), "uid/1": Times((1, 1, 1))}, started={"uid/1": after(5)})
    assert tallied(first, renamed) == Window(counts=(1, 1, 1))


@pytest.mark.parametrize(
    ("seen", "restarts"),
    [
        pytest.param([3], 0, id="the first reading is the baseline"),
        pytest.param([0, 1, 1, 3], 3, id="each counts once"),
        pytest.param([2, 0, 1], 1, id="a pod that goes takes its own along"),
    ],
)
def test_restarts_count_from_the_first_reading_on(seen: list[int], restarts: int) -> None:
    assert tallied(*(Readings(restarts=each) for each in seen)).restarts == restarts


def test_a_window_that_was_judged_is_remembered_by_its_times_alone() -> None:
    tally = Tally(NOW).read(Readings(calls={ROUTER: Calls(1, 0)}, times={POD: Times((0, 0))}))
    tally = tally.read(Readings(calls={ROUTER: Calls(5, 1)}, times={POD: Times((2, 1))}, restarts=1)).judged()
    assert tally.window == Window(earlier=(2, 1))
    tally = tally.read(Readings(calls={ROUTER: Calls(7, 1)}, times={POD: Times((2, 4))}, restarts=1))
    assert tally.window == Window(requests=2, counts=(0, 3), earlier=(2, 1))
    assert tally.judged().window == Window(earlier=(2, 4))


def test_a_new_step_begins_at_nothing_and_with_the_baselines_of_who_is_there() -> None:
    tally = Tally(NOW).read(calls(a=(10, 0), b=(20, 0))).read(calls(a=(15, 1))).begun(after(60))
    assert tally.window == Window()
    # b is read again; what it counted meanwhile may be the last step's.
    assert tally.read(calls(a=(18, 1), b=(90, 9))).window == Window(requests=3)


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 50), st.booleans()), min_size=3, max_size=3),
        max_size=12,
    )
)
def test_whoever_is_missing_in_between_nothing_counts_twice_and_all_counts_in_the_end(
    passed: list[Mapping[str, tuple[int, bool]]],
) -> None:
    counted = {"a": 100, "b": 200, "c": 0}
    begin = sum(counted.values())
    tally = Tally(NOW).read(Readings(calls={source: Calls(count) for source, count in counted.items()}))
    for step in passed:
        for source, (more, _) in step.items():
            counted[source] += more
        there = {source: Calls(counted[source]) for source, (_, seen) in step.items() if seen}
        tally = tally.read(Readings(calls=there))
        assert tally.window.requests <= sum(counted.values()) - begin
    tally = tally.read(Readings(calls={source: Calls(count) for source, count in counted.items()}))
    assert tally.window.requests == sum(counted.values()) - begin


@given(st.lists(st.integers(0, 5), max_size=6), st.timedeltas(timedelta(0), timedelta(days=1)))
def test_a_controller_that_forgot_counts_from_its_first_reading_on(more: list[int], later: timedelta) -> None:
    total, tally = 1000, Tally(NOW + later)
    tally = tally.read(Readings(calls={ROUTER: Calls(total)}, times={POD: Times((total,))}, restarts=4))
    for each in more:
        total += each
        tally = tally.read(Readings(calls={ROUTER: Calls(total)}, times={POD: Times((total,))}, restarts=4))
    assert (tally.window.requests, sum(tally.window.counts), tally.window.restarts) == (sum(more), sum(more), 0)
