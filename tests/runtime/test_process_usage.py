"""CPU time and memory of processes, and the accounts of those that take over from each other."""

import asyncio
import os
import sys

import pytest

from tidegate_runtime.model.child.spawned import Spawned
from tidegate_runtime.process_usage import Usage, usage_of
from tidegate_runtime.workers.usage import Account, Accounts


def test_a_place_goes_on_with_what_those_before_used() -> None:
    accounts = Accounts(2)
    used = {"a": Usage(1.0, 100), "b": Usage(0.5, 200)}
    accounts.began(0, lambda: used["a"])
    accounts.began(1, lambda: used["b"])
    assert [*accounts.read()] == [Account(0, 1.0, 100), Account(1, 0.5, 200)]
    used["a"] = Usage(3.0, 0)
    assert [*accounts.read()] == [Account(0, 3.0, None), Account(1, 0.5, 200)], "it has ended, which isn't noted yet"
    accounts.ended(0)
    assert [*accounts.read()] == [Account(0, 3.0, None), Account(1, 0.5, 200)]
    used["a"] = Usage(0.25, 50)
    accounts.began(0, lambda: used["a"])
    assert [*accounts.read()] == [Account(0, 3.25, 50), Account(1, 0.5, 200)]


def test_a_process_that_cannot_be_read_keeps_what_it_was_known_to_have_used() -> None:
    accounts = Accounts(1)
    used: list[Usage | None] = [Usage(2.0, 100)]
    accounts.began(0, lambda: used[0])
    assert [*accounts.read()] == [Account(0, 2.0, 100)]
    used[0] = None
    assert [*accounts.read()] == [Account(0, 2.0, None)]
    accounts.ended(0)
    assert [*accounts.read()] == [Account(0, 2.0, None)]
    accounts.began(0, lambda: None)
    assert [*accounts.read()] == [Account(0, 2.0, None)]


def test_this_process_uses_what_the_system_says() -> None:
    before = sum(os.times()[:2])
    used = usage_of(os.getpid())
    assert used is not None
    assert before - 0.02 <= used.cpu_seconds <= sum(os.times()[:2]) + 0.02
    assert used.resident_bytes > 1024 * 1024


def test_a_process_that_there_is_not_uses_nothing() -> None:
    assert usage_of(2**22 + 1) is None


@pytest.mark.asyncio
async def test_what_a_process_used_is_known_when_it_has_ended() -> None:
    told: list[Usage | None] = []
    work = "import time\nwhile time.process_time() < 0.2: pass"
    process = Spawned([sys.executable, "-c", work], [], lambda _: told.append(process.usage()))
    async with asyncio.timeout(60):
        await process.ended
    used = process.usage()
    assert told == [used]
    assert used is not None
    assert used.cpu_seconds >= 0.2 - 0.02, "two figures, each in whole hundredths"
    assert used.resident_bytes == 0
    assert usage_of(process.pid) is None


@pytest.mark.asyncio
async def test_what_a_process_used_is_known_also_if_it_is_killed_when_it_has_ended_already() -> None:
    work = "import time\nwhile time.process_time() < 0.2: pass"
    process = Spawned([sys.executable, "-c", work], [], lambda _: None)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 -- the loop isn't to know yet
    process.kill()
    async with asyncio.timeout(60):
        assert await process.ended == 0
    used = process.usage()
    assert used is not None
    assert used.cpu_seconds >= 0.2 - 0.02
    process.kill()


@pytest.mark.asyncio
async def test_a_process_is_killed() -> None:
    process = Spawned([sys.executable, "-c", "import time; time.sleep(600)"], [], lambda _: None)
    process.kill()
    async with asyncio.timeout(60):
        assert await process.ended == -9


@pytest.mark.asyncio
async def test_the_end_of_a_process_is_told_also_if_it_could_not_be_taken_note_of() -> None:
    def fails(_: int) -> None:
        raise ValueError("it can't")

    process = Spawned([sys.executable, "-c", ""], [], fails)
    async with asyncio.timeout(60):
        assert await process.ended == 0
