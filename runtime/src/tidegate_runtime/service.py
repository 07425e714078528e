"""What the server does with a request, whatever the wire it came by, and the states it goes through.

Adapters (HTTP below ASGI or above it, gRPC) call, in this order: `Service.model` for readiness, name and version once
the head is there; their codec on the body, bounded by `Limits.max_body_bytes`; `ServedModel.infer`, or where a
coroutine a request costs too much, `ServedModel.submit` and, on its outcome, `ServedModel.answer`.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from tidegate_runtime.batching.costs import CostTable
from tidegate_runtime.batching.engine import Engine
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.scheduler import Clock, Scheduler
from tidegate_runtime.batching.tickets import Deliver, Outputs, Ticket
from tidegate_runtime.errors import InvalidRequest, InvalidTensor, NotFound, NotReady
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.protocol.plain_json import PlainJson
from tidegate_runtime.tensors import Feeds, InferRequest, InferResponse, Tensor
from tidegate_runtime.tracing.request import Tracer


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on a request and on the queue; the command line's options of the same names."""

    max_batch_size: int
    max_delay_seconds: float
    queue_size: int
    max_body_bytes: int
    timeout_seconds: float


class ServedModel:
    """One model, loaded and warm."""

    def __init__(
        self, signature: Signature, batched: bool, scheduler: Scheduler, limits: Limits, metrics: ModelMetrics
    ):
        self.name = metrics.model
        self.version = metrics.version
        self.signature = signature
        self._batched = batched
        self._scheduler = scheduler
        self._limits = limits
        self.metrics = metrics
        self.max_body_bytes = limits.max_body_bytes
        self.plain = PlainJson.of(self.name, self.version, signature.inputs, signature.outputs)
        """The codec of this model's commonest requests, if it has such."""

    async def infer(self, request: InferRequest, received: float) -> InferResponse:
        """The answer. `received` is when the request's last byte came, by the service's clock; its time starts there.

        Raises any `RuntimeFault`. If the caller is cancelled, so is the request, wherever it is.
        """
        feeds, rows, deadline = self._admitted(request, received)
        return self.answer(request, await self._scheduler.infer(feeds, rows, deadline, priority=request.priority))

    def submit(self, request: InferRequest, received: float, deliver: Deliver) -> Ticket:
        """Takes the request in; `deliver` is called once, later, with all outputs of the model or with a fault.

        Raises any `RuntimeFault` for a request that isn't taken.
        """
        feeds, rows, deadline = self._admitted(request, received)
        return self._scheduler.submit(feeds, rows, deadline, deliver, priority=request.priority)

    def submit_plain(self, feeds: Feeds, rows: int, received: float, deliver: Deliver) -> Ticket:
        """`submit` for what `plain` has read, which is known to fit the signature."""
        if self._batched and rows > self._limits.max_batch_size:
            raise self._too_many(rows)
        deadline = received + self._limits.timeout_seconds
        return self._scheduler.submit(feeds, rows if self._batched else 1, deadline, deliver)

    def withdraw(self, ticket: Ticket) -> None:
        """Forgets a request whose client is gone: it leaves the queue, and is not delivered."""
        self._scheduler.withdraw(ticket)

    def answer(self, request: InferRequest, outputs: Outputs) -> InferResponse:
        """The answer to `request`, of the outputs that were delivered for it."""
        wanted = self.signature.check_outputs(request.outputs)
        specs = self.signature.outputs
        tensors = tuple(Tensor(specs[index].name, specs[index].datatype, outputs[index]) for index in wanted)
        return InferResponse(self.name, self.version, tensors, request.id)

    def _admitted(self, request: InferRequest, received: float) -> tuple[Feeds, int, float]:
        """What the scheduler takes: the inputs, their rows, and until when. Raises `InvalidRequest`."""
        feeds = self.signature.check(request)
        self.signature.check_outputs(request.outputs)
        limit = self._limits.timeout_seconds
        if request.timeout_seconds is not None and request.timeout_seconds < limit:
            limit = request.timeout_seconds
        return feeds, self._rows(feeds), received + limit

    def _rows(self, feeds: Feeds) -> int:
        """What the request counts for in a batch: its rows, or 1 where requests run alone."""
        if not self._batched:
            return 1
        counts = {array.shape[0] for array in feeds.values()}
        if len(counts) > 1:
            given = ", ".join(f'"{name}" {array.shape[0]}' for name, array in feeds.items())
            raise InvalidTensor(f"inputs must have the same number of rows; got {given}")
        count: int = counts.pop()
        if count > self._limits.max_batch_size:
            raise self._too_many(count)
        return count

    def _too_many(self, rows: int) -> InvalidRequest:
        return InvalidRequest(f"{rows} rows in one request; the limit is {self._limits.max_batch_size}, so split it")


class Service:
    """The model that this process serves: loading, then ready, then draining, then closed."""

    def __init__(self, metrics: ModelMetrics, limits: Limits, clock: Clock = time.monotonic) -> None:
        self.metrics = metrics
        self.limits = limits
        self.clock = clock
        self.draining = False
        self.tracer: Tracer | None = None
        """Where requests are recorded; None while they are not."""
        self.infer_paths: dict[bytes, ServedModel] = {}
        """The paths, as they come in a request line, by which models that are ready are asked."""
        self._model: ServedModel | None = None
        self._scheduler: Scheduler | None = None
        self._serving: asyncio.Task[None] | None = None
        self._engine_ready: Callable[[], bool] = lambda: True

    @property
    def ready(self) -> bool:
        """Whether routers should send requests here. Requests are answered while draining, too."""
        return self._model is not None and not self.draining and self._engine_ready()

    def open(
        self,
        signature: Signature,
        verdict: Verdict,
        engine: Engine,
        costs: CostTable | None = None,
        on_stuck: Callable[[], None] | None = None,
        engine_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """From now on requests are answered, by `engine`.

        `costs` are what warm-up measured; `on_stuck` is called when a run can't be ended. While `engine_ready` says no,
        routers are told to wait.
        """
        self._engine_ready = engine_ready
        policy = BatchPolicy(
            max_rows=self.limits.max_batch_size if verdict.batched else 1,
            max_delay_seconds=self.limits.max_delay_seconds,
            queue_size=self.limits.queue_size,
            run_seconds=self.limits.timeout_seconds,
        )
        self.metrics.batched, self.metrics.reason = verdict.batched, verdict.reason
        self._scheduler = Scheduler(engine, policy, self.metrics, self.clock, costs, on_stuck)
        self._serving = asyncio.create_task(self._scheduler.run(), name="scheduler")
        self._model = model = ServedModel(signature, verdict.batched, self._scheduler, self.limits, self.metrics)
        path = f"/v2/models/{quote(model.name, safe='')}"
        self.infer_paths = {
            f"{path}/infer".encode(): model,
            f"{path}/versions/{quote(model.version, safe='')}/infer".encode(): model,
        }

    def model(self, name: str, version: str | None) -> ServedModel:
        """The model of that name and version (None: the one there is). Raises `NotReady` or `NotFound`."""
        if self._model is None:
            raise NotReady("the model is loading; try again")
        if name != self._model.name:
            raise NotFound(f'no model of that name; this server has "{self._model.name}"')
        if version is not None and version != self._model.version:
            raise NotFound(f'no such version of "{self._model.name}"; this server has "{self._model.version}"')
        return self._model

    def begin_drain(self) -> None:
        """Fails readiness at once; answers go on. May be called again."""
        self.draining = True

    async def close(self) -> None:
        """Takes no more requests and returns when those taken are answered."""
        self.draining = True
        if self._scheduler is not None and self._serving is not None:
            self._scheduler.close()
            await self._serving
