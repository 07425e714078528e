"""Clients that die, dawdle or say nothing, on a running server: another client is served all the while."""

import asyncio
import json
import resource
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from onnx import TensorProto, helper

from .conftest import Process, build_model, serving

pytestmark = pytest.mark.integration

IDLE = 10_000
SPARE = 200
"""Descriptors that a process has beside its connections."""
MIB = 2**20
WIDTH = MIB // 2
"""Of a row in the model whose answers are large: 2 MiB."""

RESET = struct.pack("ii", 1, 0)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server whose answers are as large as their requests."""
    model = build_model(
        [helper.make_node("Neg", ["x"], ["y"])],
        {"x": (TensorProto.FLOAT, ["N", "K"])},
        {"y": (TensorProto.FLOAT, ["N", "K"])},
    )
    with serving(tmp_path_factory.mktemp("mirror"), model, "--no-vetting", "--max-body-bytes", str(8 * MIB)) as process:
        yield process


def request(columns: int, *lines: str) -> bytes:
    """A binary request for a binary answer."""
    raw = np.arange(columns, dtype=np.float32).tobytes()
    tensor = {"name": "x", "shape": [1, columns], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    length = f"Inference-Header-Content-Length: {len(text)}"
    head = ["POST /v2/models/m/infer HTTP/1.1", "Host: h", f"Content-Length: {len(text) + len(raw)}", length, *lines]
    return "\r\n".join([*head, "", ""]).encode() + text + raw


def assert_served(process: Process, client: Any = httpx2) -> None:
    body = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    answer = client.post(process.url("/v2/models/m/infer"), json=body, timeout=20)
    assert answer.json()["outputs"][0]["data"] in ([-1, -2, -3, -4], [2, 4, 6, 8])


def metric(process: Process, name: str) -> float:
    lines = httpx2.get(process.admin_url("/metrics"), timeout=20).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def rss(process: Process) -> int:
    pages = int(Path(f"/proc/{process.popen.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def assert_at_rest(process: Process) -> None:
    """No request is left in the server, or soon none."""
    for _ in range(600):
        if metric(process, "tidegate_inflight{") == 0:
            return
        with suppress(subprocess.TimeoutExpired):
            process.popen.wait(0.05)
    pytest.fail("requests are left in the server")


@contextmanager
def connected(process: Process, *, reset: bool) -> Iterator[socket.socket]:
    """A client that leaves at the end, with RST or FIN."""
    with socket.create_connection(("127.0.0.1", process.port), timeout=20) as connection:
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        yield connection


ENDS = pytest.mark.parametrize("reset", [pytest.param(True, id="RST"), pytest.param(False, id="FIN")])


@ENDS
def test_a_client_that_dies_within_its_body_leaves_nothing_behind(
    mirror: Process, way: dict[str, str], reset: bool
) -> None:
    whole = request(WIDTH, *(f"{name}: {value}" for name, value in way.items()))
    for cut in (1, 40, len(whole) // 2, len(whole) - 1):
        with connected(mirror, reset=reset) as connection:
            connection.sendall(whole[:cut])
    assert_served(mirror)
    assert_at_rest(mirror)


@ENDS
def test_a_client_that_dies_within_its_answer_leaves_nothing_behind(
    mirror: Process, way: dict[str, str], reset: bool
) -> None:
    whole = request(WIDTH, *(f"{name}: {value}" for name, value in way.items()))
    for read in (0, 1, 100_000):
        with connected(mirror, reset=reset) as connection:
            connection.sendall(whole)
            received = 0
            while received < read:
                received += len(connection.recv(read - received))
    assert_served(mirror)
    assert_at_rest(mirror)


def test_answers_that_are_not_read_take_bounded_memory(mirror: Process, way: dict[str, str]) -> None:
    whole = request(WIDTH, *(f"{name}: {value}" for name, value in way.items()))
    assert_served(mirror)
    before = rss(mirror)
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(mirror, reset=True)) for _ in range(10)]
        unsent = [whole * 16 for _ in clients]
        for client in clients:
            client.setblocking(False)
        taken = -1
        while taken != (taken := sum(map(len, unsent))):
            for index, client in enumerate(clients):
                with suppress(BlockingIOError):
                    unsent[index] = unsent[index][client.send(unsent[index]) :]
            assert_served(mirror)
        # Sixteen answers of 2 MiB for each of ten would be 320 MiB.
        assert rss(mirror) - before < 110 * MIB
    assert_at_rest(mirror)
    assert_served(mirror)


@pytest.fixture
def descriptors() -> Iterator[Callable[[], None]]:
    """Sees to it that a process has few open files by default; what it gives lifts that for this one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + SPARE:
        pytest.skip(f"the hard limit on open files is {hard}; {IDLE + SPARE} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    yield lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (IDLE + SPARE, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("port", "hello"), [("port", LIVE), ("grpc_port", PREFACE)], ids=["HTTP", "gRPC"])
def test_ten_thousand_idle_connections_cost_a_few_kilobytes_each(
    tmp_path: Path,
    double: Any,
    descriptors: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
    port: str,
    hello: bytes,
) -> None:
    with serving(tmp_path, double, "--no-vetting") as process, httpx2.Client() as client:
        descriptors()
        assert_served(process, client)
        before = rss(process)
        with ExitStack() as stack:
            asyncio.run(open_idle(getattr(process, port), hello, stack))
            each = (rss(process) - before) / IDLE
            for _ in range(100):
                assert_served(process, client)
            assert_served(process)
        with capsys.disabled():
            print(f"\n{IDLE:,} idle connections: {each / 1024:.1f} KiB each")
        assert each < 48 * 1024
        assert_served(process)


async def open_idle(port: int, hello: bytes, stack: ExitStack) -> None:
    """Opens them, says hello on each and reads the answer."""
    loop = asyncio.get_running_loop()

    async def one() -> None:
        connection = stack.enter_context(socket.socket())
        connection.setblocking(False)
        await loop.sock_connect(connection, ("127.0.0.1", port))
        await loop.sock_sendall(connection, hello)
        assert await loop.sock_recv(connection, 4096)

    for _ in range(IDLE // 100):
        await asyncio.gather(*(one() for _ in range(100)))


def test_a_slow_loris_is_cut_off_and_keeps_nobody_from_being_served(doubling: Process) -> None:
    asyncio.run(loris(doubling))


async def loris(process: Process) -> None:
    """Two hundred clients send a byte of their heads every half second, until they are told off."""
    head = LIVE[:-2] + b"A: " + b"a" * 100

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
        answer = asyncio.create_task(reader.read())
        for byte in head:
            writer.write(bytes([byte]))
            done, _ = await asyncio.wait({answer}, timeout=0.5)
            if done:
                break
        writer.close()
        return await answer

    slow = asyncio.gather(*(one() for _ in range(200)))
    while not slow.done():
        await asyncio.to_thread(assert_served, process)
        await asyncio.wait({slow}, timeout=0.5)
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in await slow)
