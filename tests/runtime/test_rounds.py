"""Work that several ask for at once, on virtual time; a round takes a second."""

import asyncio

import pytest

from tidegate_runtime.workers.rounds import Rounds

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


class Work:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.rounds: list[float] = []
        self.broken = False

    def now(self) -> float:
        return round(self._loop.time() - self._began, 3)

    async def __call__(self) -> None:
        self.rounds.append(self.now())
        await asyncio.sleep(1)
        if self.broken:
            raise ConnectionError

    async def ask(self, rounds: Rounds, seconds: float) -> float:
        """When a round was over for who came after so many seconds."""
        await asyncio.sleep(seconds)
        await rounds.whole()
        return self.now()


async def test_those_that_come_during_a_round_share_the_next_one() -> None:
    work = Work()
    rounds = Rounds(work)
    assert await asyncio.gather(*(work.ask(rounds, came) for came in (0, 0, 0.2, 0.4, 0.6, 1.5, 4))) == [
        *(1, 1),
        *(2, 2, 2),
        *(3, 5),
    ]
    assert work.rounds == [0, 1, 2, 4]


async def test_who_gives_up_ends_no_round_of_others() -> None:
    work = Work()
    rounds = Rounds(work)
    leaving, staying = (asyncio.create_task(work.ask(rounds, 0)) for _ in range(2))
    await asyncio.sleep(0.5)
    leaving.cancel()
    assert await staying == 1
    assert leaving.cancelled()


async def test_a_round_that_fails_does_so_for_all_of_its_own_and_the_next_one_is_done() -> None:
    work = Work()
    rounds = Rounds(work)
    work.broken = True
    outcomes = await asyncio.gather(*(rounds.whole() for _ in range(2)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 2
    work.broken = False
    await rounds.whole()
    assert work.rounds == [0, 1]
