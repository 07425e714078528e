"""A real process on its way out, under load that never stops opening connections."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import httpx2
import onnx
import pytest

from .conftest import READY_SECONDS
from .under_way import under_way

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.asyncio]

BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
DRAIN_SECONDS = 6.0
EXIT_SECONDS = 10.0


class Load:
    """Clients that send one request after the other until they are told to stop; half keep their connection."""

    def __init__(self, url: str, clients: int) -> None:
        self._url = url
        self._stopped = False
        self.answers: list[tuple[float, httpx2.Response]] = []
        """Each with the loop's time at which its request was sent."""
        self.failures: list[Exception] = []
        self._tasks = [asyncio.create_task(self._client(keep=index % 2 == 0)) for index in range(clients)]

    async def answered(self, more: int) -> None:
        """Returns once so many more answers have come."""
        wanted = len(self.answers) + more
        async with asyncio.timeout(EXIT_SECONDS):
            while len(self.answers) < wanted and not self.failures:
                await asyncio.wait(self._tasks, timeout=0.02)

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)

    async def _client(self, keep: bool) -> None:
        limits = httpx2.Limits(max_keepalive_connections=1 if keep else 0)
        async with httpx2.AsyncClient(limits=limits, timeout=10) as client:
            while not self._stopped:
                sent = asyncio.get_running_loop().time()
                try:
                    self.answers.append((sent, await client.post(self._url, json=BODY)))
                except httpx2.TransportError as error:
                    self.failures.append(error)


async def get_status(url: str) -> int:
    async with httpx2.AsyncClient(timeout=5) as client:
        return (await client.get(url)).status_code


async def exit_code(process: Any) -> int:
    return await asyncio.to_thread(process.popen.wait, EXIT_SECONDS)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_no_request_fails_while_the_process_drains(
    workers: str, serve: Callable[..., Any], double: onnx.ModelProto
) -> None:
    with serve(double, "--drain-seconds", str(DRAIN_SECONDS), "--workers", workers) as process:
        loop = asyncio.get_running_loop()
        load = Load(process.url("/v2/models/m/infer"), clients=6)
        await load.answered(50)
        process.popen.send_signal(signal.SIGTERM)
        began = loop.time()
        while await get_status(process.url("/v2/health/ready")) != 503:
            assert loop.time() - began < DRAIN_SECONDS / 2, "readiness must fail at once"
        await load.answered(100)
        draining = loop.time()
        process.popen.send_signal(signal.SIGTERM)
        assert await get_status(process.admin_url("/readyz")) == 503
        assert await get_status(process.url("/v2/health/live")) == 200
        while loop.time() - began < DRAIN_SECONDS - 2.0:
            await load.answered(10)
        await load.stop()
        assert load.failures == []
        assert {answer.status_code for _, answer in load.answers} == {200}
        later = [answer for sent, answer in load.answers if sent >= draining]
        assert later
        assert all(answer.headers.get("connection") == "close" for answer in later)
        assert await exit_code(process) == 0
        assert DRAIN_SECONDS <= loop.time() - began < DRAIN_SECONDS + 2.0
        assert process.termination_log.read_text() == ""


async def test_requests_in_progress_at_the_end_of_the_drain_are_answered(
    serve: Callable[..., Any], slow: onnx.ModelProto
) -> None:
    with serve(slow, "--drain-seconds", "0", "--max-batch-size", "1") as process:
        body = {"inputs": [{"name": "n", "shape": [], "datatype": "INT64", "data": [300_000]}]}
        async with httpx2.AsyncClient(timeout=30) as client:
            requests = await under_way(process, client, body, 4)
            process.popen.send_signal(signal.SIGTERM)
            answers = await asyncio.gather(*requests)
        assert [answer.status_code for answer in answers] == [200] * 4
        assert await exit_code(process) == 0


async def test_a_signal_while_loading_ends_the_process_at_once(
    serve: Callable[..., Any], endless: onnx.ModelProto
) -> None:
    with serve(endless, "--drain-seconds", "60", wait=False) as process:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while await _status_or_none(process.url("/v2/health/live")) != 200:
            assert loop.time() - began < READY_SECONDS
        assert await get_status(process.url("/v2/health/ready")) == 503
        process.popen.send_signal(signal.SIGTERM)
        assert await exit_code(process) == 0


async def _status_or_none(url: str) -> int | None:
    try:
        return await get_status(url)
    except httpx2.TransportError:
        return None
