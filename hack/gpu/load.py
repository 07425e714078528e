"""A client process: `python -m gpu.load JOB` sends one request over and over and prints what came of it, as JSON.

Closed loop without a rate; with one, requests have their moments, and latency counts from there, whoever was late.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

import grpc

METHOD = "/inference.GRPCInferenceService/ModelInfer"

Send = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Job:
    """What to send: the file of a whole HTTP request or of a gRPC message, to a port of this machine.

    `rate` is requests a second of this process, 0 for as many as `connections` can; `seconds` follow the first second.
    """

    protocol: str
    port: int
    body: str
    connections: int
    seconds: float
    rate: float = 0.0

    @property
    def argument(self) -> str:
        return json.dumps(asdict(self))


def main(argument: str) -> None:
    job = Job(**json.loads(argument))
    print(json.dumps(asyncio.run(_sent(job))))


async def _sent(job: Job) -> dict[str, Any]:
    with open(job.body, "rb") as file:  # noqa: ASYNC230 -- before anything runs
        body = file.read()
    begin = time.perf_counter() + 1
    latencies: list[float] = []
    failures = 0
    turns = _turns(job, begin)

    async def client(send: Send) -> None:
        nonlocal failures
        for due in turns:
            if due is not None and (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            asked = due or time.perf_counter()
            good = await send()
            done = time.perf_counter()
            if asked >= begin:
                latencies.append(done - asked)
                failures += not good

    connect = _http if job.protocol == "http" else _grpc
    senders = [await connect(job.port, body) for _ in range(job.connections)]
    await asyncio.gather(*(client(send) for send in senders))
    latencies.sort()
    return {"seconds": time.perf_counter() - begin, "failures": failures, "latencies": latencies}


def _turns(job: Job, begin: float) -> Any:
    """When each request is due, shared by all connections; None: as soon as one is free."""
    end = begin + job.seconds
    if not job.rate:
        while time.perf_counter() < end:
            yield None
        return
    due = begin - 1
    while due < end:
        yield due
        due += 1 / job.rate


async def _http(port: int, body: bytes) -> Send:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> bool:
        writer.write(body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        return head.startswith(b"HTTP/1.1 200")

    return send


async def _grpc(port: int, body: bytes) -> Send:
    # A channel of its own for each, or all would share one connection.
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
    call: Any = channel.unary_unary(METHOD)

    async def send() -> bool:
        try:
            await call(body)
        except grpc.aio.AioRpcError:
            return False
        return True

    return send


if __name__ == "__main__":
    main(sys.argv[1])
