"""Places in slabs: whatever comes in between, each is free again, and none is told of that isn't there."""

import asyncio
import gc
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from tidegate_runtime.batching.alike import Alike
from tidegate_runtime.batching.policy import DEFAULT_LEVEL
from tidegate_runtime.batching.tickets import Asked
from tidegate_runtime.errors import RejectedByModel
from tidegate_runtime.tensors import Array
from tidegate_runtime.workers import records
from tidegate_runtime.workers.remote import Remote
from tidegate_runtime.workers.uplink import Uplink

from .hub_ends import WIDTH, Ends, ends


def row(number: int = 1) -> dict[str, Array]:
    return {"x": np.full((1, WIDTH), number, np.float32)}


async def all_free(uplink: Uplink) -> None:
    """Returns once no place is lent, which it will be after some turns of the loop."""
    async with asyncio.timeout(10):
        while uplink.lent:  # noqa: ASYNC110 -- nothing tells
            await asyncio.sleep(0)


def front_end(made: Ends) -> tuple[Uplink, Remote]:
    uplink = Uplink(made.other)
    return uplink, Remote(uplink, 7, ("x",), made.model.metrics)


@pytest.mark.asyncio
@pytest.mark.parametrize("priority", [0, DEFAULT_LEVEL, 2**32, 2**63 - 1])
async def test_a_request_of_any_priority_is_answered_and_its_place_free_again(priority: int) -> None:
    async with ends() as made, asyncio.timeout(10):
        uplink, remote = front_end(made)
        (got,) = await remote.infer(row(), 1, made.service.clock() + 20, priority=priority)
        assert np.array_equal(got, 2 * row()["x"])
        await all_free(uplink)
        uplink.end()


@pytest.mark.asyncio
async def test_several_of_any_priority_are_answered_together() -> None:
    async with ends() as made, asyncio.timeout(10):
        uplink, remote = front_end(made)
        await remote.infer(row(), 1, made.service.clock() + 20)
        answers = [asyncio.get_running_loop().create_future() for _ in range(4)]
        deadline = made.service.clock() + 20
        asked: list[Asked] = [(row(), deadline, answer.set_result, None) for answer in answers]
        assert remote.submit_all(Alike.of(asked), 1, row()["x"].nbytes, 2**63 - 1) is not None
        remote.cut()
        assert all(np.array_equal(got, 2 * row()["x"]) for (got,) in await asyncio.gather(*answers))
        uplink.end()


@pytest.mark.asyncio
async def test_a_request_that_cannot_be_told_keeps_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ends() as made:
        uplink, remote = front_end(made)

        def fails(_: object) -> bytes:
            raise struct.error("it can't be packed")

        monkeypatch.setattr(records, "request", fails)
        monkeypatch.setattr(records, "requests", fails)
        deadline = made.service.clock() + 20
        with pytest.raises(struct.error):
            await remote.infer(row(), 1, deadline)
        with pytest.raises(struct.error):
            remote.submit_all(Alike.of([(row(), deadline, lambda _: None, None)] * 4), 1, row()["x"].nbytes, 0)
        assert uplink.lent == 0
        uplink.end()


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Cycles of objects stay."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.asyncio
@pytest.mark.usefixtures("no_collection")
async def test_a_request_that_the_model_rejects_gives_its_place_back_at_once() -> None:
    async with ends() as made:
        uplink, remote = front_end(made)
        with pytest.raises(RejectedByModel):
            await remote.infer(row(-1), 1, made.service.clock() + 20)
        await all_free(uplink)
        gc.collect()  # What is left refers to this loop.
        uplink.end()


@pytest.mark.asyncio
@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("late", [True, False])
async def test_a_request_that_nobody_waits_for_gives_its_place_back_when_its_run_is_over(late: bool) -> None:
    async with ends() as made:
        uplink, remote = front_end(made)
        made.engine.open.clear()
        first = asyncio.create_task(remote.infer(row(), 1, made.service.clock() + (0.2 if late else 20)))
        await made.engine.began.wait()
        second = asyncio.create_task(remote.infer(row(), 1, made.service.clock() + 20))
        await asyncio.sleep(0)
        if not late:
            first.cancel()
        await asyncio.wait({first})
        made.engine.open.set()
        await second
        await all_free(uplink)
        gc.collect()  # What is left refers to this loop.
        uplink.end()
