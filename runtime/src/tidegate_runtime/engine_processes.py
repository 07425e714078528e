"""The processes that models run in where each has one of its own: their starts and ends, and what can't be mended."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.child.engine import ChildEngine
from tidegate_runtime.model.child.report import LoadTask
from tidegate_runtime.model.costing import cost_table
from tidegate_runtime.model.triton_config import ModelConfig
from tidegate_runtime.served_model import Loaded


class EngineProcesses:
    """One process for each model that `load` was called for, until it is dropped."""

    def __init__(self, changed: Callable[[], None], let_go: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        """`changed` is called when an engine has come or gone; `let_go` sees to the end of one that isn't needed."""
        self._changed = changed
        self._let_go = let_go
        self._children: list[ChildEngine] = []
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

    async def load(self, task: LoadTask, config: ModelConfig | None) -> Loaded:
        """The model, warm, in a process of its own. Raises `StartupFailure`, or `OSError` if none can be started."""
        child = ChildEngine(task, readiness_changed=self._changed)
        self._children.append(child)
        try:
            report = await child.start()
        except BaseException:
            await self._end(child)
            raise
        self._watch(child)
        costs = cost_table(report.costs, report.signature, task.max_rows if report.verdict.batched else 1)
        return Loaded(
            report.signature,
            report.verdict,
            child,
            costs,
            report.labels,
            config,
            retire=child.retire,
            drop=lambda: self._let_go(self._end(child)),
            engine_ready=lambda: child.ready or child.retired,
            ends_runs=True,
            graphs=report.graphs,
            device=task.device,
        )

    async def close(self) -> None:
        """Ends them all."""
        await asyncio.gather(*(child.close() for child in self._children))

    async def _end(self, child: ChildEngine) -> None:
        self._children.remove(child)
        self._past_restarts += child.restarts
        await child.close()

    def _watch(self, child: ChildEngine) -> None:
        async def told() -> None:
            try:
                await child.failed()
            except (StartupFailure, OSError) as failure:
                self._failure = self._failure or failure
                self._failed.set()

        task = asyncio.create_task(told())
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)
