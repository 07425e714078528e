"""Streams of requests worked on side by side, at their end, without a server."""

import asyncio
import gc
from collections.abc import AsyncIterator
from weakref import WeakSet

import pytest

from tidegate_runtime.errors import NotReady
from tidegate_runtime.rpc.call import Call
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.rpc.servicer import Servicer
from tidegate_runtime.rpc.streams import InOrder
from tidegate_runtime.served_model import Limits
from tidegate_runtime.service import Service


async def never() -> AsyncIterator[pb.ModelInferRequest]:
    """A client that says nothing."""
    await asyncio.Event().wait()
    yield pb.ModelInferRequest()


async def test_a_stream_that_begins_once_the_server_stops_is_ended_and_not_waited_for() -> None:
    servicer = Servicer(Service(Limits(8, 0.0, 512, 65536, 30.0)))
    servicer.close()
    stream = servicer.model_stream_infer(never(), Call(0.0, None, {}))
    with pytest.raises(NotReady, match="shutting down"):
        await asyncio.wait_for(anext(stream), 5)


class Large:
    """Something that is noticed when it is gone."""


async def test_a_stream_that_rests_holds_neither_its_last_request_nor_the_answer() -> None:
    alive: WeakSet[Large] = WeakSet()

    def made() -> Large:
        each = Large()
        alive.add(each)
        return each

    async def one() -> AsyncIterator[Large]:
        yield made()
        await asyncio.Event().wait()

    async def answer(_request: Large) -> Large:
        return made()

    stream = InOrder(one(), answer, inflight=4)
    answers = stream.answers()
    assert isinstance(await anext(answers), Large)
    resting = asyncio.ensure_future(anext(answers))
    for _ in range(5):
        await asyncio.sleep(0)
    gc.collect()
    assert len(alive) == 0
    resting.cancel()
    await asyncio.gather(resting, return_exceptions=True)
    await stream.close()


async def test_what_reading_raises_comes_behind_the_answers() -> None:
    async def two() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise ValueError("the third")

    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    stream = InOrder(two(), double, inflight=4)
    answers = stream.answers()
    assert [await anext(answers), await anext(answers)] == [2, 4]
    with pytest.raises(ValueError, match="the third"):
        await anext(answers)
    await stream.close()
