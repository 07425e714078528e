"""Tokens go into no trace and no log, whatever becomes of the request."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx2
import onnx
import pytest

from tidegate_runtime.rpc.protos import inference_pb2 as pb

from .otlp_receiver import attributes, receiving
from .tokens import bearer, document, tenant
from .told_share import message

pytestmark = pytest.mark.integration

CONTENT = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
SECRETS = ("s3cr3t-good", "s3cr3t-wrong", "s3cr3t-other")


@pytest.mark.parametrize("transport", ["nghttp2", "grpcio"])
def test_no_token_is_in_a_trace_or_in_the_log(
    serve: Callable[..., Any], double: onnx.ModelProto, tmp_path: Path, transport: str
) -> None:
    path = tmp_path / "tenants.json"
    path.write_bytes(
        document(tenant("a", SECRETS[0], models=["m"], administration=True), tenant("b", SECRETS[2], models=["n"]))
    )
    options = ("--tenants-file", str(path), "--grpc-transport", transport, "--admin-on-data-port")
    with receiving() as receiver, serve(double, "--trace-endpoint", receiver.url, *options) as process:
        verbose = {"log_verbose_level": 1}
        assert httpx2.post(process.url("/v2/logging"), json=verbose, headers=bearer(SECRETS[0])).status_code == 200
        url = process.url("/v2/models/m/infer")
        codes: list[Any] = []
        with httpx2.Client() as client:
            for token in (*SECRETS, SECRETS[0]):
                for way in ({}, {"te": "trailers"}):
                    client.post(url, json=CONTENT, headers=way | bearer(token))
                    codes.append(attributes(receiver.server_spans(len(codes) + 1)[-1])["http.response.status_code"])
        assert codes == [200, 200, 401, 401, 403, 403, 200, 200]
        with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
            call: Any = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=pb.ModelInferRequest.SerializeToString,
                response_deserializer=pb.ModelInferResponse.FromString,
            )
            for token in SECRETS:
                answer = call.future(message(), metadata=[*bearer(token).items()], timeout=60)
                answer.exception()
        receiver.server_spans(len(codes) + 1)
        text = process.log.read_text() + "".join(map(str, receiver.spans))
        assert not any(secret in text for secret in (*SECRETS, "Bearer", "authorization"))
