"""What the server does with a request, whatever the wire it came by, and the states it goes through.

Adapters (HTTP below ASGI or above it, gRPC) call, in this order: `Service.model` for readiness, name and version once
the head is there; their codec on the body, bounded by `Limits.max_body_bytes`; `ServedModel.infer`.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from tidegate_runtime.batching.costs import CostTable
from tidegate_runtime.batching.engine import Engine
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.scheduler import Clock, Scheduler
from tidegate_runtime.errors import InvalidRequest, InvalidTensor, NotFound, NotReady
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Feeds, InferRequest, InferResponse, Tensor


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
        self._metrics = metrics

    async def infer(self, request: InferRequest, received: float) -> InferResponse:
        """The answer. `received` is when the request's last byte came, by the service's clock; its time starts there.

        Raises any `RuntimeFault`. If the caller is cancelled, so is the request, wherever it is.
        """
        self._metrics.inflight += 1
        try:
            feeds = self.signature.check(request)
            wanted = self.signature.check_outputs(request.outputs)
            deadline = received + self._limits.timeout_seconds
            outputs = await self._scheduler.infer(feeds, self._rows(feeds), deadline, priority=request.priority)
        finally:
            self._metrics.inflight -= 1
        specs = self.signature.outputs
        tensors = tuple(Tensor(specs[index].name, specs[index].datatype, outputs[index]) for index in wanted)
        return InferResponse(self.name, self.version, tensors, request.id)

    def _rows(self, feeds: Feeds) -> int:
        """What the request counts for in a batch: its rows, or 1 where requests run alone."""
        if not self._batched:
            return 1
        rows = {name: array.shape[0] for name, array in feeds.items()}
        if len(set(rows.values())) > 1:
            given = ", ".join(f'"{name}" {count}' for name, count in rows.items())
            raise InvalidTensor(f"inputs must have the same number of rows; got {given}")
        count: int = next(iter(rows.values()))
        if count > self._limits.max_batch_size:
            limit = self._limits.max_batch_size
            raise InvalidRequest(f"{count} rows in one request; the limit is {limit}, so split it")
        return count


class Service:
    """The model that this process serves: loading, then ready, then draining, then closed."""

    def __init__(self, metrics: ModelMetrics, limits: Limits, clock: Clock = time.monotonic) -> None:
        self.metrics = metrics
        self.limits = limits
        self.clock = clock
        self.draining = False
        self._model: ServedModel | None = None
        self._scheduler: Scheduler | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether routers should send requests here. Requests are answered while draining, too."""
        return self._model is not None and not self.draining

    def open(
        self,
        signature: Signature,
        verdict: Verdict,
        engine: Engine,
        costs: CostTable | None = None,
        on_stuck: Callable[[], None] | None = None,
    ) -> None:
        """From now on requests are answered, by `engine`.

        `costs` are what warm-up measured; `on_stuck` is called when a run can't be ended.
        """
        policy = BatchPolicy(
            max_rows=self.limits.max_batch_size if verdict.batched else 1,
            max_delay_seconds=self.limits.max_delay_seconds,
            queue_size=self.limits.queue_size,
            run_seconds=self.limits.timeout_seconds,
        )
        self.metrics.batched, self.metrics.reason = verdict.batched, verdict.reason
        self._scheduler = Scheduler(engine, policy, self.metrics, self.clock, costs, on_stuck)
        self._serving = asyncio.create_task(self._scheduler.run(), name="scheduler")
        self._model = ServedModel(signature, verdict.batched, self._scheduler, self.limits, self.metrics)

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
