"""A front end that hangs is ended and started again, also as it starts; one that is busy for long is not."""

import asyncio
import os
import signal
import socket

import pytest

from tidegate_runtime.model.child import slab
from tidegate_runtime.workers import pulse
from tidegate_runtime.workers.pulse import LOOK_SECONDS, QUESTIONS, Pulse, start_seconds
from tidegate_runtime.workers.records import Kind, plain

from .hub_ends import ends
from .hub_in_process import hub, until

STARTING_SECONDS = 100.0


class Watched:
    """A front end that answers a question `busy` seconds after it has come; it listens already, or never will."""

    def __init__(self, busy: float | None, *, listens: bool = True) -> None:
        self._loop = asyncio.get_running_loop()
        self._busy = busy
        self.asked: list[float] = []
        self.hung: list[float] = []
        self._began = self._loop.time()
        self.pulse = Pulse(self._ask, lambda: self.hung.append(self._loop.time()), STARTING_SECONDS)
        if listens:
            self.pulse.listens()

    def _ask(self) -> None:
        self.asked.append(self._loop.time() - self._began)
        if self._busy is not None:
            self._loop.call_later(self._busy, self._answer)

    def _answer(self) -> None:
        self.pulse.heard = True


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_one_that_answers_nothing_for_half_a_minute_hangs() -> None:
    watched = Watched(None)
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(300)
    assert watched.asked == pytest.approx([LOOK_SECONDS * (1 + look) for look in range(QUESTIONS)])
    assert watched.hung == pytest.approx([began + LOOK_SECONDS * (1 + QUESTIONS)])


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("busy", [0.0, 2.0, 28.0])
async def test_one_that_answers_late_does_not_hang(busy: float) -> None:
    watched = Watched(busy)
    await asyncio.sleep(300)
    assert watched.hung == []
    assert watched.asked
    watched.pulse.stop()
    count = len(watched.asked)
    await asyncio.sleep(300)
    assert len(watched.asked) == count


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_one_that_speaks_by_itself_is_asked_nothing() -> None:
    watched = Watched(None)
    for _ in range(100):
        watched.pulse.heard = True
        await asyncio.sleep(1)
    assert watched.asked == []
    watched.pulse.stop()


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("speaks", [False, True], ids=["silent", "speaking"])
async def test_one_that_does_not_get_to_listen_in_time_hangs_and_is_asked_nothing(speaks: bool) -> None:
    watched = Watched(None, listens=False)
    began = asyncio.get_running_loop().time()
    for _ in range(300):
        watched.pulse.heard = watched.pulse.heard or speaks
        await asyncio.sleep(1)
    assert watched.asked == []
    # 100 s are 33⅓ looks.
    assert watched.hung == pytest.approx([began + 34 * LOOK_SECONDS])


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_one_that_listens_in_time_may_then_be_silent_as_long_as_any() -> None:
    watched = Watched(None, listens=False)
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(STARTING_SECONDS)
    watched.pulse.listens()
    await asyncio.sleep(300)
    # 33 looks have been, and the next one finds it silent.
    assert watched.hung == pytest.approx([began + LOOK_SECONDS * (33 + 1 + QUESTIONS)])


@pytest.mark.parametrize(("front_ends", "seconds"), [(2, 70), (4, 80), (64, 380)])
def test_a_start_has_more_time_the_more_there_are(front_ends: int, seconds: float) -> None:
    assert start_seconds(front_ends) == seconds


@pytest.mark.asyncio
async def test_a_front_end_is_killed_for_its_silence_once_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "LOOK_SECONDS", 0.001)
    async with ends() as made:
        await asyncio.sleep(0.1)
        assert not made.killed.is_set(), "a start may take longer"
        _, descriptor = slab.create(1)
        socket.send_fds(made.other, [plain(Kind.READY)], [descriptor])
        os.close(descriptor)
        async with asyncio.timeout(10):
            await made.killed.wait()


@pytest.mark.asyncio
@pytest.mark.integration
async def test_a_front_end_that_hangs_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "LOOK_SECONDS", 0.5)
    async with hub() as made:
        await made.listening()
        hanging, other = made.pids
        os.kill(hanging, signal.SIGSTOP)
        await until(lambda: made.front_ends.restarts == 1)
        await made.listening()
        assert hanging not in made.pids
        assert other in made.pids
        assert await made.answers()
