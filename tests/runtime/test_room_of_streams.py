"""What streams may have under way together: who has room, who waits, and that nobody waits for ever."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.rpc.room import LEAST_BYTES, Room, UnderWay, room_bytes

MIB = 1 << 20


@pytest.mark.parametrize(("message", "room"), [(1, 64 * MIB), (32 * MIB, 64 * MIB), (64 * MIB, 128 * MIB)])
def test_there_is_room_for_two_of_the_largest_messages(message: int, room: int) -> None:
    assert LEAST_BYTES == 64 * MIB
    assert room_bytes(message) == room


async def entered(room: Room, size: int) -> Any:
    """An attempt, as far as it goes at once."""
    task = asyncio.create_task(room.enter(size))
    await turns()
    return task


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_asks_first_has_it_first_and_what_is_too_large_has_it_alone() -> None:
    room = Room(100)
    first, large, small = [await entered(room, size) for size in (60, 500, 10)]
    assert [first.done(), large.done(), small.done()] == [True, False, False]
    room.leave(60)
    await turns()
    assert [large.done(), small.done(), room.held] == [True, False, 500]
    room.leave(500)
    await turns()
    assert [small.done(), room.held] == [True, 10]


async def test_who_leaves_while_it_waits_does_not_keep_others_waiting() -> None:
    room = Room(100)
    await room.enter(60)
    large, small = await entered(room, 80), await entered(room, 10)
    large.cancel()
    await turns()
    assert [large.cancelled(), small.done(), room.held] == [True, True, 70]


async def test_who_is_let_in_and_cancelled_at_once_leaves_nothing_behind() -> None:
    room = Room(100)
    await room.enter(60)
    waiting = await entered(room, 80)
    room.leave(60)
    waiting.cancel()
    await turns()
    assert [waiting.cancelled(), room.held] == [True, 0]


@given(st.lists(st.tuples(st.sampled_from(["begin", "measure", "answer", "cancel"]), st.integers(0, 60)), max_size=40))
async def test_no_more_is_under_way_than_the_sum_or_one_and_all_is_given_back(steps: list[tuple[str, int]]) -> None:
    room = Room(100)
    streams = [UnderWay(room), UnderWay(room)]
    waiting: list[asyncio.Task[None]] = []
    for index, (step, size) in enumerate(steps):
        stream = streams[index % 2]
        if step == "begin":
            waiting.append(asyncio.create_task(stream.begin(3 * size)))
        elif step == "cancel" and waiting:
            waiting.pop().cancel()
        elif step == "answer":
            stream.answered()
        elif step == "measure" and stream._sizes:
            stream.measured(min(size, stream._sizes[-1]))
        await turns()
        sizes = [size for stream in streams for size in stream._sizes]
        assert room.held == sum(sizes)
        assert room.held <= 100 or sum(size > 0 for size in sizes) == 1
    while any(not task.done() for task in waiting):
        for stream in streams:
            stream.answered()
        await turns()
    for stream in streams:
        stream.close()
    assert room.held == 0
