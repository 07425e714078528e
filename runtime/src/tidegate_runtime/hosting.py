"""Models loaded, swapped and unloaded while others are served.

A model is opened, judged and warmed up on a thread of its own; requests go to the old one meanwhile. Then all its
versions are exchanged in one turn of the event loop, and each old one is let go once its last request is answered.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, NoReturn

from tidegate_runtime.errors import InvalidRequest, LoadFailed, NotFound, StartupFailure
from tidegate_runtime.model.explanation import printable
from tidegate_runtime.model.memory import available_bytes
from tidegate_runtime.model.store import Placed, Store, Stored
from tidegate_runtime.named_locks import NamedLocks
from tidegate_runtime.naming import Reason
from tidegate_runtime.placing import Placement, Site
from tidegate_runtime.service import Service, State, Version

logger = logging.getLogger(__name__)


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
        self._site = Site(placement, service.limits, self._engines_changed, self._let_go, available)
        self._models = NamedLocks()
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def isolated(self) -> bool:
        """Whether models run in processes of their own."""
        return self._site.isolated

    @property
    def engine_pid(self) -> int:
        """The process id of the first model's engine; 0 between two."""
        return self._site.engines.pid

    @property
    def engine_restarts(self) -> int:
        """How often a process was started in place of one that had ended."""
        return self._site.engines.restarts

    async def failed(self) -> None:
        """Waits for what no new engine process can mend, and raises it: `StartupFailure` or `OSError`."""
        await self._site.engines.failed()

    async def start(self) -> None:
        """Loads all that the store has. Raises `StartupFailure` that names the model that can't be served."""
        every = await self._site.aside(self._store.all)
        for placed in every:
            self._service.expect(placed.name, placed.version, self._site.device(placed))
        for placed in every:
            async with self._models.held(placed.name):
                # Else a load that was asked for meanwhile has seen to it, or to what took its place.
                if placed.version in self._service.awaits(placed.name):
                    await self._begin(placed, only=len(every) == 1)

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
        """Name, version, state and reason of every version that is known, and of what the store has beside those.

        With `ready`, of those alone that are. Versions and reasons may be missing.
        """
        listed = [_listed(known) for known in self._service.index() if known.state is State.READY or not ready]
        if not ready:
            try:
                stored = await self._site.aside(self._store.contents)
            except StartupFailure:
                stored = []
            names = set(self._service.names())
            versions = {(known.metrics.model, known.metrics.version) for known in self._service.index()}
            listed += [
                _unserved(each)
                for each in stored
                if (each.name not in names if each.version is None else (each.name, each.version) not in versions)
            ]
        return listed

    async def close(self) -> None:
        """Returns when what was taken out of service is gone. A load that hangs is left behind on its thread."""
        await asyncio.gather(*self._leaving)
        await self._site.close()

    async def _begin(self, placed: Placed, *, only: bool) -> None:
        try:
            loaded = await self._site.bring(placed)
        except StartupFailure as failure:
            if only:
                raise
            where = f'model "{placed.name}" version {placed.version}'
            raise StartupFailure(failure.reason, f"{where}: {failure.message}") from None
        self._service.open(placed.name, placed.version, *loaded)
        logger.info("ready", extra={"model": placed.name, "version": placed.version})
        self.changed()

    async def _load(self, name: str) -> None:
        with self._site.engines.replacing(name):
            await self._exchange(name)

    async def _exchange(self, name: str) -> None:
        service = self._service
        try:
            wanted = await self._site.aside(self._store.find, name)
            await self._site.aside(self._site.check_memory, wanted)
        except StartupFailure as failure:
            self._refused(name, failure)
        for placed in wanted:
            service.expect(name, placed.version, self._site.device(placed), awaited=False)
        self.changed()
        try:
            fresh = await self._site.bring_all(wanted)
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
        for version in {*service.versions(name), *service.awaits(name)} - kept:
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

    def _engines_changed(self) -> None:
        self._service.engines_changed()
        self.changed()

    def _refused(self, name: str, failure: StartupFailure) -> NoReturn:
        logger.warning("model not loaded", extra={"model": name, "reason": failure.reason, "detail": failure.message})
        if failure.reason is Reason.MODEL_NOT_FOUND:
            raise NotFound(f'failed to load "{name}": {failure.message}')
        raise LoadFailed(f'failed to load "{name}": {failure.message}')

    async def _alone(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Does it when nothing else is done to that model, to its end even if the caller is cancelled."""

        async def locked() -> None:
            async with self._models.held(name):
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


async def _at_once() -> None:
    pass


def refuse_overrides(parameters: Iterable[str], *taken: str) -> None:
    """Raises `InvalidRequest` for parameters of a load or an unload that aren't `taken`."""
    for name in parameters:
        if name not in taken:
            what = "the directory's own is used" if name == "config" or name.startswith("file:") else "unknown"
            raise InvalidRequest(f'parameter "{printable(name, 64)}" can\'t be honoured: {what}; leave it out')


def _unserved(stored: Stored) -> dict[str, str]:
    version = {} if stored.version is None else {"version": stored.version}
    return {"name": stored.name} | version | {"state": State.UNAVAILABLE.value, "reason": stored.why}


def _listed(known: Version) -> dict[str, str]:
    entry = {"name": known.metrics.model, "version": known.metrics.version, "state": known.state.value}
    return entry | ({"reason": known.reason} if known.reason else {})
