"""Loads that are asked for while a host still brings up what its store had when it began."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tidegate_runtime.engine_processes import EngineProcesses
from tidegate_runtime.errors import LoadFailed, StartupFailure
from tidegate_runtime.hosting import Host
from tidegate_runtime.model.child.report import LoadTask
from tidegate_runtime.model.store import StoredModels
from tidegate_runtime.model.triton_config import ModelConfig
from tidegate_runtime.naming import Reason
from tidegate_runtime.placing import Placement
from tidegate_runtime.served_model import Limits, Loaded
from tidegate_runtime.service import Service

from .stored_models import Repository, times
from .test_isolated_server import children_of
from .test_service_registry import Times, loaded

LIMITS = Limits(8, 0.005, 64, 65536, 30.0)
PATIENCE_SECONDS = 60.0

Load = Callable[[EngineProcesses, str, LoadTask, ModelConfig | None], Awaitable[Loaded]]


class Start:
    """The start of a host of "a" and "b", in a process each, that has come to "a" and goes no further before `end`."""

    def __init__(self, root: Path, load: Load, patch: pytest.MonkeyPatch) -> None:
        self.repository = Repository(root)
        for name in ("a", "b"):
            self.repository.put(name, 1, times(2))
        self.service = Service(LIMITS, asyncio.get_running_loop().time)
        self.host = Host(self.service, StoredModels(root), Placement("cpu", 1, vetting=False, isolate=True))
        self.began, self._gate = asyncio.Event(), asyncio.Event()

        async def gated(engines: EngineProcesses, name: str, task: LoadTask, config: ModelConfig | None) -> Loaded:
            if Path(task.path).is_relative_to(root / "a"):
                self.began.set()
                await self._gate.wait()
            return await load(engines, name, task, config)

        patch.setattr(EngineProcesses, "load", gated)
        self._starting = asyncio.create_task(self.host.start())

    async def end(self) -> None:
        self._gate.set()
        await self._starting

    async def close(self) -> None:
        self._starting.cancel()
        await self.service.close()
        await self.host.close()


@asynccontextmanager
async def start_of(root: Path, load: Load, patch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    start = Start(root, load, patch)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await start.began.wait()
            yield start
    finally:
        await start.close()


async def at_once(_engines: EngineProcesses, _name: str, task: LoadTask, _config: ModelConfig | None) -> Loaded:
    """Without a process; "broken" can't be loaded."""
    if "broken" in Path(task.path).parts:
        raise StartupFailure(Reason.MODEL_INVALID, "it is broken")
    return loaded(Times(2.0))


@pytest.mark.integration
async def test_a_model_that_is_loaded_during_the_start_has_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(children_of(os.getpid()))
    async with start_of(tmp_path, EngineProcesses.load, monkeypatch) as start:
        await start.host.load("b")
        (child,) = set(children_of(os.getpid())) - before
        assert not start.service.ready
        await start.end()
        assert start.service.ready
        after = set(children_of(os.getpid())) - before
        assert child in after
        assert len(after) == 2
    assert not set(children_of(os.getpid())) - before


async def test_the_start_brings_no_version_back_that_a_load_has_replaced_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_of(tmp_path, at_once, monkeypatch) as start:
        start.repository.remove("b", 1)
        start.repository.put("b", 2, times(3))
        await start.host.load("b")
        await start.end()
        assert start.service.versions("b") == ["2"]
        assert start.service.ready


async def test_what_is_unloaded_during_the_start_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start_of(tmp_path, at_once, monkeypatch) as start:
        await start.host.load("b")
        await start.host.unload("b")
        await start.end()
        assert not start.service.versions("b")
        assert start.service.ready


async def test_a_load_that_failed_during_the_start_does_not_keep_the_server_from_getting_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_of(tmp_path, at_once, monkeypatch) as start:
        start.repository.put("broken", 1, times(2))
        with pytest.raises(LoadFailed, match="it is broken"):
            await start.host.load("broken")
        await start.end()
        assert start.service.ready
