"""What this process serves, by name and version, and the states that each goes through.

Adapters (HTTP below ASGI or above it, gRPC) call, in this order: `Service.admit` for who asks; `Service.model` for
readiness, name and version once the head is there, holding what they get until they have submitted; their codec on the
body, bounded by `Limits.max_body_bytes`; `ServedModel.infer`, or where a coroutine a request costs too much,
`ServedModel.submit` and, on its outcome, `ServedModel.answer`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from tidegate_runtime.access.guard import Guard
from tidegate_runtime.batching.dispatcher import Clock, Dispatcher
from tidegate_runtime.batching.tickets import Tap
from tidegate_runtime.errors import NotFound, NotReady, NotServing, Overloaded
from tidegate_runtime.handover.handing import Handing
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.served_model import Limits, Loaded, ServedModel
from tidegate_runtime.shared_memory.regions import Regions
from tidegate_runtime.tracing.request import Tracer
from tidegate_runtime.wording import quoted


class State(StrEnum):
    """What a version is doing, in the words of the protocol's repository extension."""

    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(slots=True)
class Version:
    """A version that is served, or was, or shall be. `model` is there in state READY alone."""

    metrics: ModelMetrics
    state: State
    reason: str = ""
    model: ServedModel | None = None


class Service:
    """Models by name and version. All is called from the event loop."""

    def __init__(self, limits: Limits, clock: Clock = time.monotonic, on_stuck: Callable[[], None] | None = None):
        """`on_stuck` is called when a run can't be ended, and so the launch thread is lost, or a scheduler failed."""
        self.limits = limits
        self.clock = clock
        self.draining = False
        self.leaving = False
        """Whether clients are to go elsewhere, though readiness doesn't say so: see `leave`."""
        self.last_answers = False
        """Whether each answer is its connection's last."""
        self.connection_seconds: float | None = None
        """About how old connections get: whoever connects anew may come to other servers. None: as old as they like."""
        self.hands_over = False
        """Whether there is a model some of whose requests are another server's to answer."""
        self.tracer: Tracer | None = None
        """Where requests are recorded; None while they are not."""
        self.guard: Guard | None = None
        """Who asks callers for tokens; None: nobody does. Set before there is a way in."""
        self.regions: Regions | None = None
        """Memory that clients share with this server; None if it serves none. Set before models are opened."""
        self.infer_paths: dict[bytes, ServedModel] = {}
        """The paths, as they come in a request line, by which models that are ready are asked."""
        self.reachable = True
        """Whether there is a way in: not while no front end listens."""
        self.grpc_transport = ""
        """What carries gRPC, and if it isn't what was asked for, why."""
        self.grpc_reason = ""
        self.gather: Callable[[], Awaitable[Sequence[ModelMetrics]]] = self._counted_here
        """What was counted of each version that is known, in all processes that serve it."""
        self.spread: Callable[[], Awaitable[None]] = _known_at_once
        """Has all processes that serve this know what was set, not loaded; returns once they go by it."""
        self._tap_of: Callable[[ServedModel], Tap | None] = _untapped
        self._handing_of: Callable[[ServedModel], Handing | None] = _kept
        self._models: dict[str, dict[str, Version]] = {}
        self._awaited: set[tuple[str, str]] = set()
        self._started = False
        self._dispatchers: dict[str, Dispatcher] = {}
        self._on_stuck = on_stuck

    @property
    def ready(self) -> bool:
        """Whether routers should send requests here: all that was expected at start has been opened once.

        Nor is it while the process of an engine is started again. Requests are answered while draining, too.
        """
        engines = (known.model.engine_ready() for known in self.index() if known.model is not None)
        return self._started and self.reachable and not self.draining and all(engines)

    def expect(self, name: str, version: str, device: str, *, awaited: bool = True) -> ModelMetrics:
        """The version is being loaded. One that serves goes on serving; one that did before keeps its counts.

        Unless it is not `awaited`, this service gets ready for the first time only once it's there.
        """
        versions = self._models.setdefault(name, {})
        known = versions.get(version)
        if known is None:
            known = versions[version] = Version(ModelMetrics(name, version, device), State.LOADING)
        elif known.model is None:
            known.state, known.reason = State.LOADING, ""
        if awaited and not self._started:
            self._awaited.add((name, version))
        return known.metrics

    def awaits(self, name: str) -> set[str]:
        """The versions of a model that are expected and that this service isn't ready without."""
        return {version for model, version in self._awaited if model == name}

    def open(self, name: str, version: str, loaded: Loaded, limits: Limits | None = None) -> ServedModel | None:
        """From now on requests for this version, which is expected, are answered by `loaded`.

        `limits` are the model's own, if they are not the service's. The model that it replaces comes back; it is to be
        closed, for it has requests of its own to answer.
        """
        known = self._models[name][version]
        replaced = known.model
        dispatcher = self._dispatchers.setdefault(loaded.device, Dispatcher(self.clock))
        known.model = ServedModel(
            loaded, limits or self.limits, known.metrics, self.clock, dispatcher, self._on_stuck, self.regions
        )
        known.model.tapped(self._tap_of(known.model))
        known.model.handing = self._handing_of(known.model)
        self.hands_over = self.hands_over or known.model.handing is not None
        known.state, known.reason = State.READY, ""
        self._await_no_more(name, version)
        self._list_paths()
        return replaced

    def fail(self, name: str, version: str, reason: str) -> None:
        """An expected version could not be loaded; what served it before goes on."""
        known = self._models[name][version]
        known.reason = reason
        if known.model is None:
            known.state = State.UNAVAILABLE

    def retire(self, name: str, version: str, *, forget: bool = False) -> Coroutine[Any, Any, None]:
        """Takes the version out of service at once. What comes back ends when its last request is answered.

        The version then stays in the index as unloaded, unless it is to be forgotten.
        """
        known = self._models[name][version]
        model, known.model = known.model, None
        known.state, known.reason = State.UNLOADING, "its last requests are being answered"
        # What runs will cost is nobody's concern any more, and the table would be kept in memory.
        known.metrics.detach()
        self._await_no_more(name, version)
        self._list_paths()

        async def over() -> None:
            if model is not None:
                await model.close()
            if known.state is State.UNLOADING:
                known.state, known.reason = State.UNAVAILABLE, "unloaded"
                if forget:
                    del self._models[name][version]

        return over()

    def model(self, name: str, version: str | None = None) -> ServedModel:
        """The model of that name and version; None: its latest. Raises `NotReady`, `NotServing` or `NotFound`."""
        known = self.version(name, version)
        if known.model is not None:
            return known.model
        if known.state is State.LOADING:
            raise NotReady("the model is loading; try again")
        raise NotServing(f'version "{known.metrics.version}" of "{name}" is not served: {known.reason or known.state}')

    def version(self, name: str, version: str | None = None) -> Version:
        """What is known of that version; None: of the latest that is served, else of the latest. Raises as `model`."""
        if not self._models:
            raise NotReady("the model is loading; try again")
        versions = self._models.get(name)
        if not versions:
            # Not to tenants, some of which may ask for some models alone.
            told = f"; this server has {quoted(sorted(self._models))}" if self.guard is None else ""
            raise NotFound(f"no model of that name{told}")
        if version is None:
            served = [number for number, known in versions.items() if known.model is not None]
            return versions[max(served or versions, key=_rank)]
        known = versions.get(version)
        if known is None:
            raise NotFound(f'no such version of "{name}"; this server has {quoted(sorted(versions))}')
        return known

    def counts(self, name: str, version: str | None) -> ModelMetrics | None:
        """Where a request for that name counts: in its version's, one for an unknown version in the latest's."""
        versions = self._models.get(name)
        if not versions:
            return None
        known = versions.get(version) if version is not None else None
        return (known or self.version(name)).metrics

    def admit(self, authorization: str | None, name: str, version: str | None = None) -> None:
        """Lets a request for inference in, as `Guard.admit` says; what is beyond a tenant's rate the model counts."""
        if self.guard is None:
            return
        try:
            self.guard.admit(authorization, name)
        except Overloaded as fault:
            metrics = self.counts(name, version)
            if metrics is not None:
                metrics.refuse(fault.refusal or "")
            raise

    def names(self) -> list[str]:
        """Of all models that are known, in order."""
        return sorted(self._models)

    def versions(self, name: str) -> list[str]:
        """The versions of a model that are served, the latest last."""
        known = self._models.get(name, {})
        return sorted((version for version, entry in known.items() if entry.model is not None), key=_rank)

    def index(self) -> Iterator[Version]:
        """All versions there are, by name and number."""
        for name in self.names():
            yield from (self._models[name][version] for version in sorted(self._models[name], key=_rank))

    @property
    def started(self) -> bool:
        """Whether all that was expected at start has been opened once."""
        return self._started

    def engines_changed(self) -> None:
        """An engine has become able to take batches, or unable."""
        for dispatcher in self._dispatchers.values():
            dispatcher.review()

    def begin_drain(self) -> None:
        """Fails readiness at once; answers go on. May be called again."""
        self.draining = self.last_answers = True

    def leave(self, leaving: bool) -> None:
        """Has each answer be its connection's last, or no longer: whoever connects anew comes to other servers."""
        self.leaving = leaving
        self.last_answers = leaving or self.draining

    async def close(self) -> None:
        """Takes no more requests and returns when those taken are answered."""
        self.begin_drain()
        await asyncio.gather(*(known.model.end() for known in self.index() if known.model is not None))

    def tap(self, tap_of: Callable[[ServedModel], Tap | None]) -> None:
        """Has all models tapped, later ones, too, each by what `tap_of` gives for it; None: by nobody."""
        self._tap_of = tap_of
        for known in self.index():
            if known.model is not None:
                known.model.tapped(tap_of(known.model))

    def hand_over(self, handing_of: Callable[[ServedModel], Handing | None]) -> None:
        """Has requests of all models, later ones, too, handed over by what `handing_of` gives for each; None: none."""
        self._handing_of = handing_of
        models = [known.model for known in self.index() if known.model is not None]
        for model in models:
            model.handing = handing_of(model)
        self.hands_over = any(model.handing is not None for model in models)

    async def _counted_here(self) -> Sequence[ModelMetrics]:
        return [known.metrics for known in self.index()]

    def _await_no_more(self, name: str, version: str) -> None:
        self._awaited.discard((name, version))
        self._started = self._started or not self._awaited

    def _list_paths(self) -> None:
        paths = {}
        for known in self.index():
            if known.model is not None:
                path = f"/v2/models/{quote(known.model.name, safe='')}"
                # Versions come in ascending order, so the latest's stays.
                paths[f"{path}/infer".encode()] = known.model
                paths[f"{path}/versions/{quote(known.model.version, safe='')}/infer".encode()] = known.model
        self.infer_paths = paths


async def _known_at_once() -> None:
    pass


def _untapped(_model: ServedModel) -> None:
    return None


def _kept(_model: ServedModel) -> None:
    return None


def _rank(version: str) -> tuple[int, str]:
    """Versions by number; one that is none, as a revision's name, is below them all."""
    return (int(version) if version.isdecimal() else -1, version)
