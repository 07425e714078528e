"""A front end's service: what the hub's is, as told, with requests that go there."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.served_model import Limits, Loaded, ServedModel
from tidegate_runtime.service import Service, State, Version
from tidegate_runtime.workers.handed import Handed
from tidegate_runtime.workers.remote import Hub, Remote
from tidegate_runtime.workers.snapshot import Snapshot, ToldModel, ToldVersion


class Mirror(Service):
    """The service of a front end; `show` says what it is to have, and nothing else changes that."""

    def __init__(self, limits: Limits, hub: Hub, let_go: Callable[[int], None]) -> None:
        """`let_go` is called with the number of a model version that is gone and has nothing more to answer."""
        super().__init__(limits)
        self._hub = hub
        self._let_model_go = let_go
        self._numbers: dict[tuple[str, str], int] = {}
        self._engines_ready = False
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether routers should send requests here, by what the hub said last."""
        return self._started and not self.draining and self._engines_ready

    def show(self, snapshot: Snapshot, handed: Handed) -> None:
        """Takes over all of what is served; models that are gone answer what they were promised.

        `handed` is what goes with it.
        """
        if self.regions is not None:
            self.regions.show(handed.regions(snapshot))
        if self.tracer is not None and snapshot.traces is not None:
            self.tracer.settings, self.tracer.budgets = snapshot.traces, handed.budgets(snapshot)
        self._started = snapshot.started
        if snapshot.draining:
            self.begin_drain()
        self._engines_ready = all(told.engine_ready for told in snapshot.versions)
        kept = {(told.name, told.version) for told in snapshot.versions}
        for name, versions in list(self._models.items()):
            for version in [version for version in versions if (name, version) not in kept]:
                self._close(versions.pop(version))
        for told in snapshot.versions:
            self._show_version(told)
        self._list_paths()

    async def close(self) -> None:
        """Takes no more requests and returns when those taken are answered."""
        await super().close()
        await asyncio.gather(*self._leaving)

    def _show_version(self, told: ToldVersion) -> None:
        versions = self._models.setdefault(told.name, {})
        known = versions.get(told.version)
        if known is None:
            known = versions[told.version] = Version(ModelMetrics(told.name, told.version, told.device), told.state)
        key = told.name, told.version
        if known.model is not None and (told.model is None or told.model.number != self._numbers[key]):
            self._close(known)
        if told.model is not None and known.model is None:
            self._numbers[key] = told.model.number
            loaded = self._loaded(told.model, known.metrics)
            known.model = ServedModel(loaded, told.model.limits, known.metrics, self.clock, None, regions=self.regions)
        known.state, known.reason = told.state, told.reason

    def _loaded(self, told: ToldModel, metrics: ModelMetrics) -> Loaded:
        remote = Remote(self._hub, told.number, tuple(spec.name for spec in told.signature.inputs), metrics)
        return Loaded(
            told.signature,
            told.verdict,
            None,
            labels=told.labels,
            config=told.config,
            drop=lambda: self._let_model_go(told.number),
            elsewhere=remote,
        )

    def _close(self, known: Version) -> None:
        model, known.model, known.state = known.model, None, State.UNLOADING
        if model is not None:
            self._let_go(model.close())

    def _let_go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
