"""A real server whose model runs in a child process: crashes, hangs and ends, seen by clients over HTTP."""

import asyncio
import json
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from .stored_models import Repository, body, first, index, logged, post, times, until
from .under_way import under_way

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

PATIENCE_SECONDS = 60.0
BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}


def child_of(process: Any) -> int:
    return int(logged(process, "engine ready")[-1]["pid"])


def maps_onnx_runtime(pid: int) -> bool:
    return "onnxruntime" in Path(f"/proc/{pid}/maps").read_text()


@contextmanager
def watched(pid: int) -> Iterator[Callable[[], bool]]:
    """A function that waits until that process has ended, and says whether it did in time."""
    descriptor = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    try:
        yield lambda: bool(poll.poll(PATIENCE_SECONDS * 1000))
    finally:
        os.close(descriptor)


async def test_every_request_is_answered_while_the_child_is_killed_again_and_again(
    serve: Callable[..., Any], double: onnx.ModelProto
) -> None:
    with serve(double, "--isolate", "--timeout-seconds", "20") as process:
        load = Clients(process.url("/v2/models/m/infer"), 8)
        async with asyncio.timeout(PATIENCE_SECONDS * 2):
            for _ in range(3):
                await load.good(200)
                child = child_of(process)
                with watched(child) as ended:
                    os.kill(child, signal.SIGKILL)
                    assert await asyncio.to_thread(ended)
                await load.good(1)
            await load.good(200)
            await load.stop()
        assert set(load.codes) <= {200, 503, 504}
        assert load.connections == 8, "no connection is closed for a crash"
        assert child_of(process) != child
        async with httpx2.AsyncClient(timeout=30) as client:
            metrics = (await client.get(process.admin_url("/metrics"))).text
            assert "tidegate_engine_restarts_total 3.0" in metrics
            assert "tidegate_engine_process_resident_memory_bytes" in metrics
            assert (await client.get(process.admin_url("/readyz"))).status_code == 200


class Clients:
    """Clients on a connection of their own each, one request after the other; each answer is checked."""

    def __init__(self, url: str, count: int) -> None:
        self._url = httpx2.URL(url)
        self.codes: list[int] = []
        self.connections = 0
        self._good = 0
        self._stopped = False
        self._progress = asyncio.Condition()
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(count)]

    async def good(self, more: int) -> None:
        """Returns once so many more good answers have come."""
        wanted = self._good + more
        async with self._progress:
            await self._progress.wait_for(lambda: self._good >= wanted or any(task.done() for task in self._tasks))
        for task in self._tasks:
            if task.done():
                task.result()

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)

    async def _client(self, number: int) -> None:
        reader, writer = await asyncio.open_connection(self._url.host, self._url.port)
        self.connections += 1
        body = json.dumps({"inputs": [{**BODY["inputs"][0], "data": [number, 1, 2, 3]}]}).encode()
        head = f"POST {self._url.path} HTTP/1.1\r\nHost: m\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        while not self._stopped:
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            code = int(answer.split(b" ", 2)[1])
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            content = json.loads(await reader.readexactly(length))
            if code == 200:
                assert content["outputs"][0]["data"] == [2 * number, 2, 4, 6]
            elif code == 503:
                assert b"retry-after: 1\r\n" in answer.lower()
            async with self._progress:
                self.codes.append(code)
                self._good += code == 200
                self._progress.notify_all()
        writer.close()


async def test_a_run_without_end_is_ended_at_its_deadline(serve: Callable[..., Any], slow: onnx.ModelProto) -> None:
    with serve(slow, "--isolate", "--timeout-seconds", "3") as process:
        assert not maps_onnx_runtime(process.popen.pid)
        assert maps_onnx_runtime(child_of(process))
        url = process.url("/v2/models/m/infer")
        async with httpx2.AsyncClient(timeout=30) as client:
            assert (await client.post(url, json=counting(10**15))).status_code == 504
            answer = await client.post(url, json=counting(3))
        assert answer.json()["outputs"][0]["data"] == [3]
        assert len(logged(process, "engine ready")) == 1


def counting(number: int) -> dict[str, Any]:
    return {"inputs": [{"name": "n", "shape": [], "datatype": "INT64", "data": [number]}]}


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "in a run without end"])
async def test_a_server_that_is_killed_leaves_no_child(
    busy: bool, serve: Callable[..., Any], slow: onnx.ModelProto
) -> None:
    with serve(slow, "--isolate") as process:
        child = child_of(process)
        with watched(child) as ended:
            async with httpx2.AsyncClient(timeout=30) as client:
                if busy:
                    request = asyncio.create_task(client.post(process.url("/v2/models/m/infer"), json=counting(10**15)))
                    while (
                        'tidegate_queue_seconds_count{model="m",version="1"} 1.0'
                        not in (await client.get(process.admin_url("/metrics"))).text
                    ):
                        pass
                process.popen.send_signal(signal.SIGKILL)
                assert await asyncio.to_thread(ended)
                if busy:
                    with pytest.raises(httpx2.TransportError):
                        await request


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_the_whole_group_drains_before_the_child_ends(
    sent: signal.Signals, serve: Callable[..., Any], slow: onnx.ModelProto
) -> None:
    with serve(slow, "--isolate", "--drain-seconds", "0.2", "--max-batch-size", "1") as process:
        child = child_of(process)
        async with httpx2.AsyncClient(timeout=30) as client:
            requests = await under_way(process, client, counting(200_000), 3)
            with watched(child) as ended:
                os.kill(child, sent)
                process.popen.send_signal(sent)
                answers = await asyncio.gather(*requests)
                assert await asyncio.to_thread(ended)
        assert [answer.status_code for answer in answers] == [200] * 3
        assert await asyncio.to_thread(process.popen.wait, PATIENCE_SECONDS) == 0


async def test_a_model_that_is_refused_ends_the_server_with_the_childs_reason(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "m.onnx").write_bytes(b"GIF89a")
    with serve(tmp_path / "m.onnx", "--isolate", wait=False) as process:
        assert await asyncio.to_thread(process.popen.wait, PATIENCE_SECONDS) == 1
        assert json.loads(process.termination_log.read_text())["reason"] == "ModelInvalid"


async def test_an_engine_that_fails_for_good_during_the_start_of_others_ends_the_server(
    hosted: Callable[..., Any], repository: Repository, slow: onnx.ModelProto
) -> None:
    # Never fewer steps than take half a second, so that all the runs of its start take a few.
    slow.graph.initializer.append(numpy_helper.from_array(np.array(500_000), "many"))
    slow.graph.node[0].input[0] = "steps"
    slow.graph.node.insert(0, helper.make_node("Max", ["n", "many"], ["steps"]))
    repository.put("slow", 1, slow)
    with hosted("--isolate", wait=False) as process:
        await asyncio.to_thread(until, lambda: [line["model"] for line in logged(process, "ready")] == ["double"])
        repository.remove("double")
        os.kill(child_of(process), signal.SIGKILL)
        await asyncio.to_thread(until, lambda: len(logged(process, "ready")) == 3)
        assert await asyncio.to_thread(process.popen.wait, PATIENCE_SECONDS) == 1
        assert json.loads(process.termination_log.read_text())["reason"] == "ModelNotFound"


async def test_the_end_of_a_process_whose_model_was_exchanged_does_not_end_the_server(
    hosted: Callable[..., Any], repository: Repository, double: onnx.ModelProto
) -> None:
    with hosted("--isolate") as process:
        old = int(logged(process, "engine ready")[0]["pid"])
        url = process.url("/v2/models/double/infer")
        content = json.dumps(body(5)).encode()
        head = b"POST /v2/models/double/infer HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(content)
        with socket.create_connection(("127.0.0.1", process.port)) as early, watched(old) as ended:
            early.sendall(head + content[:10])
            # The head was read once a later request on another connection is answered.
            assert first(httpx2.post(url, json=body(5))) == 10
            repository.put("double", 1, double)
            assert (await asyncio.to_thread(post, process, "/v2/repository/models/double/load")).status_code == 200
            os.kill(old, signal.SIGKILL)
            assert await asyncio.to_thread(ended)
            early.sendall(content[10:])
            answer = HTTPResponse(early)
            answer.begin()
            assert (answer.status, answer.getheader("retry-after")) == (503, "1")
            assert "isn't started again" in json.loads(answer.read())["error"]
        await asyncio.to_thread(until, lambda: len(children_of(process.popen.pid)) == 2)
        assert not logged(process, "the engine's process ended")
        assert httpx2.post(url, json=BODY).json()["outputs"][0]["data"] == [2, 4, 6, 8]
        assert httpx2.get(process.admin_url("/readyz")).status_code == 200


async def test_restarts_of_a_model_that_was_exchanged_still_count(hosted: Callable[..., Any]) -> None:
    with hosted("--isolate") as process:
        os.kill(child_of(process), signal.SIGKILL)
        await asyncio.to_thread(until, lambda: len(logged(process, "engine ready")) == 3)
        assert (await asyncio.to_thread(post, process, "/v2/repository/models/triple/load")).status_code == 200
        await asyncio.to_thread(until, lambda: len(children_of(process.popen.pid)) == 2)
        assert "tidegate_engine_restarts_total 1.0" in httpx2.get(process.admin_url("/metrics")).text


async def test_a_load_that_fails_at_its_second_version_leaves_no_process_behind(
    hosted: Callable[..., Any], repository: Repository
) -> None:
    with hosted("--isolate") as process:
        before = children_of(process.popen.pid)
        repository.put("new", 1, times(2), "version_policy { all {} }")
        repository.put("new", 2, b"broken")
        answer = await asyncio.to_thread(post, process, "/v2/repository/models/new/load")
        assert (answer.status_code, "not a valid ONNX model" in answer.text) == (400, True)
        assert index(process)["new", "1"][0] == "UNAVAILABLE"
        assert len(before) == 2
        await asyncio.to_thread(until, lambda: children_of(process.popen.pid) == before)


async def test_a_signal_while_the_child_loads_ends_both(serve: Callable[..., Any], endless: onnx.ModelProto) -> None:
    with serve(endless, "--isolate", "--drain-seconds", "60", wait=False) as process:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (children := children_of(process.popen.pid)):
                await asyncio.to_thread(select.select, [], [], [], 0.02)
        with watched(children[0]) as ended:
            process.popen.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(ended)
        assert await asyncio.to_thread(process.popen.wait, PATIENCE_SECONDS) == 0


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
