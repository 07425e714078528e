"""Front ends that can't be started, or hang: at first that's the server's end, later only if none is left."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tidegate_runtime.workers import pool, pulse

from .hub_in_process import Hub, hub, until

pytestmark = [pytest.mark.asyncio, pytest.mark.integration]

FAILING = [pytest.param(("false",), id="ends at once"), pytest.param(("/there/is/none",), id="can't be started")]


def failing(made: Hub) -> "asyncio.Task[None]":
    """Ends once the server is to end."""
    return asyncio.create_task(made.front_ends.failed())


def open_files(pid: int) -> list[Path]:
    """What leads to each file that the process has open."""
    return list(Path(f"/proc/{pid}/fd").iterdir())


@pytest.mark.parametrize("command", FAILING)
async def test_one_that_cannot_be_started_again_leaves_the_others_serving(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def ends() -> int:
        return [record.message for record in caplog.records].count("a front end ended")

    monkeypatch.setattr(pool, "restart_delay", lambda _: 0.01)
    right = pool.COMMAND
    async with hub() as made:
        await made.listening()
        failed = failing(made)
        monkeypatch.setattr(pool, "COMMAND", command)
        os.kill(made.pids[0], signal.SIGKILL)
        await until(lambda: ends() > 2 * pool.MAX_FAILED_STARTS)
        assert not failed.done()
        assert made.front_ends.running == 1
        assert await made.answers()
        monkeypatch.setattr(pool, "COMMAND", right)
        await made.listening()
        failed.cancel()


@pytest.mark.parametrize("command", FAILING)
async def test_where_none_is_left_and_none_can_be_started_the_server_ends(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "restart_delay", lambda _: 0.01)
    async with hub() as made:
        await made.listening()
        failed = failing(made)
        monkeypatch.setattr(pool, "COMMAND", command)
        for pid in made.pids:
            os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            with pytest.raises(OSError, match="end as they start"):
                await failed


@pytest.mark.parametrize("command", FAILING)
async def test_where_none_can_be_started_at_first_the_server_ends(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "restart_delay", lambda _: 0.01)
    monkeypatch.setattr(pool, "COMMAND", command)
    async with hub() as made, asyncio.timeout(60):
        with pytest.raises(OSError, match=r"end as they start|No such file"):
            await made.front_ends.failed()


def have_starts_hang(patch: pytest.MonkeyPatch) -> None:
    """From here on; that is found out after a second."""
    patch.setattr(pool, "COMMAND", (sys.executable, "-c", "import time; time.sleep(3600)"))
    patch.setattr(pool, "start_seconds", lambda _: 1.0)
    patch.setattr(pulse, "LOOK_SECONDS", 0.5)


async def test_one_that_hangs_as_it_starts_is_killed_and_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pool, "restart_delay", lambda _: 0.01)
    async with hub() as made:
        await made.listening()
        failed = failing(made)
        with monkeypatch.context() as hanging:
            have_starts_hang(hanging)
            os.kill(made.pids[0], signal.SIGKILL)
            await until(lambda: made.front_ends.restarts > pool.MAX_FAILED_STARTS)
            assert made.front_ends.running == 1
            assert await made.answers()
        await made.listening()
        assert not failed.done()
        assert await made.answers()
        failed.cancel()
    told = {(record.message, vars(record).get("by")) for record in caplog.records}
    assert ("a front end hangs and is killed", "a start of more than 1 s") in told
    assert ("a front end ended", "a start of more than 1 s") in told


async def test_where_all_hang_as_they_start_at_first_the_server_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "restart_delay", lambda _: 0.01)
    have_starts_hang(monkeypatch)
    async with hub() as made, asyncio.timeout(60):
        with pytest.raises(OSError, match="front ends end as they start, the last by a start of more than"):
            await made.front_ends.failed()
        assert not made.service.ready


async def test_the_memory_in_which_connections_are_counted_cannot_be_cut_short() -> None:
    async with hub() as made:
        await made.listening()
        board = next(file for file in open_files(made.pids[0]) if "memfd:tidegate-connections" in str(file.readlink()))
        with pytest.raises(PermissionError):
            os.truncate(board, 0)
