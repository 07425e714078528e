"""Regular work, in virtual time."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.process.ticks import next_tick, ticks, until

TICKS = [
    ("the next one after work in time", 10.0, 5.0, 11.0, 15.0),
    ("the next one at the moment itself", 10.0, 5.0, 10.0, 15.0),
    ("a tick that is due now", 10.0, 5.0, 20.0, 20.0),
    ("the first that isn't past after slow work", 10.0, 5.0, 23.0, 25.0),
]


@pytest.mark.parametrize(("due", "period", "now", "expected"), [c[1:] for c in TICKS], ids=[c[0] for c in TICKS])
def test_next_tick_is(due: float, period: float, now: float, expected: float) -> None:
    assert next_tick(due, period, now) == expected


@given(st.integers(0, 10**6), st.integers(1, 1000), st.integers(0, 10**6))
def test_ticks_never_drift(due: int, period: int, late: int) -> None:
    found = next_tick(due, period, due + late)
    assert (found - due) % period == 0
    assert due + late <= found or late == 0
    assert found - (due + late) <= period


@pytest.mark.looptime
async def test_slow_work_skips_the_ticks_it_missed() -> None:
    loop, begun = asyncio.get_running_loop(), []
    start = loop.time()
    async for due in ticks(10):
        begun.append((due - start, round(loop.time() - start, 6)))
        if len(begun) == 4:
            break
        await asyncio.sleep(25 if len(begun) == 2 else 1)
    assert begun == [(0, 0), (10, 10), (40, 40), (50, 50)]


@pytest.mark.looptime
async def test_a_moment_that_is_past_comes_at_once() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    await until(before - 5)
    assert loop.time() - before < 0.001


@pytest.mark.looptime
async def test_a_cancelled_wait_leaves_no_timer_that_fails() -> None:
    waiting = asyncio.create_task(until(asyncio.get_running_loop().time() + 5))
    await asyncio.sleep(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(10)
