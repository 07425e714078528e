"""The engine in a child process, started again whenever it ends."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.errors import EngineLost, RunEnded, StartupFailure
from tidegate_runtime.model.child.connection import Connection
from tidegate_runtime.model.child.process import CHILD, EngineProcess
from tidegate_runtime.model.child.report import LoadReport, LoadTask, name_of
from tidegate_runtime.model.child.restarts import MAX_FAILED_LOADS, in_a_row, load_patience, restart_delay
from tidegate_runtime.model.child.spawned import how_it_ended
from tidegate_runtime.model.device import graph_bytes
from tidegate_runtime.model.graph_policy import Graphs
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Feeds

logger = logging.getLogger(__name__)


class ChildEngine:
    """Runs batches in a child process, one at a time; while there is none, the next batch waits for it.

    `start` comes first, on the main thread's event loop, and `close` last.
    """

    def __init__(
        self,
        task: LoadTask,
        command: Sequence[str] = CHILD,
        delay: Callable[[int], float] = restart_delay,
        readiness_changed: Callable[[], None] = lambda: None,
        patience: Callable[[float], float] = load_patience,
    ) -> None:
        """`command` is the child's; `delay` says how many seconds after the n-th crash in a row it is restarted.

        `readiness_changed` is called when `ready` or `over` has changed. `patience` says how many seconds a load again
        may take, by what the first took; one that takes longer is ended and has failed.
        """
        self._task = task
        self._command = command
        self._delay = delay
        self._readiness_changed = readiness_changed
        self._patience = patience
        self._load_seconds: float | None = None
        self._process: EngineProcess | None = None
        self._connection: Connection | None = None
        self.report: LoadReport | None = None
        """What the first process said of the model; the others have to say the same."""
        self._keeping: asyncio.Task[None] | None = None
        self._waiting: asyncio.Future[Connection] | None = None
        self._without_graphs: Graphs | None = None
        self.retired = False
        """Whether the model is out of service, and no process is started any more in place of one that ends."""
        self.restarts = 0
        """How often a process was started in place of one that had ended."""

    @property
    def ready(self) -> bool:
        """Whether there is a process with the model loaded."""
        return self._connection is not None and self._connection.fault is None

    @property
    def pid(self) -> int | None:
        """The child's process id, also while it loads."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> LoadReport:
        """What the child says of the model once it has loaded it.

        Raises `StartupFailure`: the child's own, or one for a model that ends its process three times in a row;
        `OSError` if no process can be started.
        """
        self._keeping = asyncio.create_task(self._keep(), name="engine")
        self._keeping.add_done_callback(self._on_failure)
        await self._available()
        assert self.report is not None
        return self.report

    @property
    def over(self) -> bool:
        """Whether no process is started any more in place of one that ends or has ended; batches then fail at once."""
        return self.retired or (self._keeping is not None and self._keeping.done())

    async def failed(self) -> None:
        """Waits for what no new process can mend, and raises it: `StartupFailure` or `OSError`.

        Returns once the last process of a model out of service has ended.
        """
        assert self._keeping is not None
        await asyncio.wait({self._keeping})
        self._keeping.result()

    def check(self) -> None:
        """Raises what `failed` has to raise by now."""
        if self._keeping is not None and self._keeping.done():
            self._keeping.result()

    async def hop(self) -> float:
        """0: no run of the model may take place in this process."""
        return 0.0

    def run_inline(self, feeds: Feeds) -> Ran:
        """Never to be called, as `hop` says."""
        raise NotImplementedError

    async def run(self, feeds: Feeds) -> Ran:
        """The model's outputs in declared order and the seconds the device was busy.

        Raises `RuntimeFault`: `EngineLost` if the child ends meanwhile.
        """
        return await self.run_batch([feeds])

    async def run_batch(self, requests: Sequence[Feeds]) -> Ran:
        """Runs the rows of `requests` below each other, which are laid directly where the child reads them.

        Returns and raises as `run` does.
        """
        connection = self._connection
        if connection is None or connection.fault is not None:
            connection = await self._available()
        return await connection.run(requests)

    def interrupt(self) -> None:
        """Ends the run in progress, or its wait for a child; a child that doesn't end it within a second is killed."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(RunEnded("the engine was being restarted, and the request's time is over"))
        elif self._connection is not None:
            self._connection.interrupt()

    def retire(self) -> None:
        """The model is out of service: a process that serves it still answers, and there won't be another.

        What lies at the path may be another model by now, and whoever gets `EngineLost` and asks again is answered.
        """
        self.retired = True
        if not self.ready and self._keeping is not None:
            self._keeping.cancel()
            self._readiness_changed()  # What waits for a process needn't any more.

    async def close(self) -> None:
        """Ends the child. May be called again, and without `start`."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})

    async def _available(self) -> Connection:
        assert self._keeping is not None
        if self._keeping.done():
            raise EngineLost("the engine's process ended and isn't started again")
        self._waiting = asyncio.get_running_loop().create_future()
        return await self._waiting

    async def _keep(self) -> None:
        """Starts a process, again and again; raises once that can't help."""
        loop = asyncio.get_running_loop()
        crashes = failed_loads = 0
        while True:
            self._process = process = EngineProcess(self._task, self._command)
            served, hung = 0.0, False
            try:
                self._open(process.connection, await self._loaded(process.connection))
                began, failed_loads = loop.time(), 0
                await asyncio.wait({process.ended})
                served = loop.time() - began
            except (EngineLost, TimeoutError) as failure:
                hung = isinstance(failure, TimeoutError)
                failed_loads += 1
                self._leave_out_graphs()
            finally:
                self._connection = None
                self._readiness_changed()
                await process.end()
            how = f"a load of more than {self._load_seconds:.0f} s" if hung else how_it_ended(process.ended.result())
            if self.retired:
                logger.warning("the engine's process of a model out of service ended", extra={"by": how})
                return
            if failed_loads == MAX_FAILED_LOADS:
                raise _unloadable(self._task, how)
            crashes = in_a_row(crashes, served)
            delay = self._delay(crashes)
            logger.error("the engine's process ended", extra={"by": how, "restart_in_seconds": delay})
            await asyncio.sleep(delay)
            self.restarts += 1
            if self.report is not None:
                # Proved and measured once; the next process is to serve as soon as it can.
                self._task = replace(self._task, vetting=False, measure_seconds=0.0)

    async def _loaded(self, connection: Connection) -> LoadReport:
        """What the child reports. Raises `StartupFailure`, `EngineLost`, or `TimeoutError` if it loads for too long."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        # Not `wait_for`, which would cancel the future that the connection is going to settle.
        done, _ = await asyncio.wait({connection.loaded}, timeout=self._load_seconds)
        if not done:
            raise TimeoutError
        report = connection.loaded.result()
        if self._load_seconds is None:
            self._load_seconds = self._patience(loop.time() - began)
        return report

    def _leave_out_graphs(self) -> None:
        """To capture them is the one thing at a load that the model's trial hasn't shown to be survived."""
        task = self._task
        if graph_bytes(task.device, task.options):
            logger.warning("the next load captures no graphs")
            self._task = replace(task, options=replace(task.options, graph_bytes=0))
            self._without_graphs = Graphs((), "a process that was to capture them ended")

    def _open(self, connection: Connection, report: LoadReport) -> None:
        if self.report is None:
            self.report = replace(report, graphs=self._without_graphs or report.graphs)
        elif (report.signature, report.verdict.batched) != (self.report.signature, self.report.verdict.batched):
            name = name_of(self._task)
            raise StartupFailure(Reason.MODEL_INVALID, f"{name} changed while it was served; restart the server")
        self._connection = connection
        self._readiness_changed()
        logger.info("engine ready", extra={"pid": self.pid, "restarts": self.restarts})
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(connection)

    def _on_failure(self, keeping: "asyncio.Task[None]") -> None:
        failure = None if keeping.cancelled() else keeping.exception()
        waiting = self._waiting
        if waiting is not None and not waiting.done():
            if failure is not None and self.report is None:
                waiting.set_exception(failure)
            else:
                waiting.set_exception(EngineLost("the engine's process ended and isn't started again"))
        if failure is not None:
            self._readiness_changed()  # What waits for a process waits for nothing.


def _unloadable(task: LoadTask, how: str) -> StartupFailure:
    hint = "; most likely for want of memory: raise the memory limit" if how.startswith("signal 9 ") else ""
    text = f"{name_of(task)}: the process that loads it ended {MAX_FAILED_LOADS} times in a row, last by {how}{hint}"
    return StartupFailure(Reason.MODEL_TOO_LARGE if hint else Reason.WARMUP_FAILED, text)
