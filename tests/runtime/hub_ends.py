"""A hub's link to a front end over a model of rows, and the other end of its line."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.errors import RejectedByModel
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.child import messages
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.served_model import Limits, Loaded, ServedModel
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import Datatype, Feeds, TensorSpec
from tidegate_runtime.workers import tally
from tidegate_runtime.workers.link import Link
from tidegate_runtime.workers.snapshot import Snapshot, encode

LIMITS = Limits(max_batch_size=8, max_delay_seconds=0.005, queue_size=512, max_body_bytes=1 << 20, timeout_seconds=30)
WIDTH = 4096


class Gated:
    """Doubles, once it may."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.began = asyncio.Event()

    async def hop(self) -> float:
        return 0.0

    def run_inline(self, feeds: Feeds) -> Ran:
        raise NotImplementedError

    async def run(self, feeds: Feeds) -> Ran:
        self.began.set()
        await self.open.wait()
        (x,) = feeds.values()
        if x[0, 0] < 0:
            raise RejectedByModel("negative")
        return [x + x], 0.001

    def interrupt(self) -> None:
        self.open.set()


class Ends:
    """A hub's link and the other end of its line, raw; the model doubles rows of `width` numbers."""

    def __init__(self, width: int = WIDTH, limits: Limits = LIMITS) -> None:
        self.engine = Gated()
        self.service = Service(limits)
        signature = Signature(
            (TensorSpec("x", Datatype.FP32, ("N", width)),), (TensorSpec("y", Datatype.FP32, ("N", width)),)
        )
        self.service.expect("m", "1", "cpu")
        self.service.open("m", "1", Loaded(signature, Verdict(True, "declared"), self.engine))
        self.killed = asyncio.Event()
        self.untold = False
        """Whether asking what was counted fails."""
        self.link, self.other = self.linked()

    def linked(self) -> tuple[Link, socket.socket]:
        """A link to a front end that knows the model as number 7, and the other end of its line."""
        line, other = messages.pair()
        link = Link(line, self.killed.set, lambda _: None, self._totals)
        link.tell(1, {7: self.model}, encode(Snapshot((), True, False)))
        return link, other

    @property
    def model(self) -> ServedModel:
        return self.service.model("m")

    async def _totals(self) -> bytes:
        if self.untold:
            raise RuntimeError("it can't be told")
        return tally.encode_totals(await self.service.gather())


@asynccontextmanager
async def ends(width: int = WIDTH, limits: Limits = LIMITS) -> AsyncIterator[Ends]:
    made = Ends(width, limits)
    yield made
    made.other.close()
    made.link.lost()
    await made.service.close()
