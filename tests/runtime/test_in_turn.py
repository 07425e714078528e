"""Who has the next turn, of hosts and of their connections, and that nobody waits for ever."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.in_turn import InTurn

A1, A2, B1, C1 = ("a", 1), ("a", 2), ("b", 1), ("c", 1)


async def order(*clients: tuple[str, int]) -> list[tuple[str, int]]:
    """In which order clients have their turns that ask one after another while somebody is at it."""
    turns = InTurn()
    had: list[tuple[str, int]] = []

    async def one(client: tuple[str, int]) -> None:
        async with turns.turn(client):
            had.append(client)
            await asyncio.sleep(0)

    await turns.enter("nobody")
    asking = [asyncio.create_task(one(client)) for client in clients]
    await asyncio.sleep(0)
    turns.leave()
    await asyncio.gather(*asking)
    assert not turns.taken
    return had


@pytest.mark.parametrize(
    ("asked", "had"),
    [
        ([A1, A1, A1, A1, B1], [A1, B1, A1, A1, A1]),
        ([A1, A1, A1, B1, C1, B1], [A1, B1, C1, A1, B1, A1]),
        ([A1, A1, A1, A2, A2], [A1, A2, A1, A2, A1]),
        ([A1, A1, A2, A2, B1, B1], [A1, B1, A2, B1, A1, A2]),
        ([B1, A1, C1], [B1, A1, C1]),
    ],
    ids=["who asks once", "three hosts", "connections of one host", "connections and hosts", "each once"],
)
async def test_hosts_take_turns_and_so_do_a_host_s_connections(
    asked: list[tuple[str, int]], had: list[tuple[str, int]]
) -> None:
    assert await order(*asked) == had


async def test_who_has_had_a_turn_and_asks_again_comes_behind_those_who_wait() -> None:
    turns = InTurn()
    had: list[tuple[str, int]] = []

    async def again_and_again() -> None:
        while B1 not in had:
            async with turns.turn(A1):
                had.append(A1)
                await asyncio.sleep(0)

    async def one() -> None:
        async with turns.turn(B1):
            had.append(B1)

    await asyncio.gather(again_and_again(), again_and_again(), one())
    assert had.index(B1) <= 2


@given(st.lists(st.tuples(st.sampled_from([A1, A2, B1, C1]), st.integers(0, 6), st.booleans()), max_size=20))
async def test_one_is_at_it_at_a_time_and_who_gives_up_keeps_nobody_waiting(
    asked: list[tuple[tuple[str, int], int, bool]],
) -> None:
    turns = InTurn()
    at_it = had = 0

    async def one(client: tuple[str, int], seconds: int) -> None:
        nonlocal at_it, had
        async with turns.turn(client):
            at_it += 1
            assert at_it == 1
            try:
                for _ in range(seconds):
                    await asyncio.sleep(0)
            finally:
                at_it -= 1
            had += 1

    tasks = []
    for client, pauses, gives_up in asked:
        tasks.append(asyncio.create_task(one(client, pauses)))
        for _ in range(pauses):
            await asyncio.sleep(0)
        if gives_up:
            tasks[pauses % len(tasks)].cancel()
    ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ends)
    assert had == ends.count(None)
    assert not turns.taken
    assert not turns._waiting
