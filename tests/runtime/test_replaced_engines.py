"""Engines' processes that end for good while their models are loaded anew, before the exchange."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from tidegate_runtime.engine_processes import EngineProcesses
from tidegate_runtime.errors import EngineLost, NotFound, StartupFailure
from tidegate_runtime.hosting import Host
from tidegate_runtime.model.child.report import LoadTask
from tidegate_runtime.model.store import StoredModels
from tidegate_runtime.model.triton_config import ModelConfig
from tidegate_runtime.placing import Placement
from tidegate_runtime.served_model import Limits, Loaded
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import Datatype, InferRequest, Tensor

from .hub_in_process import until
from .stored_models import Repository, times
from .test_isolated_server import children_of

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

LIMITS = Limits(8, 0.005, 64, 65536, 30.0)
PATIENCE_SECONDS = 60.0


class Hosted:
    """A host of "m", which doubles, in a process of its own. Loads of `gated` begin and wait for `gate`."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.repository = Repository(root)
        self.repository.put("m", 1, times(2))
        self.service = Service(LIMITS, asyncio.get_running_loop().time)
        self.host = Host(self.service, StoredModels(root), Placement("cpu", 1, vetting=False, isolate=True))
        self.gated = root / "none"
        self.began, self.gate = asyncio.Event(), asyncio.Event()
        load = EngineProcesses.load

        async def held(engines: EngineProcesses, name: str, task: LoadTask, config: ModelConfig | None) -> Loaded:
            if Path(task.path).is_relative_to(self.gated):
                self.began.set()
                await self.gate.wait()
            return await load(engines, name, task, config)

        patch.setattr(EngineProcesses, "load", held)

    async def begun(self, gated: Path) -> "asyncio.Task[None]":
        """A load of the model that has come to the version in that directory, and waits there."""
        self.gated = gated
        loading = asyncio.create_task(self.host.load("m"))
        await self.began.wait()
        return loading

    async def answer(self, number: float) -> float:
        """What the model makes of the number."""
        rows = np.full((1, 2), number, np.float32)
        request = InferRequest((Tensor("x", Datatype.FP32, rows),))
        answer = await self.service.model("m", "1").infer(request, self.service.clock())
        return float(answer.outputs[0].array[0, 0])

    async def refuses(self) -> EngineLost:
        """What requests are told once there is no engine, nor will be."""
        while True:
            try:
                await self.answer(1)
            except EngineLost as fault:
                if "isn't started again" in str(fault):
                    return fault


@asynccontextmanager
async def hosted(root: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[Hosted]:
    made = Hosted(root, patch)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await made.host.start()
            yield made
    finally:
        made.gate.set()
        await made.service.close()
        await made.host.close()


async def test_an_engine_that_is_lost_while_its_replacement_is_loaded_does_not_end_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosted(tmp_path, monkeypatch) as made:
        failed = asyncio.create_task(made.host.failed())
        loading = await made.begun(tmp_path / "m")
        made.repository.remove("m", 1)
        os.kill(made.host.engine_pid, signal.SIGKILL)
        refused = await made.refuses()
        assert (refused.http_status, refused.retry_after_seconds) == (503, 1)
        assert not made.service.ready
        assert not failed.done()
        made.repository.put("m", 1, times(3))
        made.gate.set()
        await loading
        assert made.service.ready
        assert await made.answer(5) == 15
        assert not failed.done()
        failed.cancel()


async def test_an_engine_that_is_lost_while_its_replacement_is_loaded_ends_the_server_if_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosted(tmp_path, monkeypatch) as made:
        loading = await made.begun(tmp_path / "m")
        made.repository.remove("m", 1)
        os.kill(made.host.engine_pid, signal.SIGKILL)
        await made.refuses()
        made.gate.set()
        with pytest.raises(NotFound, match='failed to load "m"'):
            await loading
        with pytest.raises(StartupFailure, match="does not exist"):
            await made.host.failed()


async def test_a_new_engine_that_is_lost_before_the_exchange_fails_the_load_and_the_old_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosted(tmp_path, monkeypatch) as made:
        failed = asyncio.create_task(made.host.failed())
        every = "version_policy { all {} }"
        for version in (2, 3):
            made.repository.put("m", version, times(version), every)
        loading = await made.begun(tmp_path / "m" / "3")
        made.repository.remove("m", 2)
        os.kill(children_of(os.getpid())[-1], signal.SIGKILL)
        await until(lambda: "an engine is lost" in caplog.text)
        made.gate.set()
        with pytest.raises(NotFound, match='failed to load "m"'):
            await loading
        assert await made.answer(5) == 10
        assert made.service.ready
        assert not failed.done()
        failed.cancel()
