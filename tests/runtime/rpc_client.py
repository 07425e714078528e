"""A real gRPC server on an engine that a test holds back, and a client that needs no generated stubs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from grpc import aio

from tidegate_runtime.access.guard import Guard
from tidegate_runtime.administration import Administration
from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.errors import RunEnded
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.rpc.administrator import Administrator
from tidegate_runtime.rpc.grpcio_server import RpcServer
from tidegate_runtime.rpc.health import Health
from tidegate_runtime.rpc.http2_server import Http2Server
from tidegate_runtime.rpc.methods import BothStream, Method, ServerStream, methods
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.rpc.servicer import Servicer
from tidegate_runtime.served_model import Limits, Loaded
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import Datatype, Feeds, TensorSpec

SIGNATURE = Signature(
    inputs=(TensorSpec("x", Datatype.FP32, ("N", 4)),), outputs=(TensorSpec("y", Datatype.FP32, ("N", 4)),)
)
WAIT_SECONDS = 10.0


class GatedEngine:
    """Doubles its rows once its gate is open; it is from the beginning."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.rows: list[int] = []
        self.interrupted = asyncio.Event()

    async def hop(self) -> float:
        return 0.0

    def run_inline(self, feeds: Feeds) -> Ran:
        raise NotImplementedError

    async def run(self, feeds: Feeds) -> Ran:
        self.rows.append(len(feeds["x"]))
        self.interrupted.clear()
        waits = [asyncio.ensure_future(event.wait()) for event in (self.gate, self.interrupted)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if not self.gate.is_set():
            raise RunEnded("interrupted")
        return [feeds["x"] * 2], 0.0

    def interrupt(self) -> None:
        self.interrupted.set()


TRANSPORTS: dict[str, type[RpcServer] | type[Http2Server]] = {"grpcio": RpcServer, "nghttp2": Http2Server}


class Peer:
    """The service, its server and a channel to it."""

    transport = "grpcio"

    def __init__(self, guard: Guard | None = None, administered: Administration | None = None, **limits: Any) -> None:
        defaults: dict[str, Any] = {
            "max_batch_size": 8,
            "max_delay_seconds": 0.0,
            "queue_size": 512,
            "max_body_bytes": 65536,
            "timeout_seconds": 30.0,
        }
        self.service = Service(Limits(**(defaults | limits)), asyncio.get_running_loop().time)
        self.service.guard = guard
        self.metrics = self.service.expect("m", "7", "cpu")
        self.engine = GatedEngine()
        self.server = TRANSPORTS[self.transport](self.service, administered)
        self.port = 0
        self._table = {
            method.path: method for method in methods(Servicer(self.service), Health(self.service), Administrator(None))
        }
        self._channel: aio.Channel | None = None

    async def start(self) -> None:
        self.port = await self.server.start("127.0.0.1", 0)
        self._channel = aio.insecure_channel(f"127.0.0.1:{self.port}")

    async def close(self) -> None:
        self.engine.gate.set()
        if self._channel is not None:
            await self._channel.close()
        await self.server.stop(WAIT_SECONDS)
        await self.service.close()

    def open(self) -> None:
        """The model is loaded."""
        self.service.open("m", "7", Loaded(SIGNATURE, Verdict(True, "rows proved independent"), self.engine))
        self.server.readiness_changed()

    def drain(self) -> None:
        self.service.begin_drain()
        self.server.readiness_changed()

    def call(self, method: str, *message: Any, service: str = "inference.GRPCInferenceService", **options: Any) -> Any:
        """A call of the method; a message given as bytes is sent as it is."""
        path = f"/{service}/{method}"
        known: Method | None = self._table.get(path)
        channel: Any = self._channel
        kind = channel.unary_unary
        if known is not None and isinstance(known, ServerStream):
            kind = channel.unary_stream
        if known is not None and isinstance(known, BothStream):
            kind = channel.stream_stream
        read = known.response.FromString if known else None
        return kind(path, request_serializer=_serialized, response_deserializer=read)(*message, **options)

    def infer(self, message: pb.ModelInferRequest, **options: Any) -> Any:
        return self.call("ModelInfer", message, **options)


def _serialized(message: Any) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


@asynccontextmanager
async def peer(*, loaded: bool = True, **limits: Any) -> AsyncIterator[Peer]:
    """A running one; the model is loaded unless `loaded` is false."""
    made = Peer(**limits)
    await made.start()
    try:
        if loaded:
            made.open()
        yield made
    finally:
        await made.close()


def rows(*first: float, **members: Any) -> pb.ModelInferRequest:
    """A raw request of one row of four for each number."""
    message = pb.ModelInferRequest(model_name="m", **members)
    array = np.array([[value, 2, 3, 4] for value in first], np.float32)
    message.inputs.add(name="x", datatype="FP32", shape=array.shape)
    message.raw_input_contents.append(array.tobytes())
    return message


def firsts(answer: pb.ModelInferResponse) -> list[float]:
    """The first number of each row of a raw answer."""
    (output,) = answer.outputs
    array = np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(output.shape)
    return [float(value) for value in array[:, 0]]


async def until(condition: Callable[[], bool]) -> None:
    """Returns once the condition holds."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 -- plain numbers have no event
            await asyncio.sleep(0)
