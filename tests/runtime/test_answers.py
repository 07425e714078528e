"""Answers of a running server against ONNX Runtime run directly on the same numbers."""

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.scheduler import Scheduler
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.engine import ThreadEngine
from tidegate_runtime.model.session import OnnxSession
from tidegate_runtime.tensors import Array, Feeds

from .conftest import READY_SECONDS

pytestmark = pytest.mark.integration

EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "schedule_policy", "statistics"]


@pytest.fixture
def files() -> list[Array]:
    """Beginnings and ends of 24 files, as the classifier takes them; some are padded with its 256."""
    generator = np.random.default_rng(7)
    rows = generator.integers(0, 256, (24, 2048), dtype=np.int32)
    rows[::3, 100:1900] = 256
    return [rows[index : index + 1] for index in range(24)]


class RecordedEngine(ThreadEngine):
    """Keeps the batches that were run."""

    def __init__(self, session: OnnxSession, thread: ThreadPoolExecutor) -> None:
        super().__init__(session, thread)
        self.batches: list[Feeds] = []

    async def run(self, feeds: Feeds) -> Any:
        self.batches.append(feeds)
        return await super().run(feeds)


async def test_each_answer_is_its_row_of_the_assembled_batch(magika_path: Path, files: list[Array]) -> None:
    with ThreadPoolExecutor(1) as launch:
        engine = RecordedEngine(OnnxSession(magika_path, "cpu", 1), launch)
        clock = asyncio.get_running_loop().time
        scheduler = Scheduler(engine, BatchPolicy(8, 0.005, 100), ModelMetrics("m", "1", "cpu"), clock)
        serving = asyncio.create_task(scheduler.run())
        submitted = (scheduler.infer({"bytes": file}, 1, clock() + 60) for file in files)
        answers = await asyncio.gather(*submitted)
        scheduler.close()
        await serving
    assert [len(batch["bytes"]) for batch in engine.batches] == [8, 8, 8]
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    direct = ort.InferenceSession(str(magika_path), options)
    expected = np.concatenate([direct.run(None, dict(batch))[0] for batch in engine.batches])
    np.testing.assert_array_equal(np.concatenate([answer[0] for answer in answers]), expected)


def test_an_unbatched_answer_over_http_is_equal_to_the_bit(
    serve: Callable[..., Any], magika_path: Path, files: list[Array]
) -> None:
    direct = ort.InferenceSession(str(magika_path))
    with serve(magika_path, "--max-batch-size", "1") as process, httpx2.Client(timeout=30) as client:
        for file in files[:4]:
            tensor = {"name": "bytes", "shape": [1, 2048], "datatype": "INT32", "data": file.tolist()}
            answer = client.post(process.url("/v2/models/m/infer"), json={"inputs": [tensor]}).json()
            (output,) = answer["outputs"]
            got = np.array(output["data"], np.float32).reshape(output["shape"])
            np.testing.assert_array_equal(got, direct.run(None, {"bytes": file})[0])


def test_binary_numbers_are_answered_alike_wherever_they_begin_in_the_body(serve: Callable[..., Any]) -> None:
    """Its kernels for sums begin at the first address that is a multiple of 16, and so add up in another order."""
    shapes = {"x": [3, 5], "y": [3, 1]}
    ports = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1])
    graph = helper.make_graph([node], "mean", [ports["x"]], [ports["y"]])
    mean = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    tensor = {"name": "x", "shape": [3, 5], "datatype": "FP32", "parameters": {"binary_data_size": x.nbytes}}
    found = []
    with serve(mean) as process, httpx2.Client(timeout=10) as client:
        for length in range(16):
            request = {"id": "i" * length, "inputs": [tensor], "parameters": {"binary_data_output": True}}
            head = json.dumps(request).encode()
            headers = {"Inference-Header-Content-Length": str(len(head))}
            answer = client.post(process.url("/v2/models/m/infer"), content=head + x.tobytes(), headers=headers)
            found.append(answer.content[int(answer.headers["Inference-Header-Content-Length"]) :])
    assert found == [ort.InferenceSession(mean.SerializeToString()).run(None, {"x": x})[0].tobytes()] * 16


@pytest.fixture(scope="module")
def texts() -> onnx.ModelProto:
    """Strings in, strings and their equality with "yes" out, each of its own shape."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["s"], ["same"]), helper.make_node("Equal", ["s", "yes"], ["is_yes"])],
        "texts",
        [helper.make_tensor_value_info("s", TensorProto.STRING, ["N", "L"])],
        [
            helper.make_tensor_value_info("same", TensorProto.STRING, ["N", "L"]),
            helper.make_tensor_value_info("is_yes", TensorProto.BOOL, ["N", "L"]),
        ],
        [numpy_helper.from_array(np.array("yes", object), "yes")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def test_texts_and_booleans_come_back_in_the_order_asked_for(serve: Callable[..., Any], texts: onnx.ModelProto) -> None:
    tensor = {"name": "s", "shape": [2, 2], "datatype": "BYTES", "data": [["yes", "grüß"], ["", "a\x00:"]]}
    request = {"id": "7", "inputs": [tensor], "outputs": [{"name": "is_yes"}, {"name": "same"}]}
    with serve(texts) as process:
        answer = httpx2.post(process.url("/v2/models/m/versions/1/infer"), json=request, timeout=10).json()
    assert answer == {
        "model_name": "m",
        "model_version": "1",
        "id": "7",
        "outputs": [
            {"name": "is_yes", "datatype": "BOOL", "shape": [2, 2], "data": [True, False, False, False]},
            {"name": "same", "datatype": "BYTES", "shape": [2, 2], "data": ["yes", "grüß", "", "a\x00:"]},
        ],
    }


@pytest.fixture
def client(doubling: Any) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=doubling.url(""), timeout=10) as client:
        yield client


@pytest.mark.parametrize("path", ["/v2/models/m", "/v2/models/m/versions/7"])
def test_metadata_says_what_goes_in_and_out(client: httpx2.Client, path: str) -> None:
    assert client.get(path).json() == {
        "name": "m",
        "versions": ["7"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}],
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2", {"name": "tidegate", "version": "0.1.0", "extensions": EXTENSIONS}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/m/ready", {"name": "m", "ready": True}),
        ("/v2/models/m/versions/7/ready", {"name": "m", "ready": True}),
    ],
)
def test_health_and_server_answers(client: httpx2.Client, path: str, body: dict[str, Any]) -> None:
    assert client.get(path).json() == body


def test_while_the_model_loads_the_server_lives_and_is_not_ready(
    serve: Callable[..., Any], endless: onnx.ModelProto
) -> None:
    tensor = {"name": "n", "shape": [], "datatype": "INT64", "data": [1]}
    with (
        serve(endless, wait=False) as process,
        # With several front ends a connection waits for the first of them.
        httpx2.Client(base_url=process.url(""), timeout=READY_SECONDS) as client,
    ):
        while True:
            try:
                assert client.get("/v2/health/live").status_code == 200
                break
            except httpx2.ConnectError:
                assert process.popen.poll() is None
        for answer in (
            client.get("/v2/health/ready"),
            client.get("/v2/models/m"),
            client.post("/v2/models/m/infer", json={"inputs": [tensor]}),
        ):
            assert answer.status_code == 503
            assert "loading" in answer.json()["error"]
        assert httpx2.get(process.admin_url("/readyz")).status_code == 503
        assert httpx2.get(process.admin_url("/healthz")).status_code == 200


async def test_overload_deadlines_and_clients_that_leave(serve: Callable[..., Any], slow: onnx.ModelProto) -> None:
    """With the engine held by one long request: the queue holds one more, and refuses the next at once."""

    def counting(trips: int) -> dict[str, Any]:
        return {"inputs": [{"name": "n", "shape": [], "datatype": "INT64", "data": [trips]}]}

    with serve(slow, "--queue-size", "1", "--timeout-seconds", "3") as process:
        url, metrics = process.url("/v2/models/m/infer"), process.admin_url("/metrics")
        async with httpx2.AsyncClient(timeout=60) as client:

            async def until(line: str) -> None:
                async with asyncio.timeout(20):
                    while line not in (await client.get(metrics)).text:
                        pass

            held = asyncio.create_task(client.post(url, json=counting(2**40)))
            await until('tidegate_inflight{model="m",version="1"} 1.0')
            await until('tidegate_queue_depth{model="m",version="1"} 0.0')
            waiting = asyncio.create_task(client.post(url, json=counting(1)))
            await until('tidegate_queue_depth{model="m",version="1"} 1.0')
            refused = await client.post(url, json=counting(1))
            assert refused.status_code == 429
            assert (refused.headers["retry-after"], refused.headers["tidegate-refused"]) == ("1", "QueueFull")
            waiting.cancel()
            await until('tidegate_queue_depth{model="m",version="1"} 0.0')
            assert (await held).status_code == 504
            answer = await client.post(url, json=counting(5))
            assert answer.json()["outputs"][0]["data"] == [5.0]
            await until('tidegate_requests_total{code="499",model="m",version="1"} 1.0')
            await until('tidegate_requests_total{code="504",model="m",version="1"} 1.0')
            held = asyncio.create_task(client.post(url, json=counting(2**40)))
            await until('tidegate_inflight{model="m",version="1"} 1.0')
            held.cancel()
            assert (await client.post(url, json=counting(6))).json()["outputs"][0]["data"] == [6.0]


async def test_requests_of_one_turn_that_are_all_refused_get_an_answer_each(
    serve: Callable[..., Any], double: onnx.ModelProto
) -> None:
    tensor = b'{"name":"x","shape":[1,4],"datatype":"FP32","data":[%d,2,3,4]}'
    count, rounds = 30, 3

    def request(number: int, keep: bytes) -> bytes:
        # Of a microsecond nothing is left once it is read.
        body = b'{"inputs":[' + tensor % number + b'],"parameters":{"timeout":1}}'
        head = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nConnection: %b\r\nContent-Length: %d\r\n\r\n"
        return head % (keep, len(body)) + body

    async def refused(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
        head = await connection[0].readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 504 ")
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        return await connection[0].readexactly(int(length.split(b":")[1]))

    with serve(double) as process:
        connections = [await asyncio.open_connection("127.0.0.1", process.port) for _ in range(count)]
        for turn in range(rounds):
            last = turn == rounds - 1
            for number, (_, writer) in enumerate(connections):
                writer.write(request(number, b"close" if last and number % 2 else b"keep-alive"))
            bodies = await asyncio.gather(*map(refused, connections))
            assert set(bodies) == {b'{"error":"the request\'s time was over before it could be queued"}'}
        for number, (reader, writer) in enumerate(connections):
            if number % 2:
                assert await reader.read() == b""
            writer.close()
        async with httpx2.AsyncClient() as client:
            counted = (await client.get(process.admin_url("/metrics"))).text
    assert f'tidegate_requests_total{{code="504",model="m",version="1"}} {count * rounds:.1f}' in counted
