"""How much room predictions are given, by what became of those let in; costs are 1 s a run whatever its rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.batching import entrance
from tidegate_runtime.batching.margin import GAIN, MOST, RATE, Margin
from tidegate_runtime.batching.policy import MARGIN
from tidegate_runtime.errors import Overloaded

from .simulation import Arrival, Cost, poisson, simulate, warm
from .test_admission import Door
from .test_scheduling_simulation import policy


def after(*told: tuple[int, bool]) -> float:
    margin = Margin()
    for number, late in told:
        for _ in range(number):
            margin.told(late=late)
    return margin.value


@pytest.mark.parametrize(
    ("told", "value"),
    [
        pytest.param([], 1.03, id="nothing told"),
        pytest.param([(100, False)], 1.03, id="never less"),
        pytest.param([(1, True)], 1.04992, id="one late: 0.02 · (1 - 0.004) more"),
        pytest.param([(1, True), (100, False)], 1.04192, id="each in time: 0.00008 less"),
        pytest.param([(1, True), (249, False)], 1.03, id="and 249 of them take it back"),
        pytest.param([(100, True)], 1.2, id="never more than a fifth"),
    ],
)
def test_the_margin_follows_the_share_of_runs_that_were_late(told: list[tuple[int, bool]], value: float) -> None:
    assert after(*told) == pytest.approx(value, abs=1e-9)


@given(st.lists(st.booleans(), max_size=300))
def test_the_margin_is_within_its_bounds_and_holds_the_rate(told: list[bool]) -> None:
    margin, risen = Margin(), 0.0
    for late in told:
        before = margin.value
        margin.told(late=late)
        assert MARGIN <= margin.value <= MOST
        assert (margin.value - before) * (1 if late else -1) >= 0
        if margin.value < MOST:
            risen += GAIN * (late - RATE)
        else:
            risen = MOST - MARGIN
        # More than the rate alone would make it, where the lower bound holds what was in time before against nobody.
        assert margin.value - MARGIN >= risen - 1e-9


def test_after_a_run_that_was_late_a_request_has_to_have_more_time() -> None:
    door = Door()
    door.come(0.0, 60.0)
    first = door.cut(0.0)
    assert first is not None
    door.come(0.0, 2 * MARGIN + 1e-9)
    door.backlog.ended(first, 1.0, 1.0)
    batch = door.cut(1.0)
    assert batch is not None
    door.backlog.ended(batch, 1.0, 2.1)
    assert door.backlog.margin.value == pytest.approx(MARGIN + GAIN * (1 - RATE))
    for _ in range(4):
        door.come(2.1, 60.0)
    with pytest.raises(Overloaded):
        door.come(2.1, 2 * MARGIN + 0.01)
    door.come(2.1, 2 * door.backlog.margin.value + 0.01)


def test_a_late_run_of_what_came_to_an_idle_engine_tells_nothing() -> None:
    door = Door()
    door.come(0.0, MARGIN + 1e-9)
    batch = door.cut(0.0)
    assert batch is not None
    door.backlog.ended(batch, 1.5, 1.5)
    assert door.backlog.margin.value == MARGIN


def test_a_request_that_is_given_up_widens_the_margin_too() -> None:
    door = Door()
    for _ in range(4):
        door.come(0.0, 60.0)
    assert door.cut(0.0) is not None
    door.come(0.5, 2.0)
    door.come(0.5, 60.0)
    batch = door.device.load.running
    assert batch is not None
    door.backlog.ended(batch, 2.4, 2.4)
    assert door.cut(2.4) is not None
    assert [ticket.deadline for ticket in door.dropped] == [2.5]
    assert door.backlog.margin.value == pytest.approx(MARGIN + GAIN * (1 - RATE))


def test_a_late_run_of_requests_with_time_to_spare_tells_nothing() -> None:
    door = Door()
    door.come(0.0, 60.0)
    first = door.cut(0.0)
    assert first is not None
    door.come(0.0, 10.0)
    door.backlog.ended(first, 1.0, 1.0)
    batch = door.cut(1.0)
    assert batch is not None
    door.backlog.ended(batch, 10.0, 11.0)
    assert door.backlog.margin.value == MARGIN


def moody(seed: int) -> Cost:
    """A host that for about 0.7 s at a time is quicker, as ever, or a tenth or a quarter slower; a row costs more in
    company."""
    generator = np.random.default_rng(seed)
    left = factor = 0.0

    def seconds(_: int, rows: int) -> float:
        nonlocal left, factor
        usual = plain(1, rows)
        left -= usual
        if left <= 0:
            left, factor = generator.exponential(0.7), generator.choice([0.95, 1.0, 1.0, 1.1, 1.25])
        return usual * float(factor) * float(np.exp(generator.normal(0, 0.03)))

    return seconds


def plain(_: int, rows: int) -> float:
    return 0.009 * rows * (1 + 0.06 * float(np.log2(rows)))


def test_of_those_let_in_few_are_late_on_a_host_that_slows_down_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    def days() -> tuple[float, float]:
        """Which share of those let in was late, and answers in time a second."""
        outcomes = []
        for seed in range(1, 5):
            arrivals = [Arrival(at, within=0.5) for at in poisson(2 / 0.0095, 40.0, seed=seed + 50)]
            outcomes.append(simulate(arrivals, moody(seed), policy(32), warm(plain, [1], 32)))
        late = sum(len(outcome.late) for outcome in outcomes)
        answered = sum(len(outcome.answered) for outcome in outcomes)
        return late / (late + answered), answered / 160.0

    share, rate = days()
    monkeypatch.setattr(entrance, "TIGHT", np.inf)
    share_by_a_fixed_margin, rate_by_a_fixed_margin = days()
    assert share <= 0.012
    assert share <= 0.5 * share_by_a_fixed_margin
    assert rate >= 0.98 * rate_by_a_fixed_margin
