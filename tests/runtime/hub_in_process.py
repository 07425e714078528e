"""Front ends, real processes, of a hub that runs in the test's own; its model doubles rows of four numbers."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from tidegate_runtime.listening import listener
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.served_model import Loaded
from tidegate_runtime.service import Service
from tidegate_runtime.settings import ServeSettings
from tidegate_runtime.tensors import Datatype, TensorSpec
from tidegate_runtime.workers.pool import FrontEnds

from .hub_ends import LIMITS, Gated

PATIENCE_SECONDS = 60.0


class Hub:
    """Two front ends, which may listen or not."""

    def __init__(self) -> None:
        row = ("N", 4)
        signature = Signature((TensorSpec("x", Datatype.FP32, row),), (TensorSpec("y", Datatype.FP32, row),))
        self.service = Service(LIMITS)
        self.service.expect("m", "1", "cpu")
        self.service.open("m", "1", Loaded(signature, Verdict(True, "declared"), Gated()))
        data = listener("127.0.0.1", 0)
        self.port: int = data.getsockname()[1]
        settings = ServeSettings(
            Path("m"), "m", "1", "127.0.0.1", 0, -1, 0, "cpu", 1, 0.0, True, False, LIMITS, workers=2
        )
        self.front_ends = FrontEnds(self.service, settings, data)

    @property
    def pids(self) -> list[int]:
        """The front ends that run."""
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return [int(pid) for pid in children if b"tidegate_runtime.workers" in _command_line(int(pid))]

    async def listening(self, count: int = 2) -> None:
        """Returns once so many listen."""
        await until(lambda: self.front_ends.running == count)

    async def answers(self) -> bool:
        """Whether a request on a new connection is answered, and rightly."""
        described = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
        async with httpx2.AsyncClient(timeout=PATIENCE_SECONDS) as client:
            answer = await client.post(f"http://127.0.0.1:{self.port}/v2/models/m/infer", json={"inputs": [described]})
        data: list[float] = answer.json()["outputs"][0]["data"]
        return data == [2, 4, 6, 8]


@asynccontextmanager
async def hub() -> AsyncIterator[Hub]:
    made = Hub()
    try:
        yield made
    finally:
        await made.front_ends.close()
        await made.service.close()


async def until(condition: Callable[[], bool]) -> None:
    """Returns once it holds, which nothing tells."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
