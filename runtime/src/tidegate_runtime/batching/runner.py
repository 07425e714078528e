"""Puts a batch together, runs it where it belongs, and takes its outputs apart."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tidegate_runtime.batching.engine import Engine
from tidegate_runtime.batching.padding import Padding
from tidegate_runtime.batching.rows import Assembly, check_rows
from tidegate_runtime.batching.tickets import Batch, DeliverAll, Outputs
from tidegate_runtime.batching.watchdog import Watchdog
from tidegate_runtime.errors import ExecutionFailed, OutOfDeviceMemory, RunEnded, RuntimeFault
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.tensors import Array, Feeds

logger = logging.getLogger(__name__)


class Answers(NamedTuple):
    """What a run brought: `each` request's own outputs, in order, or all of them `whole`, for who takes them so."""

    each: list[Outputs]
    whole: Sequence[Array]
    deliver_all: DeliverAll | None
    seconds: float
    """That the engine was busy."""
    own: float | None = None
    """Of a run on the event loop: in how many of them this thread had a core; None: it wasn't looked at."""


class RanHere(NamedTuple):
    """What a run on the event loop brought."""

    outputs: Sequence[Array]
    seconds: float
    own: float | None
    """As in `Answers`."""


class Runner:
    """Runs one batch at a time on `engine`; every failure comes as a `RuntimeFault`, that to take it apart included.

    A run elsewhere than on the loop is ended after `run_seconds`; if it can't be, `on_stuck` is called.
    """

    def __init__(
        self,
        engine: Engine,
        run_seconds: float,
        metrics: ModelMetrics,
        clock: Callable[[], float],
        on_stuck: Callable[[], None],
        padding: Padding | None = None,
    ) -> None:
        self._engine = engine
        self._run_seconds = run_seconds
        self._metrics = metrics
        self._clock = clock
        self._assembly = Assembly()
        self._padding = padding
        self._watchdog = Watchdog(engine.interrupt, on_stuck)

    async def hop(self) -> float:
        """What `Engine.hop` says."""
        return await self._engine.hop()

    def here(self, batch: Batch, *, own: bool = False) -> Answers:
        """Runs the batch on the event loop, with the thread's `own` time. Raises `RunEnded` if it took too long."""
        try:
            outputs, seconds, own_seconds = self._run_here(self._feeds(batch), own)
            return self._answers(batch, outputs, seconds, own_seconds)
        except RuntimeFault:
            raise  # As it is: being its own cause, it would keep the tensors where it was raised for a while.
        except Exception as error:
            raise _fault(error) from error

    def passing(self, feeds: Feeds, count: int, rows: int, *, own: bool = False) -> RanHere:
        """`here`, for `count` requests of `rows` each that are in no batch: all outputs, and what the run took."""
        try:
            ran = self._run_here(feeds, own)
            if count > 1:
                check_rows(ran.outputs, count * rows)
        except RuntimeFault:
            raise
        except Exception as error:
            raise _fault(error) from error
        return ran

    async def elsewhere(self, batch: Batch) -> Answers:
        """Runs the batch on the launch thread or in a child process. Raises `RunEnded` after `end` or too long."""
        if not batch.awaited:
            raise RunEnded("nobody waits for it")
        batch.started = self._clock()
        self._watchdog.begin(self._run_seconds)
        try:
            outputs, seconds = await self._engine.run(self._feeds(batch))
            return self._answers(batch, outputs, seconds)
        except RuntimeFault:
            raise
        except Exception as error:
            raise _fault(error) from error
        finally:
            self._watchdog.returned()

    def let_go(self) -> None:
        """Nothing is run any more: the memory that batches were put together in isn't held."""
        self._assembly = Assembly()

    def end(self) -> None:
        """Ends the run that `elsewhere` waits for, if there is one."""
        self._watchdog.end()

    def _run_here(self, feeds: Feeds, own: bool) -> RanHere:
        if not own:  # Each look at the thread's time is a system call.
            outputs, seconds = self._engine.run_inline(feeds)
            return RanHere(outputs, seconds, None)
        began = time.thread_time()
        outputs, seconds = self._engine.run_inline(feeds)
        return RanHere(outputs, seconds, time.thread_time() - began)

    def _feeds(self, batch: Batch) -> Feeds:
        if len(batch.tickets) == 1:  # Nothing to put together, and no clock to read for it.
            self._metrics.assembled(0.0, 1)
            return batch.tickets[0].feeds or {}
        requests = [ticket.feeds for ticket in batch.tickets if ticket.feeds is not None]
        began = self._clock()
        if batch.length and self._padding is not None:
            requests = [self._padding.padded(feeds, batch.length) for feeds in requests]
        feeds = self._assembly.stack(requests, batch.rows)
        batch.assembly = self._clock() - began
        self._metrics.assembled(batch.assembly, len(requests))
        return feeds

    def _answers(self, batch: Batch, outputs: Sequence[Array], seconds: float, own: float | None = None) -> Answers:
        together = batch.deliver_all()
        if together is not None:
            count = len(batch.tickets)
            if count == 1 or all(output.ndim and output.shape[0] == batch.rows for output in outputs):
                return Answers([], self._assembly.lasting(outputs), together, seconds, own)
        return Answers(self._taken_apart(batch, outputs), (), None, seconds, own)

    def _taken_apart(self, batch: Batch, outputs: Sequence[Array]) -> list[Outputs]:
        if len(batch.tickets) == 1:  # It has them whole; nothing of it lies in the assembly's memory.
            return [tuple(outputs)]
        answers = self._assembly.split(outputs, [ticket.rows for ticket in batch.tickets])
        padding = self._padding
        if not batch.length or padding is None:
            return answers
        return [
            padding.cut(answer, padding.length(ticket.feeds)) if ticket.feeds is not None else answer
            for ticket, answer in zip(batch.tickets, answers, strict=True)
        ]


def _fault(error: Exception) -> RuntimeFault:
    if isinstance(error, MemoryError):
        return OutOfDeviceMemory("there is no memory to put this batch together, or to take its answers apart")
    logger.error("engine failed", exc_info=error)
    return ExecutionFailed("the model failed on this request; the server's log says how")
