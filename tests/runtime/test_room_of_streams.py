"""What streams may have under way together: who has room, who waits, and that nobody waits for ever."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.rpc.room import LEAST_BYTES, UNKNOWN_ANSWERS, Room, UnderWay, room_bytes

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


async def begun(stream: UnderWay, size: int) -> Any:
    """A request's beginning, as far as it goes at once."""
    task = asyncio.create_task(stream.begin(size))
    await turns()
    return task


async def test_a_stream_whose_answers_nobody_reads_takes_no_further_requests() -> None:
    room = Room(100 * UNKNOWN_ANSWERS)
    stream = UnderWay(room)
    first = [await begun(stream, 10) for _ in range(64)]
    assert all(each.done() for each in first)
    assert room.held == 6400
    next_one = await begun(stream, 10)
    for number in range(64):
        stream.made(number, 1000)
    await turns()
    assert [next_one.done(), room.held] == [False, 64_000]
    for _ in range(57):
        stream.answered()
    await turns()
    assert [next_one.done(), room.held] == [False, 7000]
    stream.answered()
    await turns()
    assert [next_one.done(), room.held] == [True, 6100]
    # From here on each is taken for as large as those before it: six are under way, not sixty.
    after = await begun(stream, 10)
    assert [after.done(), room.held] == [False, 6100]
    stream.answered()
    await turns()
    assert [after.done(), room.held] == [True, 6100]


async def test_answers_that_get_smaller_again_are_taken_for_smaller_ones_by_and_by() -> None:
    room = Room(6400)
    stream = UnderWay(room)
    held = []
    for number, size in enumerate((1600, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10)):
        await stream.begin(1)
        held.append(room.held)
        stream.made(number, size)
        stream.answered()
    assert held == [100, 1600, 800, 400, 200, 100, 50, 25, 12, 10, 10]


async def test_of_a_large_request_that_is_answered_no_more_is_held_than_its_answer() -> None:
    room = Room(6400)
    stream = UnderWay(room)
    await stream.begin(5000)
    stream.measured(4000)
    waiting = await begun(stream, 3000)
    assert [waiting.done(), room.held] == [False, 4000]
    stream.made(0, 7)
    await turns()
    assert [waiting.done(), room.held] == [True, 3007]


async def test_an_answer_that_is_made_once_its_stream_is_over_takes_no_room() -> None:
    room = Room(6400)
    stream = UnderWay(room)
    await stream.begin(10)
    await stream.begin(10)
    stream.answered()
    stream.made(0, 500)
    assert room.held == 100
    stream.close()
    stream.made(1, 500)
    assert room.held == 0


@given(st.lists(st.tuples(st.integers(1, 150), st.integers(0, 400)), max_size=30))
async def test_whatever_answers_turn_out_to_be_every_request_has_its_turn(sizes: list[tuple[int, int]]) -> None:
    room = Room(100)
    stream = UnderWay(room)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(_all_begun(stream, [request for request, _ in sizes]))
        for number, (_, answer) in enumerate(sizes):
            await turns()
            stream.made(number, answer)
            await turns()
            assert room.held == sum(stream._sizes)
            stream.answered()
    assert room.held == 0


async def _all_begun(stream: UnderWay, sizes: list[int]) -> None:
    for size in sizes:
        await stream.begin(size)


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
