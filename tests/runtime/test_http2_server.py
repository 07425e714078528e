"""What only the nghttp2 transport has to show on a real port: large and many answers, and doing without the library."""

import asyncio
import logging
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from grpc import aio

import tidegate_nghttp2.session
from tidegate_runtime.naming import GrpcTransport
from tidegate_runtime.rpc.grpcio_server import RpcServer
from tidegate_runtime.rpc.http2_server import Http2Server
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.rpc.transports import make_server
from tidegate_runtime.served_model import Limits
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import Array

from .rpc_client import Peer, peer, until

MIB = 1 << 20


@pytest.fixture(autouse=True)
def transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Peer, "transport", "nghttp2")


def bulk(rows: int, seed: int) -> tuple[pb.ModelInferRequest, Array]:
    """A request of so many rows, and what the answer is to be."""
    array = np.random.default_rng(seed).random((rows, 4), np.float32)
    message = pb.ModelInferRequest(model_name="m", id=str(seed))
    message.inputs.add(name="x", datatype="FP32", shape=array.shape)
    message.raw_input_contents.append(array.tobytes())
    return message, array * 2


def large_channel(made: Peer) -> aio.Channel:
    options: Sequence[tuple[str, Any]] = [(f"grpc.max_{way}_message_length", -1) for way in ("receive", "send")]
    return aio.insecure_channel(f"127.0.0.1:{made.port}", options=options)


async def infer(channel: Any, message: pb.ModelInferRequest) -> tuple[str, int]:
    call = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        request_serializer=pb.ModelInferRequest.SerializeToString,
        response_deserializer=pb.ModelInferResponse.FromString,
    )
    answer = await call(message)
    return answer.id, zlib.crc32(answer.raw_output_contents[0])


@pytest.mark.integration
@pytest.mark.parametrize(("count", "rows"), [(1, 4 * MIB - 100), (100, 25_000)], ids=["64 MiB", "100 of 400 kB"])
async def test_large_messages_come_and_go_whole(count: int, rows: int) -> None:
    async with peer(max_body_bytes=64 * MIB, max_batch_size=4 * MIB) as served, large_channel(served) as channel:
        asked = [bulk(rows, seed) for seed in range(count)]
        answers = await asyncio.gather(*(infer(channel, message) for message, _ in asked))
        assert answers == [(str(seed), zlib.crc32(answer.tobytes())) for seed, (_, answer) in enumerate(asked)]


@pytest.mark.integration
async def test_a_draining_server_sends_its_clients_elsewhere_and_answers_them() -> None:
    async with peer() as served, large_channel(served) as channel:
        message, answer = bulk(2, 1)
        assert (await infer(channel, message))[0] == "1"
        server = served.server
        assert isinstance(server, Http2Server)
        (before,) = server._shared.connections
        served.drain()
        assert await infer(channel, message) == ("1", zlib.crc32(answer.tobytes()))
        await until(lambda: before not in server._shared.connections)


def service() -> Service:
    return Service(Limits(8, 0.0, 512, 65536, 30.0))


async def test_the_wanted_transport_serves() -> None:
    for wanted, kind in ((GrpcTransport.GRPCIO, RpcServer), (GrpcTransport.NGHTTP2, Http2Server)):
        served = service()
        assert isinstance(make_server(served, None, wanted), kind)
        assert (served.grpc_transport, served.grpc_reason) == (wanted, "")


async def test_without_the_library_grpcio_serves_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tidegate_nghttp2.session, "LIBRARY", tmp_path / "missing.so")
    served = service()
    with caplog.at_level(logging.WARNING):
        assert isinstance(make_server(served, None, GrpcTransport.NGHTTP2), RpcServer)
    assert served.grpc_transport == "grpcio"
    assert "built without libnghttp2" in served.grpc_reason
    assert "falls back to grpcio" in caplog.text
