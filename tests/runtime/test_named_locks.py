"""Locks by name: one holder each, in order of arrival, and nothing kept of names that nobody uses."""

import asyncio
import gc
from pathlib import Path

import pytest

from tidegate_runtime.errors import NotFound
from tidegate_runtime.hosting import Host
from tidegate_runtime.model.store import StoredModels
from tidegate_runtime.named_locks import NamedLocks
from tidegate_runtime.placing import Placement
from tidegate_runtime.served_model import Limits
from tidegate_runtime.service import Service

pytestmark = pytest.mark.asyncio


@pytest.mark.looptime
async def test_holders_of_one_name_come_one_after_the_other_and_those_of_others_at_once() -> None:
    locks = NamedLocks()
    told: list[str] = []

    async def hold(name: str, who: str) -> None:
        async with locks.held(name):
            told.append(f"{who} in")
            await asyncio.sleep(1)
            told.append(f"{who} out")

    tasks = [asyncio.create_task(hold(name, who)) for name, who in (("m", "a"), ("m", "b"), ("n", "c"))]
    await asyncio.sleep(0.5)
    assert len(locks) == 2
    await asyncio.sleep(1)
    assert len(locks) == 1
    await asyncio.gather(*tasks)
    assert told == ["a in", "c in", "a out", "c out", "b in", "b out"]
    assert not locks


@pytest.mark.looptime
async def test_who_gives_up_waiting_leaves_the_name_to_its_holder() -> None:
    locks = NamedLocks()
    async with locks.held("m"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), locks.held("m"):
                pass
        assert len(locks) == 1
    assert not locks


async def test_loads_and_unloads_of_unknown_models_leave_nothing_behind(tmp_path: Path) -> None:
    service = Service(Limits(8, 0.005, 64, 65536, 30.0), asyncio.get_running_loop().time)
    host = Host(service, StoredModels(tmp_path), Placement("cpu", 1, False))
    before = locks_there_are()
    for number in range(1000):
        with pytest.raises(NotFound):
            await host.unload(f"m{number}")
    for number in range(10):
        with pytest.raises(NotFound):
            await host.load(f"n{number}")
    assert locks_there_are() <= before
    await host.close()


def locks_there_are() -> int:
    gc.collect()
    return sum(isinstance(each, asyncio.Lock) for each in gc.get_objects())
