"""Several front ends before one process with the models: real processes, seen by clients over HTTP and gRPC."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tidegate_runtime.rpc.protos import inference_pb2 as pb

from .stored_models import Repository, times
from .under_way import under_way

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

PATIENCE_SECONDS = 60.0
WIDTH = 2048
"""Numbers in a row: 8 KiB, too many for a packet."""


@pytest.fixture
def wide(model: Callable[..., onnx.ModelProto]) -> onnx.ModelProto:
    """y = x + x on rows that travel in slabs."""
    return model(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        {"x": (TensorProto.FLOAT, ["N", WIDTH])},
        {"y": (TensorProto.FLOAT, ["N", WIDTH])},
    )


def front_ends_of(process: Any) -> list[int]:
    """The process ids of the front ends that run."""
    children = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"tidegate_runtime.workers" in command_line(int(pid))]


def command_line(pid: int) -> bytes:
    """The command line of a process; empty if it has ended, which it may between being listed and being read."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def mapped_slabs(pid: int) -> int:
    """How many slabs that process has mapped."""
    return sum("memfd:tidegate-tensors" in line for line in Path(f"/proc/{pid}/maps").read_text().splitlines())


def owner_of(port: int, peer: int, pids: list[int]) -> int:
    """Which of the processes has the connection between these two ports."""
    wanted = f"0100007F:{port:04X} 0100007F:{peer:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inode = next(line[9] for line in lines if f"{line[1]} {line[2]}" == wanted)
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if os.readlink(entry) == f"socket:[{inode}]":
                    return pid
            except FileNotFoundError:
                continue
    raise AssertionError("nobody has accepted the connection")


class Client:
    """One connection, one request after the other; each answer is derived from its request and checked."""

    def __init__(self, process: Any, seed: int, width: int, model: str = "m", factors: tuple[int, ...] = (2,)) -> None:
        self.good = 0
        self.codes: list[int] = []
        self.owner = 0
        self.broken = False
        self.stopped = False
        self._process = process
        self._random = np.random.default_rng(seed)
        self._width = width
        self._path = f"/v2/models/{model}/infer"
        self._factors = factors

    async def run(self) -> None:
        port = self._process.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        peer = writer.get_extra_info("sockname")[1]
        try:
            while not self.stopped:
                await self._ask(reader, writer)
                if not self.owner:
                    self.owner = owner_of(port, peer, front_ends_of(self._process))
        except (ConnectionError, asyncio.IncompleteReadError):
            self.broken = True
        finally:
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rows = int(self._random.integers(1, 4))
        sent = self._random.integers(-1000, 1000, (rows, self._width)).astype(np.float32)
        size = {"binary_data_size": sent.nbytes}
        described = {"name": "x", "shape": sent.shape, "datatype": "FP32", "parameters": size}
        head = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
        fields = f"Host: m\r\nInference-Header-Content-Length: {len(head)}\r\nContent-Length: {len(head) + sent.nbytes}"
        writer.write(f"POST {self._path} HTTP/1.1\r\n{fields}\r\n\r\n".encode() + head + sent.tobytes())
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        content = await reader.readexactly(int(headers["content-length"]))
        code = int(status.split(" ", 2)[1])
        self.codes.append(code)
        if code == 200:
            length = int(headers["inference-header-content-length"])
            got = np.frombuffer(content[length:], np.float32).reshape(sent.shape)
            assert any(np.array_equal(got, factor * sent) for factor in self._factors)
            self.good += 1


class Load:
    """Clients at work until they are stopped."""

    def __init__(self, clients: list[Client]) -> None:
        self.clients = clients
        self._tasks = [asyncio.create_task(client.run()) for client in clients]

    async def good(self, more: int) -> None:
        """Returns once each client whose connection lasts has had so many more good answers."""
        wanted = {client: client.good + more for client in self.clients}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not all(client.broken or client.good >= wanted[client] for client in self.clients):
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)

    async def everywhere(self, process: Any, another: Callable[[int], Client]) -> None:
        """Returns once every front end has clients, of which this adds as many as that takes.

        A front end that isn't scheduled for a moment gets none of those that connect meanwhile.
        """
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.good(1)
            while not {client.owner for client in self.clients} >= set(front_ends_of(process)):
                self.clients.append(another(len(self.clients)))
                self._tasks.append(asyncio.create_task(self.clients[-1].run()))
                await self.good(1)

    async def stop(self) -> None:
        for client in self.clients:
            client.stopped = True
        await asyncio.gather(*self._tasks)


async def metric(process: Any, sample: str) -> float:
    async with httpx2.AsyncClient(timeout=30) as client:
        text = (await client.get(process.admin_url("/metrics"))).text
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(sample)), 0.0)


async def until_inflight(process: Any, count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await metric(process, "tidegate_inflight") != count:
            pass


async def until(condition: Callable[[], bool]) -> None:
    """Returns once it holds, which nothing tells."""
    for _ in range(int(PATIENCE_SECONDS / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never held")


async def test_answers_belong_to_their_requests_on_every_front_end(
    serve: Callable[..., Any], wide: onnx.ModelProto
) -> None:
    with serve(wide, "--workers", "2") as process:
        load = Load([Client(process, seed, WIDTH) for seed in range(16)])
        await load.everywhere(process, lambda seed: Client(process, seed, WIDTH))
        await load.good(50)
        await load.stop()
        answered = sum(len(client.codes) for client in load.clients)
        assert {code for client in load.clients for code in client.codes} == {200}
        assert {client.owner for client in load.clients} == set(front_ends_of(process)), "both have clients"
        for sample in ("tidegate_requests_total{code", "tidegate_request_duration_seconds_count"):
            assert await metric(process, sample) == answered
        assert await metric(process, "tidegate_inflight") == 0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_what_a_front_end_uses_is_told_and_its_successor_goes_on_with_the_account(
    serve: Callable[..., Any], double: onnx.ModelProto
) -> None:
    with serve(double, "--workers", "2") as process:

        async def told(name: str) -> list[float]:
            return [await metric(process, f'tidegate_front_end_{name}{{front_end="{place}"}}') for place in (0, 1)]

        pids = front_ends_of(process)
        least = sum(map(cpu_seconds, pids))
        used = await told("cpu_seconds_total")
        assert least <= sum(used) <= sum(map(cpu_seconds, pids)) + 0.02
        assert all(size > 1024 * 1024 for size in await told("resident_memory_bytes"))
        os.kill(pids[0], signal.SIGKILL)
        began = sum(used)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await metric(process, "tidegate_front_end_restarts_total"):
                now = await told("cpu_seconds_total")
                assert all(after >= before for before, after in zip(used, now, strict=True))
                used = now
            while await metric(process, "tidegate_front_ends") != 2:
                pass
        now = await told("cpu_seconds_total")
        assert all(after >= before for before, after in zip(used, now, strict=True))
        assert sum(now) > began + 0.1, "the successor's start is in the dead one's account"
        assert all(size > 1024 * 1024 for size in await told("resident_memory_bytes"))


async def test_a_front_end_that_is_killed_takes_its_own_connections_alone(
    serve: Callable[..., Any], wide: onnx.ModelProto
) -> None:
    with serve(wide, "--workers", "2") as process:
        load = Load([Client(process, seed, WIDTH) for seed in range(16)])
        await load.everywhere(process, lambda seed: Client(process, seed, WIDTH))
        await load.good(20)
        victim, other = front_ends_of(process)
        counted = await metric(process, "tidegate_requests_total{code")
        os.kill(victim, signal.SIGKILL)
        await load.good(50)
        assert {client.broken for client in load.clients if client.owner == victim} == {True}
        assert {client.broken for client in load.clients if client.owner == other} == {False}
        await load.stop()
        assert {code for client in load.clients for code in client.codes} == {200}
        await until(lambda: len(front_ends_of(process)) == 2)
        assert await metric(process, "tidegate_requests_total{code") >= counted
        assert await metric(process, "tidegate_inflight") == 0
        # What the hub and the one that lasts have between them, and no slab of the dead one.
        assert mapped_slabs(process.popen.pid) == mapped_slabs(other)
        again = Load([Client(process, seed, WIDTH) for seed in range(16)])
        await again.good(20)
        await again.stop()
        assert {code for client in again.clients for code in client.codes} == {200}


async def test_the_largest_priority_is_one_like_any_other(serve: Callable[..., Any], double: onnx.ModelProto) -> None:
    with serve(double, "--workers", "2") as process, httpx2.Client(timeout=30) as client:
        described = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
        body = {"inputs": [described], "parameters": {"priority": 2**63 - 1}}
        answer = client.post(process.url("/v2/models/m/infer"), json=body)
        assert answer.json()["outputs"][0]["data"] == [2, 4, 6, 8]


async def test_models_are_exchanged_under_load_without_a_lost_request(
    hosted: Callable[..., Any], repository: Repository
) -> None:
    with hosted("--workers", "2") as process:
        load = Load([Client(process, seed, 2, "double", (2, 5, 7)) for seed in range(12)])
        await load.everywhere(process, lambda seed: Client(process, seed, 2, "double", (2, 5, 7)))
        for factor in (5, 7):
            await load.good(20)
            repository.put("double", 1, times(factor))
            async with httpx2.AsyncClient(timeout=PATIENCE_SECONDS) as client:
                url = process.admin_url("/v2/repository/models/double/load")
                assert (await client.post(url, json={})).status_code == 200
            fresh = Load([Client(process, seed, 2, "double", (factor,)) for seed in range(4)])
            await fresh.good(5)
            await fresh.stop()
        await load.good(20)
        await load.stop()
        assert {code for client in load.clients for code in client.codes} == {200}
        assert len({client.owner for client in load.clients}) == 2


async def test_an_unloaded_model_is_gone_on_every_front_end(hosted: Callable[..., Any]) -> None:
    with hosted("--workers", "2") as process:
        clients = [httpx2.Client(timeout=30) for _ in range(8)]
        bodies = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
        infer = process.url("/v2/models/double/infer")
        assert {client.post(infer, json=bodies).status_code for client in clients} == {200}
        assert httpx2.post(process.admin_url("/v2/repository/models/double/unload"), json={}).status_code == 200
        assert {client.post(infer, json=bodies).status_code for client in clients} == {503}
        assert {client.get(process.url("/v2/models/triple/ready")).status_code for client in clients} == {200}
        assert httpx2.post(process.admin_url("/v2/repository/models/double/load"), json={}).status_code == 200
        assert {client.post(infer, json=bodies).status_code for client in clients} == {200}
        told = [client.get(process.url("/v2/models/double/stats")).json()["model_stats"][0] for client in clients]
        assert {stats["inference_stats"]["success"]["count"] for stats in told} == {16}, "each tells of all"
        for client in clients:
            client.close()


async def test_the_log_level_is_that_of_all_processes(serve: Callable[..., Any], double: onnx.ModelProto) -> None:
    with serve(double, "--workers", "2") as process, httpx2.Client(timeout=30) as client:
        url = process.admin_url("/v2/logging")
        quiet = {"log_info": False, "log_warning": False, "log_error": False}
        assert client.post(url, json=quiet).json()["log_error"] is False
        before = process.log.read_text()
        # What a front end logs as it begins to listen, once it knows what is to be logged.
        for pid in front_ends_of(process):
            os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await metric(process, "tidegate_front_end_restarts_total") < 2:
                pass
            while await metric(process, "tidegate_front_ends") != 2:
                pass
        assert process.log.read_text() == before
        assert client.post(url, json={"log_info": True, "log_warning": True, "log_error": True}).status_code == 200
        os.kill(front_ends_of(process)[0], signal.SIGKILL)
        await until(lambda: '"listening for gRPC"' in process.log.read_text().removeprefix(before))


async def test_calls_over_grpc_are_answered_by_every_front_end(
    serve: Callable[..., Any], double: onnx.ModelProto
) -> None:
    with serve(double, "--workers", "2") as process:

        async def calls(number: int) -> int:
            options = [("grpc.use_local_subchannel_pool", 1)]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{process.grpc_port}", options) as channel:
                infer = channel.unary_unary(
                    "/inference.GRPCInferenceService/ModelInfer",
                    request_serializer=pb.ModelInferRequest.SerializeToString,
                    response_deserializer=pb.ModelInferResponse.FromString,
                )
                for turn in range(50):
                    sent = np.array([[number, turn, 1, -1]], np.float32)
                    request = pb.ModelInferRequest(model_name="m", raw_input_contents=[sent.tobytes()])
                    request.inputs.add(name="x", datatype="FP32", shape=sent.shape)
                    answer = await infer(request)
                    assert answer.raw_output_contents == [(2 * sent).tobytes()]
            return 50

        assert sum(await asyncio.gather(*(calls(number) for number in range(12)))) == 600
        assert await metric(process, "tidegate_requests_total{code") == 600


async def test_the_end_of_the_hub_is_the_end_of_its_front_ends(
    serve: Callable[..., Any], double: onnx.ModelProto
) -> None:
    with serve(double, "--workers", "2") as process:
        pids = front_ends_of(process)
        assert len(pids) == 2
        process.popen.send_signal(signal.SIGKILL)
        await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


@pytest.mark.parametrize("isolated", ["--isolate", "--no-isolate"])
async def test_queued_requests_are_answered_before_the_end(
    isolated: str, serve: Callable[..., Any], slow: onnx.ModelProto
) -> None:
    options = ("--workers", "2", "--drain-seconds", "0.2", "--max-batch-size", "1", isolated)
    with serve(slow, *options) as process:
        body = {"inputs": [{"name": "n", "shape": [], "datatype": "INT64", "data": [200_000]}]}
        async with httpx2.AsyncClient(timeout=30) as client:
            requests = await under_way(process, client, body, 3)
            process.popen.send_signal(signal.SIGTERM)
            answers = await asyncio.gather(*requests)
        assert [answer.status_code for answer in answers] == [200] * 3
        assert [answer.json()["outputs"][0]["data"] for answer in answers] == [[200_000]] * 3
        assert await asyncio.to_thread(process.popen.wait, PATIENCE_SECONDS) == 0


async def test_requests_of_clients_that_left_and_of_a_dead_front_end_leave_the_queue(
    serve: Callable[..., Any], slow: onnx.ModelProto
) -> None:
    with serve(slow, "--workers", "2", "--max-batch-size", "1") as process:
        body = json.dumps({"inputs": [{"name": "n", "shape": [], "datatype": "INT64", "data": [10**15]}]})
        head = f"POST /v2/models/m/infer HTTP/1.1\r\nHost: m\r\nContent-Length: {len(body)}\r\n\r\n"
        opened = [await asyncio.open_connection("127.0.0.1", process.port) for _ in range(6)]
        for _, writer in opened:
            writer.write((head + body).encode())
        await until_inflight(process, 6)
        opened[0][1].close()
        await until_inflight(process, 5)
        for pid in front_ends_of(process):
            os.kill(pid, signal.SIGKILL)
        await until_inflight(process, 0)
        for _, writer in opened[1:]:
            writer.close()
