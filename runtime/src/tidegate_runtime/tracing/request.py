"""One request's trace: its times as plain numbers, noted on the way and made into spans elsewhere.

Every way in calls the same, in this order: `Tracer.begin` once the head is there; the scheduler `RequestTrace.ran`;
for a good answer `RequestTrace.served`, with the times that the metrics get; `RequestTrace.end` with what is counted.
Off, there is no tracer; the hot way has a class without all this then, the others ask whether there is one.
"""

import random
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from tidegate_runtime.trace_settings import Sampling, TraceSettings
from tidegate_runtime.tracing.context import parent

MAX_WAITING: Final = 4096
"""Traces that wait to be sent; the next one is dropped and counted."""

WAKE_AT: Final = 512
"""Traces at which the sender is woken before its time."""

MAX_NAME: Final = 1024
"""Characters that are kept of a model's name and of its version, which callers may make up."""


class Stage(NamedTuple):
    """A part of a request's time, by the service's clock."""

    name: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, as its wire names it. `path` is the method's over gRPC."""

    wire: str
    route: str
    path: str
    scheme: str = "http"


class RequestTrace:
    """A request that is recorded. With slots: it is made and changed beside the hot path."""

    __slots__ = (
        "asked",
        "began",
        "code",
        "ended",
        "error",
        "model",
        "parent_id",
        "rows",
        "span_id",
        "stages",
        "state",
        "trace_id",
        "tracer",
        "version",
    )

    def __init__(
        self,
        tracer: "Tracer",
        trace_id: int,
        parent_id: int | None,
        state: str,
        asked: Asked,
        at: float | None,
    ) -> None:
        self.tracer = tracer
        self.trace_id = trace_id
        self.span_id = random.getrandbits(64) or 1
        self.parent_id = parent_id
        self.state = state
        self.asked = asked
        self.began = tracer.clock() if at is None else at
        self.ended = self.began
        self.model = self.version = ""
        self.rows = 0
        self.code = 0
        self.error = ""
        self.stages: list[Stage] = []

    def ran(self, admitted: float, started: float, assembly: float, compute: float, ended: float, rows: int) -> None:
        """Its batch ended, good or not: when its stages began, how long they took, and its rows."""
        self.rows = rows
        computed = max(started + assembly, ended - compute)
        self.stages += (
            Stage("queue", admitted, started),
            Stage("assemble", started, started + assembly),
            Stage("compute", computed, ended),
        )

    def served(self, received: float, parsed: float, delivered: float, written: float) -> None:
        """It was answered; the times are those of `ModelMetrics.served`."""
        self.stages += (Stage("parse", received, parsed), Stage("encode", delivered, written))

    def end(self, model: str, version: str, code: int, error: str = "") -> None:
        """It is over, by the status it is counted under; over gRPC `error` is the status' name, "" for OK."""
        self.ended = self.tracer.clock()
        self.model, self.version = model[:MAX_NAME], version[:MAX_NAME]
        self.code, self.error = code, error
        self.tracer.keep(self)


class Budget(Protocol):
    """How many more are recorded, by whichever process."""

    def take(self) -> bool:
        """Whether one more is, which is counted."""

    def left(self) -> int:
        """How many more."""

    def close(self) -> None:
        """Nobody asks any more."""


class Tracer:
    """Decides which requests are recorded, and keeps what is until it is sent. Called from the event loop alone."""

    def __init__(self, ratio: float, clock: Callable[[], float], wake: Callable[[], None] = lambda: None) -> None:
        """`ratio` is the share that is recorded of requests whose caller doesn't say; `wake` calls the sender."""
        start = Sampling(ratio=ratio)
        self.settings = TraceSettings(start, start)
        """What is recorded."""
        self.budgets: Mapping[str, Budget] = {}
        """What counts down where several processes record: a model's own count, by its name, and by "" that of all."""
        self.share: Callable[[int], Budget] | None = None
        """Makes one, where it is those others that record, and none is recorded by this process."""
        self.clock = clock
        self.waiting: deque[RequestTrace] = deque()
        self.dropped = 0
        """Spans that were not sent, since too many waited."""
        self.wake = wake

    def begin(
        self, traceparent: str | None, tracestate: str | None, asked: Asked, model: str, at: float | None = None
    ) -> RequestTrace | None:
        """The trace of a request for `model`, "" if that isn't known, that began `at`; None if it isn't recorded.

        The caller's decision holds, if any, while anything of the model is recorded at all.
        """
        sampling = self.settings.of(model)
        if not sampling.on or sampling.count == 0:
            return None
        caller = parent(traceparent, tracestate)
        if not caller.sampled if caller is not None else random.random() >= sampling.ratio:
            return None
        if sampling.count > 0 and not self._count(model):
            return None
        if caller is not None:
            return RequestTrace(self, caller.trace_id, caller.span_id, caller.state, asked, at)
        return RequestTrace(self, random.getrandbits(128) or 1, None, "", asked, at)

    def in_force(self) -> TraceSettings:
        """What is recorded, counted in all processes."""
        settings = self.settings
        for whose, budget in self.budgets.items():
            settings = settings.changed({"count": budget.left()}, whose)
        return settings

    def change(self, settings: TraceSettings, counted: str | None) -> None:
        """Those are in force from here on. Raises `OSError`.

        `counted` says that a count was set, too, and whose: a model's, by its name, or "" for that of all.
        """
        if counted is not None and self.share is not None:
            count = settings.count_of(counted)
            others = {whose: budget for whose, budget in self.budgets.items() if whose != counted}
            past = self.budgets.get(counted)
            self.budgets = others | {counted: self.share(count)} if count > 0 else others
            if past is not None:
                past.close()
        self.settings = settings

    def _count(self, model: str) -> bool:
        """Whether one more request of `model` is recorded, of as many as are."""
        budget = self.budgets.get(self.settings.counted_with(model))
        if budget is not None:
            return budget.take()
        self.settings = self.settings.recorded(model)
        return True

    def keep(self, trace: RequestTrace) -> None:
        """Has it sent, unless too many wait already."""
        if len(self.waiting) >= MAX_WAITING:
            self.dropped += 1 + len(trace.stages)
            return
        self.waiting.append(trace)
        if len(self.waiting) == WAKE_AT:
            self.wake()


current: ContextVar[RequestTrace | None] = ContextVar("trace", default=None)
"""The trace of the request that a coroutine works on; the hot way, which has none, carries its trace itself."""
