"""Pods of a revision that speak gRPC beside HTTP, and what callers of them get."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
RUNTIME_STREAMS = 128
"""The runtime's limit of calls at once on a connection."""


class GrpcPod:
    """The gRPC port of a pod: it answers with its revision's name, or as it is told to."""

    def __init__(self, revision: str) -> None:
        self.revision = revision
        self.port = 0
        self.status = grpc.StatusCode.OK
        self.seen: list[dict[str, Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._server: grpc.aio.Server | None = None

    async def start(self, address: str = "127.0.0.1:0") -> "GrpcPod":
        self._server = grpc.aio.server(options=[("grpc.max_concurrent_streams", RUNTIME_STREAMS)])
        handler: Any = self
        self._server.add_generic_rpc_handlers((handler,))
        self.port = self._server.add_insecure_port(address)
        await self._server.start()
        return self

    async def stop(self) -> None:
        if self._server:
            await self._server.stop(0)

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """What grpcio asks a handler for."""
        if details.method == STREAM:
            return grpc.stream_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(self._unary)

    async def _unary(self, body: bytes, context: Any) -> bytes:
        self.seen.append(dict(context.invocation_metadata()))
        await self.gate.wait()
        if self.status is not grpc.StatusCode.OK:
            await context.abort(self.status, "as it was told to")
        return self.revision.encode()

    async def _stream(self, bodies: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        async for body in bodies:
            await self.gate.wait()
            yield body


# What a generic handler has to be to grpcio.
grpc.GenericRpcHandler.register(GrpcPod)


class GrpcCaller:
    """Calls through a router, as whoever connects to `host`."""

    def __init__(self, address: str, host: str = "churn.ml:8081") -> None:
        self.channel = grpc.aio.insecure_channel(address, options=[("grpc.default_authority", host)])

    async def once(self, metadata: dict[str, str] | None = None) -> tuple[grpc.StatusCode, str]:
        """The status, and which revision answered, or the status' message."""
        infer: Any = self.channel.unary_unary(INFER)
        call = infer(b"{}", metadata=tuple((metadata or {}).items()), timeout=20)
        try:
            answer: bytes = await call
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details() or ""
        assert dict(await call.initial_metadata())["x-tidegate-revision"] == answer.decode()
        return await call.code(), answer.decode()

    async def times(self, count: int) -> Counter[tuple[grpc.StatusCode, str]]:
        """What `count` calls one after the other got."""
        return Counter([await self.once() for _ in range(count)])

    async def burst(self, count: int) -> Counter[tuple[grpc.StatusCode, str]]:
        """What `count` calls at once got."""
        return Counter(await asyncio.gather(*(self.once() for _ in range(count))))
