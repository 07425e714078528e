"""Tenants before several front ends: each asks as one process would, and they let in no more between them."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx2
import onnx
import pytest

from tidegate_runtime.rpc.protos import inference_pb2 as pb

from .conftest import Process
from .tokens import bearer, document, tenant
from .told_share import message, until

pytestmark = pytest.mark.integration

CONTENT = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
BURST = 8
CONNECTIONS = 12


def infer(process: Process, token: str, model: str = "m", **headers: str) -> httpx2.Response:
    """On a connection of its own, for which the front ends take turns."""
    url = process.url(f"/v2/models/{model}/infer")
    return httpx2.post(url, json=CONTENT, headers=headers | bearer(token), timeout=60)


def status(process: Process, token: str) -> str:
    with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        call: Any = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        try:
            call(message(), metadata=[*bearer(token).items()], timeout=60)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def test_front_ends_ask_alike_share_the_rate_and_take_up_another_file(
    serve: Callable[..., Any], double: onnx.ModelProto, tmp_path: Path
) -> None:
    path = tmp_path / "tenants.json"
    limited = tenant("slow", "slow", requestsPerSecond=0.001, burst=BURST)
    path.write_bytes(document(tenant("one", "one"), tenant("two", "two", models=["n"]), limited))
    with serve(double, "--workers", "2", "--tenants-file", str(path)) as process:
        for headers in ({}, {"te": "trailers"}):
            assert infer(process, "one", **headers).status_code == 200
            assert infer(process, "wrong", **headers).status_code == 401
            theirs, nobodys = (infer(process, "two", model, **headers) for model in ("m", "x"))
            assert (theirs.status_code, theirs.content) == (403, nobodys.content)
        assert [status(process, token) for token in ("one", "wrong", "two")] == [
            "OK",
            "UNAUTHENTICATED",
            "PERMISSION_DENIED",
        ]

        with ExitStack() as opened:
            clients = [opened.enter_context(httpx2.Client(headers=bearer("slow"))) for _ in range(CONNECTIONS)]
            answers = [
                client.post(process.url("/v2/models/m/infer"), json=CONTENT).status_code
                for _ in range(2)
                for client in clients
            ]
        # Each front end has half; both have connections.
        assert BURST // 2 <= answers.count(200) <= BURST
        assert set(answers) == {200, 429}

        path.write_bytes(document(tenant("one", "another")))
        until(lambda: infer(process, "one").status_code == 401)
        assert [infer(process, "another").status_code for _ in range(CONNECTIONS)] == [200] * CONNECTIONS
        assert status(process, "another") == "OK"
