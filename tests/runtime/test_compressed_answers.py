"""Compressed answers of the hot way: what becomes of one that can't be, and when a leader's time is counted."""

import asyncio
import json
import threading
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from uvicorn.server import ServerState

from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.protocol import compression
from tidegate_runtime.protocol.compression import MIN_BYTES
from tidegate_runtime.protocol.plain import Answers
from tidegate_runtime.tensors import Array
from tidegate_runtime.web import hot_answer, packing, turn
from tidegate_runtime.web.turn import HttpTurn

from .test_connection_bounds import Connected

BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}).encode()
HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BODY)
TURNS = 500
"""Of 10 ms, in which an answer comes."""

Compress = Callable[..., list[bytes]]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[Compress, bool], Connected]:
    """A connection whose every answer is compressed by a function, in a thread or not."""

    def connected(compress: Compress, in_a_thread: bool) -> Connected:
        for module in (hot_answer, turn):
            monkeypatch.setattr(module, "MIN_BYTES", 1)
        monkeypatch.setattr(packing, "OFF_LOOP_BYTES", 1 if in_a_thread else 1 << 20)
        monkeypatch.setattr(packing, "compress", compress)
        connection = Connected(served=True)
        connection.engine.seconds = 0.0
        return connection

    return connected


async def until(true: Callable[[], bool]) -> None:
    for _ in range(TURNS):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true")


def without_memory(*_: Any) -> list[bytes]:
    raise MemoryError


@pytest.mark.parametrize("in_a_thread", [True, False])
async def test_an_answer_that_cannot_be_compressed_is_answered_500(
    connect: Callable[[Compress, bool], Connected], in_a_thread: bool
) -> None:
    connection = connect(without_memory, in_a_thread)

    def answered(number: int) -> bool:
        return len(connection.answers()) == number

    for number in (1, 2, 3):  # The second is known by its bytes.
        connection.receive(HEAD + BODY)
        await until(partial(answered, number))
    assert [status for status, _ in connection.answers()] == [500] * 3
    assert connection.metrics.codes == {500: 3}
    assert sum(connection.metrics.evidence_seconds.counts) == 0
    connection.transport.close()


async def test_where_no_thread_can_be_started_to_compress_an_answer_it_is_500(
    connect: Callable[[Compress, bool], Connected], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect(compression.compress, True)

    def refuse(*_: Any) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", refuse)
    connection.receive(HEAD + BODY)
    await until(lambda: connection.answers() != [])
    assert connection.answers()[0][0] == 500
    connection.transport.close()


async def test_who_leaves_while_its_answer_is_compressed_is_counted_once(
    connect: Callable[[Compress, bool], Connected],
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def failing(*_: Any) -> list[bytes]:
        begun.set()
        go_on.wait(10)
        raise MemoryError

    connection = connect(failing, True)
    connection.receive(HEAD + BODY)
    await until(begun.is_set)
    connection.transport.close()
    await until(lambda: connection.metrics.codes == {499: 1})
    go_on.set()
    await asyncio.get_running_loop().shutdown_default_executor()
    await asyncio.sleep(0)  # What is called once the thread is done has had its turn.
    assert (connection.metrics.codes, connection.transport.written) == ({499: 1}, b"")


async def test_the_time_of_a_leader_whose_answer_is_compressed_is_counted_once_it_is_written(
    connect: Callable[[Compress, bool], Connected],
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def held(*given: Any) -> list[bytes]:
        begun.set()
        go_on.wait(10)
        return compression.compress(*given)

    connection = connect(held, True)

    def told(number: int) -> bool:
        return sum(connection.metrics.evidence_seconds.counts) == number

    for number in (1, 2, 3):
        begun.clear()
        go_on.clear()
        connection.receive(HEAD + BODY)
        await until(begun.is_set)
        assert told(number - 1)
        go_on.set()
        await until(partial(told, number))
    found = [zlib.decompress(body, 31) for _, body in connection.answers()]
    assert [json.loads(body)["outputs"][0]["data"] for body in found] == [[2]] * 3
    connection.transport.close()


class Long:
    """A codec whose answers are long enough to be compressed."""

    as_text = False

    def answers(self, outputs: Sequence[Array], count: int) -> Answers:
        return Answers(b"", [bytes(MIN_BYTES)] * count, b"")


@pytest.mark.parametrize(
    ("accepted", "counted"),
    [
        pytest.param([b"gzip", None], 0, id="the leader's goes by itself, and is counted there"),
        pytest.param([None, b"gzip"], 1, id="the leader's is written at once"),
    ],
)
async def test_a_batchs_leader_is_counted_where_its_answer_is_written(
    accepted: list[bytes | None], counted: int
) -> None:
    metrics = ModelMetrics("m", "1", "cpu")
    apart: list[int] = []
    calls: list[Any] = [
        SimpleNamespace(
            form=Long(),
            ticket=SimpleNamespace(leads=True),
            telling=True,
            leads=False,
            server_state=ServerState(),
            keep_alive=True,
            head=SimpleNamespace(accepted=each),
            received=1.0,
            parsed=1.0,
            model=SimpleNamespace(metrics=metrics),
            transport=SimpleNamespace(write=lambda _: None),
            written=lambda _: None,
            deliver_one=lambda *_, number=number: apart.append(number),
        )
        for number, each in enumerate(accepted)
    ]
    HttpTurn(lambda: 2.0).deliver_all(calls, [np.zeros((2, 2), np.float32)])
    assert apart == [counted]
    assert [call.leads for call in calls] == [not counted, False]
    assert sum(metrics.evidence_seconds.counts) == counted
