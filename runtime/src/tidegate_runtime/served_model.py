"""One model version that answers: what it takes of a request, and the scheduler that runs it."""

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from tidegate_runtime.answer_room import check_room
from tidegate_runtime.batching.alike import Alike, Passed
from tidegate_runtime.batching.dispatcher import Clock, Dispatcher
from tidegate_runtime.batching.tickets import Deliver, Outputs, Tap, Ticket
from tidegate_runtime.errors import InvalidRequest, InvalidTensor
from tidegate_runtime.handover.handing import Handing
from tidegate_runtime.loaded import Limits, Loaded, scheduler_of
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.values import ValueBounds
from tidegate_runtime.protocol.plain import Layout
from tidegate_runtime.protocol.plain_binary import PlainBinary
from tidegate_runtime.protocol.plain_json import PlainJson
from tidegate_runtime.shared_memory.regions import OFF, Regions
from tidegate_runtime.tensors import Feeds, InferRequest, InferResponse, Tensor

__all__ = ["Limits", "Loaded", "ServedModel"]

logger = logging.getLogger(__name__)


class ServedModel:
    """One model version, loaded and warm. Its scheduler runs from here on, until `close`."""

    def __init__(
        self,
        loaded: Loaded,
        limits: Limits,
        metrics: ModelMetrics,
        clock: Clock,
        dispatcher: Dispatcher | None,
        on_stuck: Callable[[], None] | None = None,
        regions: Regions | None = None,
    ) -> None:
        """`limits` are the model's own; `dispatcher` is that of the device which it shares with others.

        It has none where its requests run elsewhere. `regions` is None where shared memory is not served. `on_stuck` is
        called when a run can't be ended, or the scheduler failed: nothing is answered any more.
        """
        self.name = metrics.model
        self.version = metrics.version
        self.signature = loaded.signature
        self.config = loaded.config
        self.verdict = loaded.verdict
        self.graphs = loaded.graphs
        self.metrics = metrics
        self.limits = limits
        self.max_body_bytes = limits.max_body_bytes
        self.engine_ready = loaded.engine_ready
        sides, finite = (loaded.signature.inputs, loaded.signature.outputs), limits.reject_non_finite
        self.plain = None if loaded.labels else PlainJson.of(self.name, self.version, *sides)
        """The codec of this model's commonest requests in JSON, if it has such."""
        self.plain_binary = None if loaded.labels else PlainBinary.of(self.name, self.version, *sides, finite=finite)
        """The same for binary tensors."""
        self._bounds = ValueBounds.of(loaded.signature.inputs, limits.max_element_bytes, finite=finite)
        self.labels = loaded.labels
        self.copied = False
        """Whether some of its requests and their answers go to a tap."""
        self.handing: Handing | None = None
        """Which of its requests are another server's to answer; None: none."""
        self._regions = regions
        self._retire = loaded.retire
        self._drop = loaded.drop
        self._batched = loaded.verdict.batched
        metrics.batched, metrics.reason = loaded.verdict.batched, loaded.verdict.reason
        metrics.graphs, metrics.graphs_reason = len(loaded.graphs.rows), loaded.graphs.reason
        self._scheduler = loaded.elsewhere or scheduler_of(loaded, limits, metrics, clock, dispatcher, on_stuck)
        self._on_stuck = on_stuck
        self._running = asyncio.create_task(self._scheduler.run(), name="scheduler")
        self._running.add_done_callback(self._ended)
        self._holders = 0
        self._let_go: asyncio.Future[None] | None = None

    async def infer(
        self,
        request: InferRequest,
        received: float,
        client: Hashable = None,
        *,
        hop: bool = False,
        authorization: str | None = None,
        limit_seconds: float = 0.0,
    ) -> InferResponse:
        """The answer. `received` is when the request's last byte came, by the service's clock; its time starts there.

        It has the `limit_seconds` where these are more than the model gives any, for another server had it before.
        `client` tells apart whose requests run alone for a while if they spoil others' batches; None: of no known one.
        `hop` says that another server has sent the request on: it goes no further. `authorization` is what a copy of it
        has to show.

        Raises any `RuntimeFault`. If the caller is cancelled, so is the request, wherever it is.
        """
        feeds, rows, deadline = self._admitted(request, received, limit_seconds)
        outputs, leads = await self._scheduler.inferred(
            feeds, rows, deadline, priority=request.priority, client=client, hop=hop, authorization=authorization
        )
        return self.answer(request, outputs, leads=leads)

    def submit(
        self,
        request: InferRequest,
        received: float,
        deliver: Deliver,
        client: Hashable = None,
        limit_seconds: float = 0.0,
    ) -> Ticket:
        """Takes the request in; `deliver` is called once, later, with all outputs of the model or with a fault.

        `limit_seconds` is as for `infer`. Raises any `RuntimeFault` for a request that isn't taken.
        """
        feeds, rows, deadline = self._admitted(request, received, limit_seconds)
        return self._scheduler.submit(feeds, rows, deadline, deliver, priority=request.priority, client=client)

    def submit_plain(
        self,
        feeds: Feeds,
        rows: int,
        received: float,
        deliver: Deliver,
        client: Hashable = None,
        priority: int = 0,
        timeout_seconds: float | None = None,
    ) -> Ticket:
        """`submit` for what one of the plain codecs has read, which is known to fit the signature."""
        if not self._batched:
            rows = 1
        elif rows > self.limits.max_batch_size:
            raise self._too_many(rows)
        deadline = self.deadline(received, timeout_seconds)
        return self._scheduler.submit(feeds, rows, deadline, deliver, priority=priority, client=client)

    def submit_all(self, layout: Layout, alike: Alike) -> list[Ticket] | None:
        """`submit_plain` for several of one layout; then comes `cut`.

        None if they aren't taken as a whole; `submit_plain` then says of each whether and why. Raises what it raises,
        if that is the answer to each of them.
        """
        rows = layout.rows if self._batched else 1
        if rows > self.limits.max_batch_size:
            return None
        return self._scheduler.submit_all(alike, rows, layout.size, layout.priority)

    def filling(self, layout: Layout, feeds: Feeds) -> int:
        """As `Requests` says, for requests of this layout."""
        return self._scheduler.filling(feeds, layout.rows if self._batched else 1)

    def pass_by(self, layout: Layout, alike: Alike, *, more: bool = False) -> Passed | None:
        """As `Requests` says, for requests of this layout; of such with a priority it is None."""
        rows = layout.rows if self._batched else 1
        if rows > self.limits.max_batch_size or layout.priority:
            return None
        return self._scheduler.pass_by(alike, rows, layout.size, more=more)

    def cut(self) -> None:
        """Has what `submit_all` has taken run as soon as it may."""
        self._scheduler.cut()

    def cut_soon(self) -> None:
        """Has it run at the loop's next turn."""
        self._scheduler.cut_soon()

    def deadline(self, received: float, timeout_seconds: float | None, limit_seconds: float = 0.0) -> float:
        """Until when a request has to be answered that came at `received` and may bound its own time."""
        limit = max(self.limits.timeout_seconds, limit_seconds)
        return received + (limit if timeout_seconds is None or timeout_seconds > limit else timeout_seconds)

    def submit_checked(
        self, feeds: Feeds, rows: int, deadline: float, priority: int, deliver: Deliver, client: Hashable = None
    ) -> Ticket:
        """`submit` for what was held against this model's signature and limits elsewhere."""
        return self._scheduler.submit(feeds, rows, deadline, deliver, priority=priority, client=client)

    def submit_all_checked(self, alike: Alike, rows: int, size: int, priority: int) -> list[Ticket] | None:
        """`submit_all` for what was held against this model's signature and limits elsewhere."""
        return self._scheduler.submit_all(alike, rows, size, priority)

    def tapped(self, tap: Tap | None) -> None:
        """`tap` gets some of the requests and their answers from here on; None: nobody does."""
        self.copied = tap is not None
        self._scheduler.tapped(tap)

    def withdraw(self, ticket: Ticket) -> None:
        """Forgets a request whose client is gone: it leaves the queue, and is not delivered."""
        self._scheduler.withdraw(ticket)

    def answer(self, request: InferRequest, outputs: Outputs, *, leads: bool = False) -> InferResponse:
        """The answer to `request`, of the outputs that were delivered for it.

        Raises `InvalidRequest`, or `OutOfDeviceMemory` if there is none for it as JSON.
        """
        wanted = self.signature.check_outputs(request.outputs)
        specs = self.signature.outputs
        tensors = tuple(Tensor(specs[index].name, specs[index].datatype, outputs[index]) for index in wanted)
        if request.shared and request.outputs is not None:
            tensors = self._shared().write(tensors, request.outputs)
        check_room(request, tensors)
        return InferResponse(self.name, self.version, tensors, request.id, self.labels, leads)

    def hold(self) -> None:
        """A request was promised to this model that isn't submitted yet; the model is not closed before `release`."""
        self._holders += 1

    def release(self) -> None:
        """The request was submitted, or won't be."""
        self._holders -= 1
        if self._let_go is not None and not self._holders and not self._let_go.done():
            self._let_go.set_result(None)

    @contextmanager
    def held(self) -> Iterator["ServedModel"]:
        """Holds it for the time of the block."""
        self.hold()
        try:
            yield self
        finally:
            self.release()

    async def close(self) -> None:
        """Returns when all requests that were promised to it are answered. Nothing new may be promised meanwhile."""
        self._retire()
        while self._holders:
            self._let_go = asyncio.get_running_loop().create_future()
            await self._let_go
        await self.end()
        if self._drop is not None:
            self._drop()

    async def end(self) -> None:
        """Takes no more requests, whoever was promised it, and returns when those taken are answered."""
        self._scheduler.close()
        await self._running

    def _ended(self, running: asyncio.Task[None]) -> None:
        if running.cancelled() or (error := running.exception()) is None:
            return
        # Nobody waits for the task before the model is closed, and until then all that comes would wait for nothing.
        logger.critical("the scheduler failed", exc_info=error)
        self.engine_ready = lambda: False
        if self._on_stuck is not None:
            self._on_stuck()

    def _admitted(self, request: InferRequest, received: float, limit_seconds: float = 0.0) -> tuple[Feeds, int, float]:
        """What the scheduler takes: the inputs, their rows, and until when. Raises `InvalidRequest`, `BodyTooLarge`."""
        feeds = self.signature.check(request)
        self.signature.check_outputs(request.outputs)
        if self.signature.binary_only:
            self.signature.check_forms(request)
        rows = self._rows(feeds)
        if request.shared:
            self._shared().check_outputs(request.outputs)
            feeds = self._shared().read(request.inputs, feeds, self.max_body_bytes)
        if self._bounds is not None:
            self._bounds.check(feeds, None if request.shared else request.size)
        return feeds, rows, self.deadline(received, request.timeout_seconds, limit_seconds)

    def _shared(self) -> Regions:
        if self._regions is None:
            raise InvalidRequest(OFF)
        return self._regions

    def _rows(self, feeds: Feeds) -> int:
        """What the request counts for in a batch: its rows, or 1 where requests run alone."""
        if not self._batched:
            return 1
        counts = {array.shape[0] for array in feeds.values()}
        if len(counts) > 1:
            given = ", ".join(f'"{name}" {array.shape[0]}' for name, array in feeds.items())
            raise InvalidTensor(f"inputs must have the same number of rows; got {given}")
        count: int = counts.pop()
        if count > self.limits.max_batch_size:
            raise self._too_many(count)
        return count

    def _too_many(self, rows: int) -> InvalidRequest:
        return InvalidRequest(f"{rows} rows in one request; the limit is {self.limits.max_batch_size}, so split it")
