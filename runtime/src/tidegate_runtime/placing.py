"""Where a model of the store is brought up: on which device, on this process's launch thread or in one of its own."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tidegate_runtime.engine_processes import EngineProcesses
from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.giving_way import give_way
from tidegate_runtime.model.batchability import BatchingRules
from tidegate_runtime.model.child.report import LoadTask
from tidegate_runtime.model.costing import cost_table
from tidegate_runtime.model.device import AS_IT_COMES, DeviceOptions, within_limit
from tidegate_runtime.model.memory import available_bytes, limit_leaves
from tidegate_runtime.model.store import Placed, file_bytes
from tidegate_runtime.naming import Reason
from tidegate_runtime.served_model import Limits, Loaded

if TYPE_CHECKING:
    from tidegate_runtime.model.loading import LoadedModel

_T = TypeVar("_T")

COPIES: Final = 2
"""A model's file while it is opened: as it is read, and as ONNX Runtime keeps its weights."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where models run, and whether each is first tried out in a child process. `threads` = 0: the CPUs there are.

    With `isolate` each runs in a process of its own, and so does each on a GPU. `options` are about `device`. A run of
    a warm-up may take `run_seconds`; None: what is usual.
    """

    device: str
    threads: int
    vetting: bool
    isolate: bool = False
    options: DeviceOptions = AS_IT_COMES
    run_seconds: float | None = None


class Site:
    """Brings models up, one after the other; `limits` are the server's."""

    def __init__(
        self,
        placement: Placement,
        limits: Limits,
        changed: Callable[[], None],
        let_go: Callable[[Coroutine[Any, Any, None]], None],
        available: Callable[[], int | None] = available_bytes,
    ) -> None:
        """`changed` is called when a model's process has become able to run it, or unable; `let_go` to end one."""
        self.engines = EngineProcesses(changed, let_go)
        self._placement = placement
        self._limits = limits
        self._available = available
        self._within_limit: DeviceOptions | None = None
        # Sessions run on the one thread and are opened on the other.
        self._launch = ThreadPoolExecutor(1, "launch", give_way)
        self._loading = ThreadPoolExecutor(1, "loading", give_way)

    @property
    def isolated(self) -> bool:
        """Whether models run in processes of their own."""
        return self._placement.isolate

    async def aside(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """What the function returns, called on the thread on which models are opened."""
        return await asyncio.get_running_loop().run_in_executor(self._loading, function, *arguments)

    def device(self, placed: Placed) -> str:
        """Where it runs: as its configuration says, else where the server's models do."""
        wanted = placed.config.device if placed.config is not None else None
        if wanted is None or (wanted == "cuda" and self._placement.device != "cpu"):
            return self._placement.device  # "cuda" is any use of a GPU here
        return wanted

    async def bring(self, placed: Placed) -> tuple[Loaded, Limits]:
        """The model, warm, in this process or in one of its own. Raises `StartupFailure`."""
        if self._placement.isolate or self.device(placed) != "cpu":
            return await self._isolated(placed)
        return await self.aside(self._opened, placed)

    async def bring_all(self, wanted: list[Placed]) -> list[tuple[Loaded, Limits]]:
        """All of them, or none: if one can't be had, or not any more, all are let go. Raises as `bring` does."""
        brought: list[tuple[Loaded, Limits]] = []
        try:
            for placed in wanted:
                brought.append(await self.bring(placed))
            self.engines.check(loaded for loaded, _ in brought)
        except BaseException:
            for loaded, _ in brought:
                if loaded.drop is not None:
                    loaded.drop()
            raise
        return brought

    async def _isolated(self, placed: Placed) -> tuple[Loaded, Limits]:
        placement, config = self._placement, placed.config
        limits = own_limits(self._limits, placed)
        task = LoadTask(
            str(placed.path),
            self.device(placed),
            placement.threads,
            limits.max_batch_size,
            placement.vetting,
            BatchingRules(config.declared) if config is not None else BatchingRules(),
            await self.aside(placed.config_text),
            options=self._options(placed),
            run_seconds=placement.run_seconds,
        )
        return await self.engines.load(placed.name, task, config), limits

    def _opened(self, placed: Placed) -> tuple[Loaded, Limits]:
        """Opens, judges and warms up; blocks. Raises `StartupFailure`."""
        # Not imported above: ONNX Runtime takes memory, and has no business here while child processes run the models.
        from tidegate_runtime.model.engine import ThreadEngine  # noqa: PLC0415
        from tidegate_runtime.model.loading import load_model  # noqa: PLC0415
        from tidegate_runtime.model.vetting import load_vetted  # noqa: PLC0415

        placement, config = self._placement, placed.config
        limits = own_limits(self._limits, placed)
        load = load_vetted if placement.vetting else load_model
        device = self.device(placed)
        rules = BatchingRules(config.declared) if config is not None else None
        model: LoadedModel = load(
            placed.path,
            device,
            placement.threads,
            limits.max_batch_size,
            rules=rules,
            config=config,
            options=self._bounded(self._options(placed)),
            run_seconds=placement.run_seconds,
        )
        max_rows = limits.max_batch_size if model.verdict.batched else 1
        costs = cost_table(model.costs, model.signature, max_rows)
        engine = ThreadEngine(model.session, self._launch)
        drop = partial(self._launch.submit, engine.close)
        return Loaded(model.signature, model.verdict, engine, costs, model.labels, config, drop=drop), limits

    def _options(self, placed: Placed) -> DeviceOptions:
        return self._placement.options if self.device(placed) == self._placement.device else AS_IT_COMES

    def _bounded(self, options: DeviceOptions) -> DeviceOptions:
        """All models of this process have one arena, bounded by what is left as the first of them is opened."""
        if self._within_limit is None:
            self._within_limit = within_limit(options, limit_leaves())
        return self._within_limit

    def check_memory(self, wanted: list[Placed]) -> None:
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

    async def close(self) -> None:
        """Ends all processes. A load that hangs is left behind on its thread."""
        await self.engines.close()
        for executor in (self._loading, self._launch):
            executor.shutdown(wait=False, cancel_futures=True)


def own_limits(limits: Limits, placed: Placed) -> Limits:
    """The limits of a model with a configuration: never more rows than the server's."""
    config = placed.config
    if config is None:
        return limits
    rows = min(limits.max_batch_size, config.max_rows or limits.max_batch_size)
    return replace(limits, max_batch_size=rows, max_delay_seconds=config.max_delay_seconds or limits.max_delay_seconds)
