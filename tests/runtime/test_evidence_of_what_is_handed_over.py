"""A canary's requests that stable's pods hand over are evidence like a router's, whichever way they come."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import grpc
import httpx2
import onnx
import pytest

from tidegate_runtime import naming
from tidegate_runtime.rpc.protos import inference_pb2 as pb

from .conftest import Process, serving
from .told_share import ROW, SECONDS, WAYS, message

pytestmark = pytest.mark.integration

BY_WEIGHT = {naming.HOP_HEADER: naming.HANDOVER}
BY_MATCH = BY_WEIGHT | {naming.ROUTE_HEADER: naming.ROUTED_BY_MATCH}
COPY = {naming.HOP_HEADER: naming.SHADOW, naming.ROUTE_HEADER: naming.ROUTED_BY_MATCH}
PARALLEL = 8

Ask = Callable[[Process, dict[str, str]], object]


BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}


def named(process: Process, headers: dict[str, str]) -> None:
    """By itself: what has an id is read by the general codec alone."""
    answer = httpx2.post(process.url("/v2/models/m/infer"), json={"id": "7", **BODY}, headers=headers)
    assert answer.status_code == 200


def together(process: Process, headers: dict[str, str]) -> None:
    """So many at once that some share a turn, or a batch."""
    with httpx2.Client(headers=headers) as client, ThreadPoolExecutor(PARALLEL) as pool:
        url = process.url("/v2/models/m/infer")
        answers = [*pool.map(lambda _: client.post(url, json=BODY), range(PARALLEL))]
    assert [answer.status_code for answer in answers] == [200] * PARALLEL


def posted(process: Process, headers: dict[str, str]) -> None:
    """As stable's pods send a message on: over HTTP."""
    content, headers = message().SerializeToString(), headers | {"content-type": "application/proto"}
    url = process.url("/inference.GRPCInferenceService/ModelInfer")
    assert httpx2.post(url, content=content, headers=headers).status_code == 200


def named_message(process: Process, headers: dict[str, str]) -> None:
    """By the general codec, on either transport."""
    asked = message()
    asked.id = "7"
    with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        assert infer(asked, metadata=(*headers.items(),), timeout=SECONDS).id == "7"


EVERY: dict[str, Ask] = {
    **{way: ask for way, (ask, _) in WAYS.items()},
    "with an id": named,
    "many at once": together,
    "message over HTTP": posted,
    "gRPC with an id": named_message,
}


class Counts(NamedTuple):
    """How many times were told as evidence, and batches run."""

    times: float
    runs: float


def counts(process: Process) -> Counts:
    with httpx2.Client() as client:

        def count(path: str, name: str) -> float:
            page = client.get(process.admin_url(path)).text
            return float(page.partition(f"\n{name}_count{{")[2].split()[1])

        times = count(naming.EVIDENCE_PATH, naming.EVIDENCE_SECONDS)
        return Counts(times, count(naming.METRICS_PATH, naming.BATCH_ROWS))


def told(process: Process, way: Ask) -> Counts:
    """Of a request that is handed over by weight, and of one that repeats it."""
    before = counts(process)
    for _ in range(2):
        way(process, BY_WEIGHT)
    after = counts(process)
    return Counts(after.times - before.times, after.runs - before.runs)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="one process"),
        pytest.param(["--workers", "2"], id="front ends"),
        pytest.param(["--isolate"], id="an engine of its own"),
        pytest.param(["--grpc-transport", "grpcio"], id="grpcio"),
    ],
)
def test_what_is_handed_over_by_weight_is_evidence_on_every_way(
    tmp_path: Path, double: onnx.ModelProto, options: list[str]
) -> None:
    with serving(tmp_path, double, "--no-vetting", *options) as process:
        found = {name: told(process, way) for name, way in EVERY.items()}
        assert {name: told.times for name, told in found.items()} == {name: told.runs for name, told in found.items()}
        assert min(told.runs for told in found.values()) >= 2
        before = counts(process)
        for way in EVERY.values():
            way(process, BY_MATCH)
            way(process, COPY)
        after = counts(process)
        assert after.times == before.times
        assert after.runs > before.runs
