"""A hub's link to a front end over a model of rows, and the other end of its line."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager

from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.errors import RejectedByModel, RuntimeFault
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.child import messages
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.served_model import Limits, Loaded, ServedModel
from tidegate_runtime.service import Service
from tidegate_runtime.shared_memory.regions import Region
from tidegate_runtime.tensors import Datatype, Feeds, TensorSpec
from tidegate_runtime.trace_settings import Told
from tidegate_runtime.workers import questions, tally
from tidegate_runtime.workers.link import Link
from tidegate_runtime.workers.pulse import start_seconds
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


class Recorded:
    """Administration that keeps what it was asked to do, and answers as it was told."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.fault: RuntimeFault | None = None
        self.loading = asyncio.Event()
        self.loading.set()
        """Loads end once it is set."""
        self.loaded = asyncio.Event()
        self.entries = [{"name": "m", "version": "1", "state": "READY"}]

    async def index(self, *, ready: bool) -> list[dict[str, str]]:
        self._note("index", ready)
        return self.entries

    async def load(self, name: str) -> None:
        self._note("load", name)
        await self.loading.wait()
        self.loaded.set()

    async def unload(self, name: str) -> None:
        self._note("unload", name)

    async def log_levels(self, wanted: Mapping[str, object]) -> dict[str, bool | int]:
        self._note("log_levels", wanted)
        return {"log_info": False, "log_verbose_level": 0}

    async def traces(self, model: str, wanted: Mapping[str, object]) -> Told:
        self._note("traces", model, wanted)
        return {"trace_rate": "7", "trace_level": ["TIMESTAMPS"]}

    async def regions(self, name: str) -> list[Region]:
        self._note("regions", name)
        return [Region("r", "/r", 4, 8)]

    async def register(self, region: Region) -> None:
        self._note("register", region)

    async def unregister(self, name: str) -> None:
        self._note("unregister", name)

    def _note(self, *asked: object) -> None:
        if self.fault is not None:
            raise self.fault
        self.asked.append(asked)


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
        self.administration: Recorded | None = Recorded()
        self.link, self.other = self.linked()

    def linked(self) -> tuple[Link, socket.socket]:
        """A link to a front end that knows the model as number 7, and the other end of its line."""
        line, other = messages.pair()
        link = Link(line, self.killed.set, lambda _: None, self._answering, start_seconds(2))
        link.tell(1, {7: self.model}, encode(Snapshot((), True, False)))
        return link, other

    @property
    def model(self) -> ServedModel:
        return self.service.model("m")

    def _answering(self, question: bytes) -> Awaitable[bytes]:
        return questions.answering(question, self._totals, self.administration)

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
