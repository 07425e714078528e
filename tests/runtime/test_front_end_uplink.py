"""A front end's end of the line, held against what it can't take: it loses nothing, or it ends and is started again."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from tidegate_runtime.batching.tickets import Outputs
from tidegate_runtime.errors import RejectedByModel, RuntimeFault
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.child import messages, slab
from tidegate_runtime.model.child.faults import encode_fault
from tidegate_runtime.workers.counting import Counting
from tidegate_runtime.workers.records import HEAD, Cargo, Kind, fault, outcome, plain
from tidegate_runtime.workers.remote import Remote
from tidegate_runtime.workers.snapshot import Snapshot, encode
from tidegate_runtime.workers.uplink import Uplink

pytestmark = pytest.mark.asyncio


class Front:
    """A front end's uplink, and the hub's end of its line, raw."""

    def __init__(self) -> None:
        line, self.hub = messages.pair()
        self.uplink = Uplink(line)
        self.ended = asyncio.Event()
        self.uplink.exit = self.ended.set

    def ask(self) -> "asyncio.Future[Outputs | RuntimeFault]":
        answered: asyncio.Future[Outputs | RuntimeFault] = asyncio.get_running_loop().create_future()
        remote = Remote(self.uplink, 7, ("x",), ModelMetrics("m", "1", "cpu"))
        remote.submit({"x": np.zeros((1, 4), np.float32)}, 1, 1e12, answered.set_result)
        return answered


@contextmanager
def front_end() -> Iterator[Front]:
    made = Front()
    yield made
    made.uplink.end()
    made.hub.close()


async def test_answers_behind_a_question_for_counts_that_no_file_is_left_for_arrive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    with front_end() as front:
        answered = front.ask()
        await asyncio.sleep(0)
        front.hub.recv(65536)
        monkeypatch.setattr(slab, "create", fails)
        front.hub.send(plain(Kind.ASK_COUNTS, 9) + fault(1, encode_fault(RejectedByModel("negative"))))
        async with asyncio.timeout(10):
            assert str(await answered) == "negative"
        await asyncio.sleep(0)
        assert HEAD.unpack(front.hub.recv(65536)) == (Kind.COUNTS, 0, 0, 9, 0), "so that nobody waits for them"
        assert not front.ended.is_set()


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(plain(Kind.SLAB, 1), id="a slab whose descriptor was lost"),
        pytest.param(plain(Kind.HANDED, 1), id="what was handed over, lost"),
        pytest.param(plain(Kind.MODELS, 1), id="what is served, lost"),
        pytest.param(outcome(1, Cargo(b"", 3, 0, 64), None), id="an answer in a slab that there isn't"),
    ],
)
async def test_a_front_end_that_cannot_take_what_it_is_told_ends(packet: bytes) -> None:
    with front_end() as front:
        front.hub.send(packet + fault(1, encode_fault(RejectedByModel("negative"))))
        async with asyncio.timeout(10):
            await front.ended.wait()


async def test_a_front_end_that_cannot_show_what_is_served_ends() -> None:
    def fails(_: Snapshot) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    with front_end() as front:
        front.uplink.on_models = fails
        content = encode(Snapshot((), started=True, draining=False))
        memory, descriptor = slab.create(len(content))
        memory.root[: len(content)] = memoryview(content)
        socket.send_fds(front.hub, [plain(Kind.MODELS, 1, len(content))], [descriptor])
        os.close(descriptor)
        async with asyncio.timeout(10):
            await front.ended.wait()


async def test_the_end_of_the_hub_is_the_end_of_a_front_end() -> None:
    with front_end() as front:
        front.hub.close()
        async with asyncio.timeout(10):
            await front.ended.wait()


async def test_nobody_waits_for_counts_that_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate_runtime.workers.counting.COUNT_SECONDS", 60)
    asked: list[int] = []
    ends: list[Callable[[Counting], None]] = [lambda counting: counting.untold(1), lambda counting: counting.end()]
    for end in ends:
        counting = Counting(asked.append)
        waiting = asyncio.create_task(counting.renew())
        await asyncio.sleep(0)
        end(counting)
        async with asyncio.timeout(10):
            await waiting
    assert asked == [1, 1]
