"""The histogram by which a canary is judged: one request of each batch that was answered, whichever way it came."""

import asyncio
import gzip
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import onnx
import pytest

from tidegate_runtime import naming
from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.scheduler import Scheduler
from tidegate_runtime.batching.tickets import Ticket
from tidegate_runtime.errors import RejectedByModel
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.tensors import Feeds

from .conftest import Process, serving

BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
PARALLEL = 24


class Doubling:
    """Runs on a thread's stand-in; a negative number fails its batch."""

    async def hop(self) -> float:
        return 0.0

    def run_inline(self, feeds: Feeds) -> Ran:
        raise AssertionError("nothing may run on the loop where the hop takes no time")

    async def run(self, feeds: Feeds) -> Ran:
        await asyncio.sleep(0.01)
        if feeds["x"].min() < 0:
            raise RejectedByModel("negative")
        return [feeds["x"] * 2], 0.01

    def interrupt(self) -> None: ...


async def leading(
    values: Sequence[float], leave: Sequence[int] = (), rows: int = 4, hops: Sequence[int] = ()
) -> list[bool]:
    """Of requests that come together, which led their batch of at most `rows` when they were told."""
    loop = asyncio.get_running_loop()
    scheduler = Scheduler(Doubling(), BatchPolicy(rows, 0.0, 100), ModelMetrics("m", "1", "cpu"), loop.time)
    running = asyncio.create_task(scheduler.run())
    await asyncio.sleep(0)
    told: dict[int, bool] = {}
    tickets: list[Ticket] = []

    def deliver(number: int) -> Callable[[Any], None]:
        return lambda _: told.__setitem__(number, tickets[number].leads)

    for number, value in enumerate(values):
        feeds = {"x": np.full((1, 4), value, np.float32)}
        tickets.append(scheduler.submit(feeds, 1, loop.time() + 10, deliver(number)))
        tickets[-1].hop = number in hops
    await asyncio.sleep(0.005)
    for number in leave:
        scheduler.withdraw(tickets[number])
    scheduler.close()
    await running
    return [told.get(number, False) for number in range(len(values))]


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize(
    ("values", "leave", "expected"),
    [
        pytest.param([1], [], [True], id="a batch of one"),
        pytest.param([1, 2, 3], [], [True, False, False], id="the first of three"),
        pytest.param([1] * 6, [], [True, False, False, False, True, False], id="the first of each of two batches"),
        pytest.param([1, 2, 3], [0], [False, True, False], id="the next one, where the first has left"),
        pytest.param([1, 2], [0, 1], [False, False], id="nobody of those that have left"),
        pytest.param([-1], [], [False], id="nobody of a batch that failed"),
    ],
)
async def test_one_request_of_each_batch_that_was_answered_leads(
    values: list[float], leave: list[int], expected: list[bool]
) -> None:
    assert await leading(values, leave) == expected


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("hops", [[0], [1], [0, 1, 2]])
async def test_what_another_server_has_sent_on_leads_its_batch_as_others_do(hops: list[int]) -> None:
    assert await leading([1, 2, 3], hops=hops) == [True, False, False]


def test_a_leaders_time_is_counted_in_the_buckets_of_its_own() -> None:
    metrics = ModelMetrics("m", "1", "cpu")
    for seconds in (0.0, 0.0001, 0.00010001, 0.05, 1000.0):
        metrics.evidence_seconds.observe(seconds)
    counts = metrics.evidence_seconds.counts
    assert {index: count for index, count in enumerate(counts) if count} == {0: 2, 1: 1, 137: 1, 305: 1}
    assert naming.EVIDENCE_BOUNDS[136] < 0.05 <= naming.EVIDENCE_BOUNDS[137]
    assert metrics.evidence_seconds.total == pytest.approx(1000.05020001)


def sample(process: Process, name: str) -> int:
    path = "/metrics/evidence" if name.startswith(naming.EVIDENCE_SECONDS) else "/metrics"
    page = httpx2.get(process.admin_url(path)).text
    (value,) = re.findall(rf'^{name}{{model="m",version="1"}} (\S+)$', page, re.M)
    return int(float(value))


async def posted(process: Process, path: str, route: str, headers: dict[str, str] | None = None, **body: Any) -> None:
    url, sent = process.url(path), {**(headers or {}), naming.ROUTE_HEADER: route}
    async with httpx2.AsyncClient() as client:
        answers = await asyncio.gather(*(client.post(url, headers=sent, **body) for _ in range(PARALLEL)))
    assert {answer.status_code for answer in answers} == {200}


async def hot(process: Process, route: str = "weight") -> None:
    await posted(process, "/v2/models/m/infer", route, json=BODY)


async def compressed(process: Process, route: str = "weight") -> None:
    """By FastAPI: the hot way takes bodies as they are alone."""
    content = gzip.compress(json.dumps(BODY).encode())
    await posted(process, "/v2/models/m/infer", route, {"Content-Encoding": "gzip"}, content=content)


async def v1(process: Process, route: str = "weight") -> None:
    await posted(process, "/v1/models/m:predict", route, json={"instances": [[1, 2, 3, 4]]})


async def rpc(process: Process, route: str = "weight") -> None:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])
    message = pb.ModelInferRequest(model_name="m", inputs=[tensor], raw_input_contents=[np.ones(4, "<f4").tobytes()])
    sent = ((naming.ROUTE_HEADER, route),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        answers = await asyncio.gather(*(infer(message, metadata=sent) for _ in range(PARALLEL)))
    assert len(answers) == PARALLEL


@pytest.mark.integration
@pytest.mark.asyncio
@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="one process"),
        pytest.param(["--workers", "2"], id="front ends"),
        pytest.param(["--isolate"], id="an engine of its own"),
        pytest.param(["--grpc-transport", "grpcio"], id="grpcio"),
    ],
)
async def test_each_batch_is_counted_once_on_every_way(
    tmp_path: Path, double: onnx.ModelProto, options: list[str]
) -> None:
    with serving(tmp_path, double, *options) as process:
        for way in (hot, compressed, v1, rpc):
            before = [sample(process, f"{name}_count") for name in (naming.EVIDENCE_SECONDS, naming.BATCH_ROWS)]
            await way(process)
            after = [sample(process, f"{name}_count") for name in (naming.EVIDENCE_SECONDS, naming.BATCH_ROWS)]
            counted, batches = (later - earlier for later, earlier in zip(after, before, strict=True))
            assert counted == batches, way.__name__
            assert 1 <= batches <= PARALLEL


@pytest.mark.integration
@pytest.mark.asyncio
async def test_what_a_router_has_sent_for_what_it_is_is_no_evidence(tmp_path: Path, double: onnx.ModelProto) -> None:
    with serving(tmp_path, double) as process:
        for way in (hot, compressed, v1, rpc):
            await way(process, route="match")
        assert sample(process, f"{naming.EVIDENCE_SECONDS}_count") == 0
        assert sample(process, f"{naming.BATCH_ROWS}_count") > 0
        await hot(process, route="weight")
        assert sample(process, f"{naming.EVIDENCE_SECONDS}_count") > 0
