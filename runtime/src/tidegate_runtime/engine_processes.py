"""The processes that models run in where each has one of its own: their starts and ends, and what can't be mended."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.child.engine import ChildEngine
from tidegate_runtime.model.child.report import LoadTask
from tidegate_runtime.model.costing import cost_table
from tidegate_runtime.model.triton_config import ModelConfig
from tidegate_runtime.served_model import Loaded

logger = logging.getLogger(__name__)


class EngineProcesses:
    """One process for each model version that `load` was called for, until it is dropped."""

    def __init__(self, changed: Callable[[], None], let_go: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        """`changed` is called when an engine has come or gone; `let_go` sees to the end of one that isn't needed."""
        self._changed = changed
        self._let_go = let_go
        self._children: dict[ChildEngine, str] = {}
        """By the name of the model, in the order of their loads."""
        self._replaced: set[ChildEngine] = set()
        self._replacing: dict[str, asyncio.Event] = {}
        """Models that are being loaded anew, and what is set once that is over."""
        self._past_restarts = 0
        self._watching: set[asyncio.Task[None]] = set()
        self._failure: StartupFailure | OSError | None = None
        self._failed = asyncio.Event()

    @property
    def pid(self) -> int:
        """The process id of the first model's engine; 0 between two."""
        return next((child.pid or 0 for child in self._children), 0)

    @property
    def restarts(self) -> int:
        """How often a process was started in place of one that had ended."""
        return self._past_restarts + sum(child.restarts for child in self._children)

    async def failed(self) -> None:
        """Waits for what no new process can mend, and raises it: `StartupFailure` or `OSError`.

        At once, if it has come to that before, as while other models were still being loaded.
        """
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    @contextmanager
    def replacing(self, name: str) -> Iterator[None]:
        """Loads of the model in the block are to take the place of what it has: they have, unless the block raises.

        Before its end `failed` says nothing of this model: what is lost meanwhile may be mended by it. There is one
        such block at a time for each model.
        """
        before = {child for child, whose in self._children.items() if whose == name}
        over = self._replacing[name] = asyncio.Event()
        try:
            yield
            self._replaced |= before & self._children.keys()
        finally:
            del self._replacing[name]
            over.set()

    def check(self, loaded: Iterable[Loaded]) -> None:
        """Raises what no new process can mend for one of these: `StartupFailure` or `OSError`."""
        for each in loaded:
            if isinstance(each.engine, ChildEngine):
                each.engine.check()

    async def load(self, name: str, task: LoadTask, config: ModelConfig | None) -> Loaded:
        """The model, warm, in a process of its own. Raises `StartupFailure`, or `OSError` if none can be started."""
        child = ChildEngine(task, readiness_changed=self._changed)
        self._children[child] = name
        try:
            report = await child.start()
        except BaseException:
            self._forget(child)
            await child.close()
            raise
        self._watch(child, name)
        costs = cost_table(report.costs, report.signature, task.max_rows if report.verdict.batched else 1)
        return Loaded(
            report.signature,
            report.verdict,
            child,
            costs,
            report.labels,
            config,
            retire=child.retire,
            drop=lambda: self._drop(child),
            engine_ready=lambda: child.ready,
            engine_takes=lambda: child.ready or child.over,
            ends_runs=True,
            graphs=report.graphs,
            device=task.device,
        )

    async def close(self) -> None:
        """Ends them all."""
        await asyncio.gather(*(child.close() for child in self._children))

    def _drop(self, child: ChildEngine) -> None:
        self._forget(child)
        self._let_go(child.close())

    def _forget(self, child: ChildEngine) -> None:
        del self._children[child]
        self._replaced.discard(child)
        self._past_restarts += child.restarts

    def _watch(self, child: ChildEngine, name: str) -> None:
        async def told() -> None:
            try:
                await child.failed()
            except (StartupFailure, OSError) as failure:
                while (over := self._replacing.get(name)) is not None:
                    logger.error("an engine is lost; its model is being loaded anew", extra={"model": name})
                    await over.wait()
                if child in self._replaced or child not in self._children:
                    return
                self._failure = self._failure or failure
                self._failed.set()

        task = asyncio.create_task(told())
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)
