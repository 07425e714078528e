"""The queue of due keys, in virtual time."""

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.controller.keyqueue import FIRST_RETRY_SECONDS, IDLE_SHARE, LAST_RETRY_SECONDS, KeyQueue

pytestmark = [pytest.mark.looptime]


@pytest.fixture
async def queue() -> KeyQueue[str]:
    return KeyQueue()


def now() -> float:
    return asyncio.get_running_loop().time()


async def nothing_comes(queue: KeyQueue[str], seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await queue.get()
    except TimeoutError:
        return True
    return False


async def test_a_key_added_twice_is_there_once(queue: KeyQueue[str]) -> None:
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a"
    assert await nothing_comes(queue, 1000)


async def test_keys_come_in_the_order_in_which_they_became_due(queue: KeyQueue[str]) -> None:
    for key in ("b", "a", "c"):
        queue.add(key)
    assert [await queue.get() for _ in range(3)] == ["b", "a", "c"]


async def test_what_is_news_of_goes_before_what_is_only_looked_at_again(queue: KeyQueue[str]) -> None:
    for key in ("a", "b", "c"):
        queue.add(key, news=False)
    queue.add("d")
    queue.add("c")
    queue.add("d", news=False)
    assert [await queue.get() for _ in range(4)] == ["d", "c", "a", "b"]
    assert await nothing_comes(queue, 1000)


async def test_a_key_without_news_gets_its_turn_though_news_never_ends(queue: KeyQueue[str]) -> None:
    queue.add("looked at again", news=False)
    taken = []
    for number in range(IDLE_SHARE):
        queue.add(f"news {number}")
        taken.append(await queue.get())
    assert taken == [*(f"news {number}" for number in range(IDLE_SHARE - 1)), "looked at again"]


async def test_a_key_without_news_that_is_worked_on_comes_again_only_after_it_is_done(queue: KeyQueue[str]) -> None:
    queue.add("a", news=False)
    key = await queue.get()
    queue.add("a", news=False)
    assert await nothing_comes(queue, 1000)
    queue.done(key)
    assert await queue.get() == "a"


async def test_a_key_that_is_worked_on_comes_again_only_after_it_is_done(queue: KeyQueue[str]) -> None:
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    assert await nothing_comes(queue, 1000)
    queue.done(key)
    assert await queue.get() == "a"


async def test_a_key_is_due_when_its_delay_is_over(queue: KeyQueue[str]) -> None:
    queue.add_after("a", 7)
    assert await queue.get() == "a"
    assert now() == pytest.approx(7)


@pytest.mark.parametrize("delays", [(7, 3), (3, 7)], ids=["later then earlier", "earlier then later"])
async def test_of_two_delays_the_earlier_counts(queue: KeyQueue[str], delays: tuple[float, float]) -> None:
    for delay in delays:
        queue.add_after("a", delay)
    await queue.get()
    assert now() == pytest.approx(3)
    queue.done("a")
    assert await nothing_comes(queue, 1000)


async def test_retries_double_up_to_their_limit_and_start_anew_after_success(queue: KeyQueue[str]) -> None:
    pauses = [queue.retry("a") for _ in range(14)]
    assert pauses[:4] == [0.05, 0.1, 0.2, 0.4]
    assert pauses[-2:] == [204.8, LAST_RETRY_SECONDS]
    queue.succeeded("a")
    assert queue.retry("a") == FIRST_RETRY_SECONDS


async def test_a_key_that_fails_for_months_is_still_tried(queue: KeyQueue[str]) -> None:
    assert [queue.retry("a") for _ in range(3000)][-1] == LAST_RETRY_SECONDS


async def test_a_forgotten_key_is_not_due_any_more(queue: KeyQueue[str]) -> None:
    queue.retry("a")
    queue.forget("a")
    assert await nothing_comes(queue, 1000)
    assert queue.retry("a") == FIRST_RETRY_SECONDS


async def test_a_cancelled_wait_loses_no_key(queue: KeyQueue[str]) -> None:
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_wait_cancelled_before_a_key_comes_is_passed_over(queue: KeyQueue[str]) -> None:
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    queue.add("a")
    assert await asyncio.wait_for(second, 1) == "a"


async def test_every_waiter_gets_a_key(queue: KeyQueue[str]) -> None:
    waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for key in ("a", "b", "c"):
        queue.add(key)
    assert sorted(await asyncio.gather(*waiting)) == ["a", "b", "c"]


async def test_how_long_a_key_was_due_is_told_when_it_is_taken() -> None:
    waited: list[float] = []
    queue: KeyQueue[str] = KeyQueue(waited.append)
    queue.add("a")
    await asyncio.sleep(3)
    queue.add("a")
    await queue.get()
    queue.add_after("b", 5)
    await queue.get()
    assert waited == [pytest.approx(3), pytest.approx(0)]


async def test_retries_double_up_to_a_limit_that_is_given(queue: KeyQueue[str]) -> None:
    assert [queue.retry("a", 1.0) for _ in range(7)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


class Crowd:
    """Workers that come, go and work as told, and what they are owed."""

    def __init__(self) -> None:
        self.queue: KeyQueue[str] = KeyQueue()
        self.owed: set[str] = set()
        self.working: set[str] = set()
        self.waiting: list[asyncio.Task[str]] = []

    def add(self, key: str) -> None:
        self.owed.add(key)
        self.queue.add(key)

    def add_later(self, key: str) -> None:
        self.owed.add(key)
        self.queue.add_after(key, 0)

    def come(self, _: str = "") -> None:
        self.waiting.append(asyncio.create_task(self.queue.get()))

    def go(self, _: str = "") -> None:
        if self.waiting:
            self.waiting[0].cancel()

    def finish(self, key: str) -> None:
        if key in self.working:
            self.working.discard(key)
            self.queue.done(key)

    async def settle(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)
        for task in [task for task in self.waiting if task.done()]:
            self.waiting.remove(task)
            if not task.cancelled():
                key = task.result()
                assert key not in self.working
                self.owed.discard(key)
                self.working.add(key)

    async def close(self) -> None:
        for task in self.waiting:
            task.cancel()
        await asyncio.gather(*self.waiting, return_exceptions=True)


DEEDS = (Crowd.add, Crowd.add_later, Crowd.come, Crowd.go, Crowd.finish)


@given(st.lists(st.tuples(st.sampled_from(DEEDS), st.sampled_from("abc"), st.booleans()), max_size=40))
def test_no_key_is_lost_or_worked_on_twice_at_a_time(
    deeds: list[tuple[Callable[[Crowd, str], None], str, bool]],
) -> None:
    async def history() -> None:
        crowd = Crowd()
        for do, key, pause in deeds:
            do(crowd, key)
            if pause:
                await crowd.settle()
        for _ in range(6):
            for key in "abc":
                crowd.finish(key)
            crowd.come()
            await crowd.settle()
        assert not crowd.owed
        await crowd.close()

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(history())
