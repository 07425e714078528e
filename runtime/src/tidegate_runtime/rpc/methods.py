"""The table of methods: path → message types and function. A transport reads it and needs no generated stubs."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from google.protobuf.message import Message

from tidegate_runtime.rpc.administrator import Administrator
from tidegate_runtime.rpc.call import Call
from tidegate_runtime.rpc.health import Health
from tidegate_runtime.rpc.messages import parsed
from tidegate_runtime.rpc.protos import health_pb2 as health_pb
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.rpc.protos import reflection_pb2 as reflection_pb
from tidegate_runtime.rpc.reflection import REFLECTION, REFLECTION_V1ALPHA, reflect
from tidegate_runtime.rpc.room import Made
from tidegate_runtime.rpc.servicer import Servicer
from tidegate_runtime.rpc.submission import Deliver, Withdraw

SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"

SMALL_BYTES: Final = 64 * 1024
"""Of a request without tensors, as over HTTP."""

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)

Submit = Callable[[bytes, Call, Deliver], Withdraw]


@dataclass(frozen=True, slots=True)
class _Typed(Generic[Req, Resp]):
    path: str
    request: type[Req]
    response: type[Resp]
    public: bool = field(default=False, kw_only=True)
    """Whether anybody may call it, where callers are asked for tokens."""
    tensors: bool = field(default=False, kw_only=True)
    """Whether its requests hold tensors, and may have as many bytes as any message."""

    def max_bytes(self, most: int) -> int:
        """What a request may have, packed or not, where messages have at most so many bytes."""
        return most if self.tensors else min(most, SMALL_BYTES)

    def parse(self, data: bytes) -> Req:
        """The request in `data`. Raises `Malformed`."""
        return parsed(self.request, data)


@dataclass(frozen=True, slots=True)
class Unary(_Typed[Req, Resp]):
    """One request, one answer."""

    function: Callable[[Req, Call], Awaitable[Resp]]
    submit: Submit | None = None
    """The same without a coroutine, where there is that."""

    async def answer(self, data: bytes, call: Call) -> bytes:
        """The serialized answer. Raises any `RuntimeFault`."""
        return (await self.function(self.parse(data), call)).SerializeToString()

    def start(self, data: bytes, call: Call, deliver: Deliver) -> Withdraw:
        """Has the serialized answer, or what `answer` would raise, delivered once: later, or before it returns.

        Only where there is `submit`. What comes back forgets a call whose client is gone; nothing is delivered then.
        Raises `Malformed`.
        """
        assert self.submit is not None
        return self.submit(data, call, deliver)


@dataclass(frozen=True, slots=True)
class ServerStream(_Typed[Req, Resp]):
    """One request, many answers."""

    function: Callable[[Req, Call], AsyncGenerator[Resp, None]]

    async def answers(self, data: bytes, call: Call) -> AsyncGenerator[bytes, None]:
        """The serialized answers. Raises any `RuntimeFault`."""
        async with aclosing(self.function(self.parse(data), call)) as answers:
            async for answer in answers:
                yield answer.SerializeToString()


@dataclass(frozen=True, slots=True)
class BothStream(_Typed[Req, Resp]):
    """Many requests, many answers. Neither is kept while the next is waited for."""

    function: Callable[[AsyncIterator[Req], Call, Made], AsyncGenerator[Resp, None]]

    async def answers(self, data: AsyncIterator[bytes], call: Call, made: Made) -> AsyncGenerator[bytes, None]:
        """The serialized answers; `made` is told of those that are made before they are asked for.

        Raises any `RuntimeFault`.
        """
        async with aclosing(self.function(self._parsed(data), call, made)) as answers:
            async for answer in answers:
                yield answer.SerializeToString()
                del answer

    async def _parsed(self, data: AsyncIterator[bytes]) -> AsyncIterator[Req]:
        async for message in data:
            yield self.parse(message)
            del message


Method = Unary[Any, Any] | ServerStream[Any, Any] | BothStream[Any, Any]


def methods(servicer: Servicer, health: Health, administrator: Administrator) -> tuple[Method, ...]:
    """Every method of every service on the data port."""
    return (
        *_inference(servicer),
        *_administration(administrator),
        *_shared_memory(administrator),
        *_health(health),
        *_reflection(),
    )


def _inference(servicer: Servicer) -> tuple[Method, ...]:
    live, ready = servicer.server_live, servicer.server_ready
    return (
        Unary(_path("ServerLive"), pb.ServerLiveRequest, pb.ServerLiveResponse, live, public=True),
        Unary(_path("ServerReady"), pb.ServerReadyRequest, pb.ServerReadyResponse, ready, public=True),
        Unary(_path("ModelReady"), pb.ModelReadyRequest, pb.ModelReadyResponse, servicer.model_ready),
        Unary(_path("ServerMetadata"), pb.ServerMetadataRequest, pb.ServerMetadataResponse, servicer.server_metadata),
        Unary(_path("ModelMetadata"), pb.ModelMetadataRequest, pb.ModelMetadataResponse, servicer.model_metadata),
        Unary(
            _path("ModelInfer"),
            pb.ModelInferRequest,
            pb.ModelInferResponse,
            servicer.model_infer,
            servicer.submit_infer,
            tensors=True,
        ),
        BothStream(
            _path("ModelStreamInfer"),
            pb.ModelInferRequest,
            pb.ModelStreamInferResponse,
            servicer.model_stream_infer,
            tensors=True,
        ),
        Unary(_path("ModelConfig"), pb.ModelConfigRequest, pb.ModelConfigResponse, servicer.model_config),
        Unary(
            _path("ModelStatistics"), pb.ModelStatisticsRequest, pb.ModelStatisticsResponse, servicer.model_statistics
        ),
    )


def _administration(administrator: Administrator) -> tuple[Method, ...]:
    load, unload = pb.RepositoryModelLoadRequest, pb.RepositoryModelUnloadRequest
    return (
        Unary(_path("RepositoryIndex"), pb.RepositoryIndexRequest, pb.RepositoryIndexResponse, administrator.index),
        Unary(_path("RepositoryModelLoad"), load, pb.RepositoryModelLoadResponse, administrator.load),
        Unary(_path("RepositoryModelUnload"), unload, pb.RepositoryModelUnloadResponse, administrator.unload),
        Unary(_path("TraceSetting"), pb.TraceSettingRequest, pb.TraceSettingResponse, administrator.trace_setting),
        Unary(_path("LogSettings"), pb.LogSettingsRequest, pb.LogSettingsResponse, administrator.log_settings),
    )


def _shared_memory(administrator: Administrator) -> tuple[Method, ...]:
    """CUDA's is refused by name, so that a client learns why instead of that its server knows no such method."""
    served = (
        (pb.SystemSharedMemoryStatusRequest, pb.SystemSharedMemoryStatusResponse, administrator.regions),
        (pb.SystemSharedMemoryRegisterRequest, pb.SystemSharedMemoryRegisterResponse, administrator.register),
        (pb.SystemSharedMemoryUnregisterRequest, pb.SystemSharedMemoryUnregisterResponse, administrator.unregister),
    )
    refused = (
        (pb.CudaSharedMemoryStatusRequest, pb.CudaSharedMemoryStatusResponse),
        (pb.CudaSharedMemoryRegisterRequest, pb.CudaSharedMemoryRegisterResponse),
        (pb.CudaSharedMemoryUnregisterRequest, pb.CudaSharedMemoryUnregisterResponse),
    )
    every: list[tuple[type[Message], type[Message], Callable[[Any, Call], Awaitable[Any]]]] = [
        *served,
        *((request, response, administrator.cuda_shared_memory) for request, response in refused),
    ]
    return tuple(
        Unary(_path(request.DESCRIPTOR.name.removesuffix("Request")), request, response, function)
        for request, response, function in every
    )


def _health(health: Health) -> tuple[Method, ...]:
    check, answer = health_pb.HealthCheckRequest, health_pb.HealthCheckResponse
    every, answers = health_pb.HealthListRequest, health_pb.HealthListResponse
    return (
        Unary(f"/{HEALTH}/Check", check, answer, health.check, public=True),
        Unary(f"/{HEALTH}/List", every, answers, health.list_all, public=True),
        ServerStream(f"/{HEALTH}/Watch", check, answer, health.watch, public=True),
    )


def _reflection() -> tuple[Method, ...]:
    request, response = reflection_pb.ServerReflectionRequest, reflection_pb.ServerReflectionResponse
    return tuple(
        BothStream(f"/{service}/ServerReflectionInfo", request, response, reflect)
        for service in (REFLECTION, REFLECTION_V1ALPHA)
    )


def _path(method: str) -> str:
    return f"/{SERVICE}/{method}"
