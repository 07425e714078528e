"""The hub's end of the line to a front end, held against what a front end might send and when it might end."""

import asyncio
import os
import socket
import sys
from typing import Any

import numpy as np
import pytest

from tidegate_runtime.batching.isolation import host_of
from tidegate_runtime.errors import DeadlineExceeded, ExecutionFailed, RejectedByModel
from tidegate_runtime.model.child import messages
from tidegate_runtime.model.child.layout import arrange, pack
from tidegate_runtime.model.child.slab import sealed
from tidegate_runtime.workers import tally
from tidegate_runtime.workers.line import LONGEST_BYTES, Line, opened
from tidegate_runtime.workers.mirror import Mirror
from tidegate_runtime.workers.questions import TOTALS
from tidegate_runtime.workers.records import HEAD, Cargo, Kind, Request, Requests, plain, request, requests
from tidegate_runtime.workers.remote import Remote
from tidegate_runtime.workers.snapshot import Snapshot
from tidegate_runtime.workers.uplink import Uplink

from .hub_ends import LIMITS, WIDTH, ends

pytestmark = pytest.mark.asyncio


def asking(model: int = 7, slab: int = 0, offset: int = 0, description: bytes = b"\x0a\x01" + bytes(8)) -> bytes:
    return request(Request(1, model, 1, 0, 1e12, False, Cargo(description, slab, offset, 64 if slab else 0)))


def asking_together(count: int, model: int = 7) -> bytes:
    """So many requests that have four rows between them."""
    stacks = np.zeros((4, 4), np.float32)
    cargo = Cargo(pack(arrange([(stacks.dtype, stacks.shape, stacks.nbytes)])), 0, 0, stacks.nbytes, stacks.tobytes())
    return requests(Requests(model, 1, 0, cargo, [(number, 1e12, 0) for number in range(count)]))


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"\xff" * 16, id="a kind that there isn't"),
        pytest.param(b"\x05", id="half a record"),
        pytest.param(plain(Kind.SHOWN) * (LONGEST_BYTES // HEAD.size + 1), id="a packet that is too long"),
        pytest.param(plain(Kind.OUTCOME), id="what a hub says"),
        pytest.param(asking(model=8), id="a model that was not told"),
        pytest.param(asking(slab=3), id="a slab that there isn't"),
        pytest.param(asking(description=b"\x99"), id="a description of nothing"),
        pytest.param(asking_together(0), id="no request of several"),
        pytest.param(asking_together(3), id="shares that aren't equal"),
        pytest.param(asking_together(2)[:64], id="several cut short"),
        pytest.param(asking_together(2, model=8), id="several for a model that was not told"),
        pytest.param(plain(Kind.RELEASE, 1, 0), id="a place that was not lent"),
        pytest.param(plain(Kind.LET_GO, 8), id="a model that it doesn't have"),
    ],
)
async def test_a_front_end_that_cannot_be_understood_is_killed(packet: bytes) -> None:
    async with ends() as made:
        made.other.send(packet)
        async with asyncio.timeout(10):
            await made.killed.wait()


async def test_a_slab_that_could_be_cut_short_is_refused() -> None:
    async with ends() as made:
        descriptor = os.memfd_create("unsealed")
        os.ftruncate(descriptor, 65536)
        socket.send_fds(made.other, [plain(Kind.SLAB, 1)], [descriptor])
        os.close(descriptor)
        async with asyncio.timeout(10):
            await made.killed.wait()


async def test_of_two_descriptors_in_one_packet_none_is_left_open() -> None:
    async with ends() as made:
        files = len(os.listdir("/proc/self/fd"))
        descriptor = sealed("a slab", 65536)
        socket.send_fds(made.other, [plain(Kind.SLAB, 1)], [descriptor, descriptor])
        os.close(descriptor)
        made.other.send(plain(Kind.SLAB, 2))
        async with asyncio.timeout(10):
            await made.killed.wait()
        tracked = 1 if sys.version_info < (3, 13) else 0
        assert len(os.listdir("/proc/self/fd")) == files + tracked, "the first slab's mapping alone keeps one"


async def test_a_model_is_kept_until_the_front_end_lets_it_go_or_ends() -> None:
    for let_go in (True, False):
        async with ends() as made:
            closing = asyncio.create_task(made.service.retire("m", "1"))
            done, _ = await asyncio.wait({closing}, timeout=0.05)
            assert not done
            if let_go:
                made.other.send(plain(Kind.LET_GO, 7))
            else:
                made.other.close()
                await made.killed.wait()
                made.link.lost()
            async with asyncio.timeout(10):
                await closing


async def test_clients_of_a_front_end_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ends() as made:
        clients: list[Any] = []
        submit = made.model.submit_checked

        def noted(*arguments: Any) -> Any:
            clients.append(arguments[-1])
            return submit(*arguments)

        monkeypatch.setattr(made.model, "submit_checked", noted)
        remote = Remote(Uplink(made.other), 7, ("x",), made.model.metrics)
        row = {"x": np.zeros((1, WIDTH), np.float32)}
        deadline = made.service.clock() + 20
        askers = [("h", 1), ("h", 2), ("h", 1), ("i", 1), None]
        async with asyncio.timeout(10):
            await asyncio.gather(*[remote.infer(row, 1, deadline, client=client) for client in askers])
        assert clients[0] == clients[2] != clients[1]
        assert host_of(clients[0]) == host_of(clients[1]) != host_of(clients[3])
        assert clients[4] is None


async def test_requests_are_answered_in_batches_and_their_places_are_free_again() -> None:
    async with ends() as made:
        uplink = Uplink(made.other)
        remote = Remote(uplink, 7, ("x",), made.model.metrics)
        deadline = made.service.clock() + 20

        async def one(number: int) -> None:
            sent = np.full((1, WIDTH), number, np.float32)
            (got,) = await remote.infer({"x": sent}, 1, deadline)
            assert np.array_equal(got, 2 * sent)

        for _ in range(3):
            await asyncio.gather(*(one(number) for number in range(20)))
        assert made.model.metrics.batch_rows.total == 60
        assert sum(made.model.metrics.batch_rows.counts) < 60, "they shared batches"
        with pytest.raises(RejectedByModel):
            await one(-1)
        for _ in range(100):
            await asyncio.sleep(0)
        assert made.link.lent == 0
        assert uplink.lent <= LIMITS.max_batch_size, "the last batch may be kept until the next one runs"
        uplink.end()


async def test_a_request_that_is_withdrawn_while_it_runs_is_not_answered_and_its_place_not_reused() -> None:
    async with ends() as made:
        uplink = Uplink(made.other)
        remote = Remote(uplink, 7, ("x",), made.model.metrics)
        made.engine.open.clear()
        gone = asyncio.create_task(
            remote.infer({"x": np.full((1, WIDTH), 1, np.float32)}, 1, made.service.clock() + 20)
        )
        await made.engine.began.wait()
        kept = asyncio.create_task(
            remote.infer({"x": np.full((1, WIDTH), 3, np.float32)}, 1, made.service.clock() + 20)
        )
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait({gone})
        made.engine.open.set()
        (got,) = await kept
        assert np.array_equal(got, np.full((1, WIDTH), 6, np.float32))
        assert made.model.metrics.inflight == 0
        uplink.end()


async def test_a_request_that_expires_before_its_batch_is_put_together_costs_the_others_of_it_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ends() as made, asyncio.timeout(10):
        uplink = Uplink(made.other)
        remote = Remote(uplink, 7, ("x",), made.model.metrics)
        row = {"x": np.ones((1, WIDTH), np.float32)}
        now = made.service.clock()
        await remote.infer(row, 1, now + 20)
        late = asyncio.create_task(remote.infer(row, 1, now + 5))
        other = asyncio.create_task(remote.infer(row, 1, now + 20))
        scheduler: Any = made.model._scheduler
        while scheduler._launch is None:  # noqa: ASYNC110 -- nothing tells
            await asyncio.sleep(0)
        assert len(scheduler._launch.tickets) == 2
        monkeypatch.setattr(scheduler, "_clock", lambda: now + 6)
        scheduler._expire()
        (got,) = await other
        assert np.array_equal(got, 2 * row["x"])
        await asyncio.wait({late})
        assert isinstance(late.exception(), DeadlineExceeded)
        uplink.end()


async def test_a_line_that_its_peer_does_not_read_loses_nothing_and_keeps_the_order() -> None:
    one, other = messages.pair()
    got: list[int] = []
    parcels: list[bytes] = []
    over = asyncio.Event()

    def on_packet(packet: bytes, descriptor: int | None) -> None:
        if descriptor is not None:
            parcels.append(opened(descriptor, HEAD.unpack(packet)[4]))
            return
        got.extend(HEAD.unpack_from(packet, at)[3] for at in range(0, len(packet), HEAD.size))

    writer = Line(one, lambda *_: None, lambda: None)
    for number in range(50_000):
        writer.put(plain(Kind.WITHDRAW, number))
    writer.put_parcel(Kind.COUNTS, 0, b"behind them")
    writer.put(plain(Kind.WITHDRAW, 50_000))
    reader = Line(other, on_packet, over.set)
    async with asyncio.timeout(30):
        await writer.flushed()
        writer.close()
        await over.wait()
    reader.close()
    assert got == [*range(50_001)]
    assert parcels == [b"behind them"]


async def test_a_front_end_shows_what_it_is_told_and_nothing_else() -> None:
    line, _other = messages.pair()
    with _other:
        uplink = Uplink(line)
        mirror = Mirror(LIMITS, uplink, uplink.let_go)
        assert not mirror.ready
        mirror.show(Snapshot((), started=True, draining=False), uplink.handed)
        assert mirror.ready
        mirror.show(Snapshot((), started=True, draining=True), uplink.handed)
        assert not mirror.ready
        uplink.end()


async def test_a_front_end_is_told_what_was_counted_of_a_model_that_runs() -> None:
    async with ends() as made:
        uplink = Uplink(made.other)
        remote = Remote(uplink, 7, ("x",), made.model.metrics)
        await remote.infer({"x": np.zeros((1, WIDTH), np.float32)}, 1, made.service.clock() + 20)
        (told,) = tally.decode_totals(await uplink.ask(TOTALS))
        assert (told.model, sum(told.batch_rows.counts)) == ("m", 1)
        uplink.end()


async def test_a_front_end_that_asks_what_cannot_be_told_does_not_wait_for_it() -> None:
    async with ends() as made:
        made.untold = True
        uplink = Uplink(made.other)
        with pytest.raises(ExecutionFailed, match="log says why"):
            await uplink.ask(TOTALS)
        uplink.end()
