"""Messages of strangers to both transports of gRPC, and what an answer to them may be."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from grpc import StatusCode, aio

from fuzz.connection import Doubling
from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.rpc.grpcio_server import RpcServer
from tidegate_runtime.rpc.http2_server import Http2Server
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.served_model import Limits, Loaded
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import Datatype, Feeds, TensorSpec

UNARY: Final = "/inference.GRPCInferenceService/ModelInfer"
STREAMED: Final = "/inference.GRPCInferenceService/ModelStreamInfer"
MAX_BYTES: Final = 4096
WAIT_SECONDS: Final = 10.0

_MODELS: Final = {"m": Datatype.FP32, "text": Datatype.BYTES, "half": Datatype.FP16, "wide": Datatype.INT64}
"""By name: what their input and output are of. The first doubles, the others give back what they get."""

_DESERVED: Final = frozenset({StatusCode.OK, StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND})
_LATE: Final = frozenset({StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED})
"""What a request that gives itself a time may be told."""


class Echo(Doubling):
    """An engine that gives back its input."""

    async def run(self, feeds: Feeds) -> Ran:
        return [feeds["x"]], 0.0


@dataclass(frozen=True)
class Outcome:
    """How a call ended: its status, with the message's bytes if that is OK, else with what the client is told."""

    code: StatusCode
    answer: bytes | str


class Calls:
    """One service behind both transports, each with a client."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._runner.run(self._open())

    def __enter__(self) -> "Calls":
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._close())
        self._runner.close()

    def outcomes(self, message: bytes, path: str = UNARY) -> list[Outcome]:
        """By nghttp2, by nghttp2 again, which may know it by then, and by grpcio. Raises `TimeoutError` without one."""
        return self._runner.run(self._outcomes(message, path))

    async def _open(self) -> None:
        self._service = Service(Limits(4, 0.005, 64, MAX_BYTES, 30.0))
        for name, datatype in _MODELS.items():
            x, y = (TensorSpec(tensor, datatype, ("N", 1)) for tensor in "xy")
            self._service.expect(name, "1", "cpu")
            engine = Doubling() if name == "m" else Echo()
            self._service.open(name, "1", Loaded(Signature((x,), (y,)), Verdict(True, "declared"), engine))
        self._servers: list[Any] = [Http2Server(self._service), RpcServer(self._service)]
        ports = [await server.start("127.0.0.1", 0) for server in self._servers]
        self._channels = [aio.insecure_channel(f"127.0.0.1:{port}") for port in ports]

    async def _close(self) -> None:
        for channel, server in zip(self._channels, self._servers, strict=True):
            await channel.close()
            await server.stop(WAIT_SECONDS)
        await self._service.close()

    async def _outcomes(self, message: bytes, path: str) -> list[Outcome]:
        async with asyncio.timeout(WAIT_SECONDS):
            nghttp2, grpcio = self._channels
            return [await _outcome(channel, message, path) for channel in (nghttp2, nghttp2, grpcio)]


async def _outcome(channel: Any, message: bytes, path: str) -> Outcome:
    try:
        if path == UNARY:
            return Outcome(StatusCode.OK, await channel.unary_unary(path)(message))
        return Outcome(StatusCode.OK, await channel.stream_stream(path)(iter([message])).read())
    except aio.AioRpcError as error:
        return Outcome(error.code(), error.details() or "")


def believable(message: bytes, outcomes: list[Outcome]) -> bool:
    """Whether all that was said of a message to `UNARY` is the same, and what it deserves."""
    try:
        request = pb.ModelInferRequest.FromString(message)
    except DecodeError:
        return {outcome.code for outcome in outcomes} == {StatusCode.INVALID_ARGUMENT}
    if "timeout" in request.parameters:
        return all(
            outcome.code in _DESERVED | _LATE and (isinstance(outcome.answer, str) or _derived(request, outcome.answer))
            for outcome in outcomes
        )
    first = outcomes[0]
    if first.code is not StatusCode.OK:
        return first.code in _DESERVED and all(outcome == first for outcome in outcomes)
    answers = [outcome.answer for outcome in outcomes if isinstance(outcome.answer, bytes)]
    return len(answers) == len(outcomes) and all(_derived(request, answer) for answer in answers)


def _derived(request: pb.ModelInferRequest, message: bytes) -> bool:
    """Whether the answer is one to that request."""
    answer = pb.ModelInferResponse.FromString(message)
    if (answer.id, answer.model_name) != (request.id, request.model_name):
        return False
    if any(output.parameters for output in request.outputs):
        return True  # classes in place of numbers
    if request.raw_input_contents:
        raw = request.raw_input_contents[0]
        return answer.raw_output_contents[0] == (_doubled(raw) if request.model_name == "m" else raw)
    given, got = request.inputs[0].contents, answer.outputs[0].contents
    if request.model_name == "m":
        with np.errstate(over="ignore"):
            doubled = np.array(given.fp32_contents, np.float32) * np.float32(2)
        return np.array_equal(doubled, np.array(got.fp32_contents, np.float32), equal_nan=True)
    return bool(given == got)


def _doubled(raw: bytes) -> bytes:
    with np.errstate(all="ignore"):
        return (np.frombuffer(raw, np.float32) * np.float32(2)).tobytes()


def seeds() -> dict[str, bytes]:
    """Good messages of every form, for what mutates to begin with."""
    raw = {
        "m": np.array([1, -2], np.float32).tobytes(),
        "half": np.array([1, -2], np.float16).tobytes(),
        "wide": np.array([1, -2], np.int64).tobytes(),
        "text": b"\x01\x00\x00\x00a\x02\x00\x00\x00\xc3\xa9",
    }
    typed: dict[str, dict[str, Any]] = {
        "m": {"fp32_contents": [1, -2]},
        "wide": {"int64_contents": [1, -2]},
        "text": {"bytes_contents": [b"a", b"\xc3\xa9"]},
    }
    messages = {}
    for name, datatype in _MODELS.items():
        request = pb.ModelInferRequest(model_name=name, id="i")
        request.inputs.add(name="x", datatype=datatype.value, shape=[2, 1])
        messages[f"raw {name}"] = pb.ModelInferRequest.FromString(request.SerializeToString())
        messages[f"raw {name}"].raw_input_contents.append(raw[name])
        if name in typed:
            request.inputs[0].contents.CopyFrom(pb.InferTensorContents(**typed[name]))
            messages[f"typed {name}"] = request
    asking = pb.ModelInferRequest.FromString(messages["raw m"].SerializeToString())
    asking.model_version = "1"
    asking.parameters["priority"].int64_param = 1
    asking.parameters["timeout"].int64_param = 10_000_000
    asking.parameters["own"].string_param = "s"
    asking.outputs.add(name="y").parameters["classification"].int64_param = 1
    messages["asking"] = asking
    return {name: message.SerializeToString() for name, message in messages.items()}
