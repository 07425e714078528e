"""Models loaded, swapped and unloaded while others are served.

A model is opened, judged and warmed up on a thread of its own; requests go to the old one meanwhile. Then all its
versions are exchanged in one turn of the event loop, and each old one is let go once its last request is answered.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from tidegate_runtime.engine_processes import EngineProcesses
from tidegate_runtime.errors import InvalidRequest, LoadFailed, NotFound, StartupFailure
from tidegate_runtime.model.batchability import BatchingRules
from tidegate_runtime.model.child.report import LoadTask
from tidegate_runtime.model.costing import cost_table
from tidegate_runtime.model.device import AS_IT_COMES, DeviceOptions
from tidegate_runtime.model.explanation import printable
from tidegate_runtime.model.memory import available_bytes
from tidegate_runtime.model.store import Placed, Store, file_bytes
from tidegate_runtime.naming import Reason
from tidegate_runtime.served_model import Limits, Loaded
from tidegate_runtime.service import Service, State, Version

if TYPE_CHECKING:
    from tidegate_runtime.model.loading import LoadedModel

logger = logging.getLogger(__name__)

COPIES: Final = 2
"""A model's file while it is opened: as it is read, and as ONNX Runtime keeps its weights."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where models run, and whether each is first tried out in a child process. `threads` = 0: the CPUs there are.

    With `isolate` each runs in a process of its own, and so does each on a GPU. `options` are about `device`.
    """

    device: str
    threads: int
    vetting: bool
    isolate: bool = False
    options: DeviceOptions = AS_IT_COMES


class Host:
    """Brings models of a store into a service. `changed` is called whenever what is served has changed."""

    def __init__(
        self,
        service: Service,
        store: Store,
        placement: Placement,
        available: Callable[[], int | None] = available_bytes,
    ) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.settled: Callable[[], Awaitable[None]] = _at_once
        """Waits until all who were told of a change go by it."""
        self._service = service
        self._store = store
        self._placement = placement
        self._available = available
        # Sessions run on the one thread and are opened on the other, one after the other.
        self._launch = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launch")
        self._loading = ThreadPoolExecutor(max_workers=1, thread_name_prefix="loading")
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._engines = EngineProcesses(self._engines_changed, self._let_go)

    @property
    def isolated(self) -> bool:
        """Whether models run in processes of their own."""
        return self._placement.isolate

    @property
    def engine_pid(self) -> int:
        """The process id of the first model's engine; 0 between two."""
        return self._engines.pid

    @property
    def engine_restarts(self) -> int:
        """How often a process was started in place of one that had ended."""
        return self._engines.restarts

    async def failed(self) -> None:
        """Waits for what no new engine process can mend, and raises it: `StartupFailure` or `OSError`."""
        await self._engines.failed()

    async def start(self) -> None:
        """Loads all that the store has. Raises `StartupFailure` that names the model that can't be served."""
        every = await self._on(self._loading, self._store.all)
        for placed in every:
            self._service.expect(placed.name, placed.version, self._device(placed))
        for placed in every:
            try:
                loaded = await self._brought(placed)
            except StartupFailure as failure:
                if len(every) == 1:
                    raise
                where = f'model "{placed.name}" version {placed.version}'
                raise StartupFailure(failure.reason, f"{where}: {failure.message}") from None
            self._service.open(placed.name, placed.version, *loaded)
            logger.info("ready", extra={"model": placed.name, "version": placed.version})
            self.changed()

    async def load(self, name: str) -> None:
        """Returns once the model, as its directory has it at this moment, is what requests get.

        Raises `NotFound`, or `LoadFailed` if it can't be served; then what was served before goes on. Goes on by itself
        if its caller is cancelled.
        """
        await self._alone(name, self._load(name))
        await self.settled()

    async def unload(self, name: str) -> None:
        """Takes the model out of service; its last requests are answered all the same. Raises `NotFound`."""
        await self._alone(name, self._unload(name))
        await self.settled()

    async def index(self, *, ready: bool) -> list[dict[str, str]]:
        """Name, version, state and reason of every version that is known, and of models that could be loaded.

        With `ready`, of those alone that are. Versions and reasons may be missing.
        """
        listed = [_listed(known) for known in self._service.index() if known.state is State.READY or not ready]
        if not ready:
            try:
                stored = await self._on(self._loading, self._store.names)
            except StartupFailure:
                stored = []
            known_names = set(self._service.names())
            listed += [
                {"name": name, "state": State.UNAVAILABLE.value, "reason": "not loaded"}
                for name in stored
                if name not in known_names
            ]
        return listed

    async def close(self) -> None:
        """Returns when what was taken out of service is gone. A load that hangs is left behind on its thread."""
        await asyncio.gather(*self._leaving)
        await self._engines.close()
        for executor in (self._loading, self._launch):
            executor.shutdown(wait=False, cancel_futures=True)

    async def _load(self, name: str) -> None:
        service = self._service
        try:
            wanted = await self._on(self._loading, self._store.find, name)
            await self._on(self._loading, self._check_memory, wanted)
        except StartupFailure as failure:
            self._refused(name, failure)
        for placed in wanted:
            service.expect(name, placed.version, self._device(placed))
        self.changed()
        try:
            fresh = [await self._brought(placed) for placed in wanted]
        except Exception as error:
            broken = error if isinstance(error, StartupFailure) else None
            for placed in wanted:
                service.fail(name, placed.version, broken.message if broken else "internal error; the log says more")
            self.changed()
            if broken is not None:
                self._refused(name, broken)
            raise
        kept = {placed.version for placed in wanted}
        replaced = [service.open(name, placed.version, *new) for placed, new in zip(wanted, fresh, strict=True)]
        for version in set(service.versions(name)) - kept:
            self._let_go(service.retire(name, version, forget=True))
        for model in replaced:
            if model is not None:
                self._let_go(model.close())
        self.changed()
        logger.info("model loaded", extra={"model": name, "versions": sorted(kept)})

    async def _unload(self, name: str) -> None:
        versions = self._service.versions(name)
        if not versions:
            raise NotFound(f'no model "{name}" is served, so there is nothing to unload')
        for version in versions:
            self._let_go(self._service.retire(name, version))
        self.changed()
        logger.info("model unloaded", extra={"model": name, "versions": versions})

    async def _brought(self, placed: Placed) -> tuple[Loaded, Limits]:
        """The model, warm, in this process or in one of its own. Raises `StartupFailure`."""
        if self._placement.isolate or self._device(placed) != "cpu":
            return await self._isolated(placed)
        loaded: tuple[Loaded, Limits] = await self._on(self._loading, self._opened, placed)
        return loaded

    async def _isolated(self, placed: Placed) -> tuple[Loaded, Limits]:
        placement, config = self._placement, placed.config
        limits = own_limits(self._service.limits, placed)
        task = LoadTask(
            str(placed.path),
            self._device(placed),
            placement.threads,
            limits.max_batch_size,
            placement.vetting,
            BatchingRules(config.declared) if config is not None else BatchingRules(),
            await self._on(self._loading, placed.config_text),
            options=self._options(placed),
        )
        return await self._engines.load(task, config), limits

    def _engines_changed(self) -> None:
        self._service.engines_changed()
        self.changed()

    def _opened(self, placed: Placed) -> tuple[Loaded, Limits]:
        """Opens, judges and warms up; blocks. Raises `StartupFailure`."""
        # Not imported above: ONNX Runtime takes memory, and has no business here while child processes run the models.
        from tidegate_runtime.model.engine import ThreadEngine  # noqa: PLC0415
        from tidegate_runtime.model.loading import load_model  # noqa: PLC0415
        from tidegate_runtime.model.vetting import load_vetted  # noqa: PLC0415

        placement, config = self._placement, placed.config
        limits = own_limits(self._service.limits, placed)
        load = load_vetted if placement.vetting else load_model
        device = self._device(placed)
        rules = BatchingRules(config.declared) if config is not None else None
        model: LoadedModel = load(
            placed.path,
            device,
            placement.threads,
            limits.max_batch_size,
            rules=rules,
            config=config,
            options=self._options(placed),
        )
        max_rows = limits.max_batch_size if model.verdict.batched else 1
        costs = cost_table(model.costs, model.signature, max_rows)
        engine = ThreadEngine(model.session, self._launch)
        drop = partial(self._launch.submit, engine.close)
        return Loaded(model.signature, model.verdict, engine, costs, model.labels, config, drop), limits

    def _device(self, placed: Placed) -> str:
        wanted = placed.config.device if placed.config is not None else None
        if wanted is None or (wanted == "cuda" and self._placement.device != "cpu"):
            return self._placement.device  # "cuda" is any use of a GPU here
        return wanted

    def _options(self, placed: Placed) -> DeviceOptions:
        return self._placement.options if self._device(placed) == self._placement.device else AS_IT_COMES

    def _check_memory(self, wanted: list[Placed]) -> None:
        """Raises `StartupFailure` if new versions can't be had beside all that is served, or have gone meanwhile."""
        available = self._available()
        try:
            needed = COPIES * sum(file_bytes(placed) for placed in wanted)
        except OSError as error:
            raise StartupFailure(Reason.MODEL_NOT_FOUND, f"its files can't be read: {error.strerror}") from None
        if available is not None and needed > available:
            raise StartupFailure(
                Reason.MODEL_TOO_LARGE,
                f"it takes about {needed} bytes beside what is served, {available} are left; raise the memory limit, "
                "or unload something first",
            )

    def _refused(self, name: str, failure: StartupFailure) -> NoReturn:
        logger.warning("model not loaded", extra={"model": name, "reason": failure.reason, "detail": failure.message})
        if failure.reason is Reason.MODEL_NOT_FOUND:
            raise NotFound(f'failed to load "{name}": {failure.message}')
        raise LoadFailed(f'failed to load "{name}": {failure.message}')

    async def _alone(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Does it when nothing else is done to that model, to its end even if the caller is cancelled."""

        async def locked() -> None:
            async with self._locks[name]:
                await work

        task = asyncio.create_task(locked())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    def _let_go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: "asyncio.Task[None]") -> None:
        self._leaving.discard(task)
        self.changed()

    @staticmethod
    async def _on(executor: Executor, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(executor, function, *arguments)


async def _at_once() -> None:
    pass


def refuse_overrides(parameters: Iterable[str], *taken: str) -> None:
    """Raises `InvalidRequest` for parameters of a load or an unload that aren't `taken`."""
    for name in parameters:
        if name not in taken:
            what = "the directory's own is used" if name == "config" or name.startswith("file:") else "unknown"
            raise InvalidRequest(f'parameter "{printable(name, 64)}" can\'t be honoured: {what}; leave it out')


def own_limits(limits: Limits, placed: Placed) -> Limits:
    """The limits of a model with a configuration: never more rows than the server's."""
    config = placed.config
    if config is None:
        return limits
    rows = min(limits.max_batch_size, config.max_rows or limits.max_batch_size)
    return replace(limits, max_batch_size=rows, max_delay_seconds=config.max_delay_seconds or limits.max_delay_seconds)


def _listed(known: Version) -> dict[str, str]:
    entry = {"name": known.metrics.model, "version": known.metrics.version, "state": known.state.value}
    return entry | ({"reason": known.reason} if known.reason else {})
