"""A grpc.aio method that doesn't parse its request: what gRPC alone costs in Python."""

import asyncio
import os
from typing import Any

import grpc

ANSWER = bytes(16)


async def answer(request: bytes, context: Any) -> bytes:
    return ANSWER


async def main() -> None:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20)])
    methods = {"ModelInfer": grpc.unary_unary_rpc_method_handler(answer)}
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", methods)
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{os.environ['BENCH_GRPC_PORT']}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
